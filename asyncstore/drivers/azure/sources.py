"""
What a copy says of its source and of its target: the service fetches the source from a URL.

https://learn.microsoft.com/rest/api/storageservices/put-block-from-url
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from asyncstore.auth.azure_access import KeyAccess, SASAccess, TokenAccess
from asyncstore.auth.azure_sas import BlobGrant, service_sas
from asyncstore.drivers.azure.headers import condition_headers, quoted, tag_headers, version_query
from asyncstore.drivers.azure.settings import AzureSettings
from asyncstore.drivers.azure.wire import Wire
from asyncstore.options import CopyOptions
from asyncstore.uri import ObjectURI

# Seconds in which the service must have begun to read.
_LIFE: Final = 3600.0


async def source_headers(wire: Wire, source: ObjectURI, options: CopyOptions, *, own: bool = False) -> dict[str, str]:
    """
    Return the headers that name a source, and let the service read it.

    Args:
        own: Whether the right to write the target covers the source too, as it does
            for the account's key in an asynchronous copy.
    """
    query = version_query(options.source_version_id)
    access = await wire.access()
    headers = {}
    if isinstance(access, TokenAccess):
        headers["x-ms-copy-source-authorization"] = f"Bearer {access.token}"
    elif isinstance(access, SASAccess):
        query = f"{query}&{access.token}" if query else access.token
    elif isinstance(access, KeyAccess) and not own:
        grant = BlobGrant(
            container=source.bucket,
            blob=source.key,
            permissions="r",
            expires=datetime.fromtimestamp(wire.now() + _LIFE, UTC),
            https_only=wire.addresses.origin.base.startswith("https:"),
        )
        signed = service_sas(access.key, grant)
        query = f"{query}&{signed}" if query else signed
    headers["x-ms-copy-source"] = wire.addresses.url(wire.addresses.blob(source), query)
    if options.source_if_match is not None:
        headers["x-ms-source-if-match"] = quoted(options.source_if_match)
    return headers


def target_headers(settings: AzureSettings, options: CopyOptions) -> dict[str, str]:
    """
    Return the conditions of a copy, and what everything gets that is written.
    """
    conditions = condition_headers(options.if_match, options.if_none_match)
    return conditions | tag_headers(settings) | settings.lease_headers()

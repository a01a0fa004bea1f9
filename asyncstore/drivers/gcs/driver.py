"""
The GCS driver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from asyncstore.auth.gcp.credentials import SETTINGS, gcp_credentials
from asyncstore.auth.gcp.goog4 import MAX_EXPIRES, policy_fields, unsigned_url
from asyncstore.config import HTTPOptions, StorageConfig
from asyncstore.driver import Capabilities
from asyncstore.driver.encryption import key_in, without_keys
from asyncstore.driver.presigning import expiry_of_url, form_fields
from asyncstore.driver.settings import read_settings
from asyncstore.drivers.gcs import batch, listing, multipart, protection
from asyncstore.drivers.gcs.compose import ComposedUploads
from asyncstore.drivers.gcs.names import check_name, xml_path
from asyncstore.drivers.gcs.presigning import PART_OPTIONS, PRESIGN_OPTIONS, demanded_headers, demanded_query
from asyncstore.drivers.gcs.settings import READERS, GCSSettings, auth_of, endpoint_of
from asyncstore.drivers.gcs.wire import Wire
from asyncstore.errors import ConfigurationError, NotSupportedError
from asyncstore.http.client import HTTPClient
from asyncstore.http.driver import check_presigning
from asyncstore.http.origin import is_safe, require_tls
from asyncstore.options import PLAIN_PRESIGN, GiB, KiB, PostOptions, PresignOptions
from asyncstore.types import ChecksumAlgorithm, PresignedPost, PresignedURL
from asyncstore.uri import ObjectURI, Provider

_TiB: Final = 1024 * GiB

CAPABILITIES: Final = Capabilities(
    reference="https://cloud.google.com/storage/quotas",
    max_object_size=5 * _TiB,
    max_put_size=5 * _TiB,
    max_key_bytes=1024,
    max_metadata_bytes=8 * KiB,
    multipart=True,
    min_part_size=multipart.MIN_PART_SIZE,
    max_part_size=5 * GiB,
    max_parts=multipart.MAX_PARTS,
    copy=True,
    copy_keeps=frozenset({"metadata"}),
    max_copy_size=5 * _TiB,
    # Neither API copies a range into a part; a rewrite copies objects of any size.
    copy_part=False,
    delete_batch_size=batch.MAX_CALLS,
    list_page_size=listing.MAX_RESULTS,
    # https://cloud.google.com/storage/docs/request-preconditions
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    storage_classes=True,
    implied_classes=frozenset({"STANDARD"}),
    versions=True,
    encryption_kinds=frozenset({"kms", "customer_key"}),
    # https://cloud.google.com/storage/docs/object-lock
    object_lock=True,
    acls=protection.ACLS,
    copy_from_key=True,
    checksums=frozenset({ChecksumAlgorithm.CRC32C, ChecksumAlgorithm.MD5}),
    # That of a part of the XML API; that of an object is its generation.
    etag_is_md5=True,
    sign=True,
    presign_post=True,
    presign_options=PRESIGN_OPTIONS,
)


def open_driver(config: StorageConfig) -> GCSDriver:
    """
    Return a driver for *config*; nothing is read or sent.

    Raises:
        ConfigurationError: A setting is unknown or invalid, or credentials would be
            sent over plain HTTP.
    """
    rest = dict(config.settings)
    credentials = gcp_credentials(auth_of(config), rest, http=config.http)
    settings = read_settings(GCSSettings, rest, provider="gcs", readers=READERS, others=SETTINGS)
    origin = endpoint_of(config, settings)
    if not credentials.anonymous or key_in(settings.default_encryption) is not None:
        require_tls(origin.base, allow_http=config.http.allow_http)
    wire = Wire(
        HTTPClient(config.http, config.session, request_id_header="x-guploader-uploadid"),
        credentials,
        origin,
        settings.user_project,
    )
    return GCSDriver(wire, settings, config.http, config.uri)


class GCSDriver(ComposedUploads):
    """
    A storage on GCS; :func:`open_driver` creates it.
    """

    provider = Provider.GCS

    def __init__(self, wire: Wire, settings: GCSSettings, http: HTTPOptions, root: ObjectURI) -> None:
        super().__init__(wire, settings, root)
        self.capabilities = replace(
            CAPABILITIES, sign=wire.credentials.may_sign, presign_post=wire.credentials.may_sign
        )
        if not is_safe(wire.origin.base, allow_http=http.allow_http):
            self.capabilities = without_keys(self.capabilities)
        if settings.checksum is None:
            self.capabilities = replace(self.capabilities, checksums=frozenset())
        if settings.multipart == "compose":
            # Parts of composed uploads can have any size, and are objects.
            self.capabilities = replace(
                self.capabilities, min_part_size=1, presign_options=PRESIGN_OPTIONS - PART_OPTIONS
            )
        self.preferred_checksum = settings.checksum
        self._http = http

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        """
        Return a presigned XML API URL for GET, HEAD, PUT or DELETE, valid for up to seven days.

        Raises:
            ConfigurationError: *method* or *expires* is not supported.
            NotSupportedError: The credentials cannot sign URLs, or the upload is not one of the XML API.
        """
        check_presigning("GCS", method, expires, longest=MAX_EXPIRES)
        check_name(uri)
        headers, query = demanded_headers(options), demanded_query(options)
        origin, signer = self._wire.origin, await self._wire.credentials.url_signer()
        now = self._wire.clock.now()
        unsigned = unsigned_url(
            method,
            str(origin.at(origin.path + xml_path(uri), "")),
            account=signer.account,
            algorithm=signer.algorithm,
            when=now,
            expires=expires,
            host=origin.host,
            headers=headers,
            query=[*self._wire.billing, *query],
        )
        signed = unsigned.signed(await signer.sign(unsigned.string_to_sign.encode(), unsigned.scope))
        return PresignedURL(signed, expiry_of_url(now, min(expires, signer.lifetime)), headers)

    async def sign_post(self, uri: ObjectURI, expires: timedelta, options: PostOptions) -> PresignedPost:
        """
        Return a presigned form, valid for up to seven days.

        https://cloud.google.com/storage/docs/xml-api/post-object-forms

        Raises:
            ConfigurationError: *expires* is not supported.
            NotSupportedError: The credentials cannot sign, or the storage names a project to bill.
        """
        check_presigning("GCS", "PUT", expires, longest=MAX_EXPIRES)
        check_name(uri)
        if self._wire.billing:
            raise NotSupportedError("a presigned form cannot name a project to bill", op="sign_post", provider="gcs")
        origin, signer = self._wire.origin, await self._wire.credentials.url_signer()
        now = self._wire.clock.now()
        ends = expiry_of_url(now, min(expires, signer.lifetime))
        signing, scope = policy_fields(signer, now)
        fields = form_fields(uri, options, signing, ends)
        fields["x-goog-signature"] = (await signer.sign(fields["policy"].encode("ascii"), scope)).hex()
        bucket = str(origin.at(f"{origin.path}/{quote(uri.bucket)}/", ""))
        return PresignedPost(url=bucket, fields=fields, expires_at=ends)

    @asynccontextmanager
    async def native(self) -> AsyncIterator[Any]:
        """
        Yield a ``gcloud.aio.storage.Storage`` on the same connections, endpoint and token.

        Retries and timeouts are those of the SDK.

        Raises:
            ConfigurationError: gcloud-aio-storage is not installed.
        """
        try:
            from gcloud.aio.storage import Storage
        except ImportError:
            raise ConfigurationError(
                "native() needs gcloud-aio-storage, which is not installed: pip install 'asyncstore[gcs]'"
            ) from None
        origin, credentials = self._wire.origin, self._wire.credentials
        connector = (await self._wire.http.session()).connector
        proxy = None if origin.loopback else self._http.proxy
        # The same connections in another session, which decompresses: the SDK expects that.
        async with aiohttp.ClientSession(
            connector=connector, connector_owner=False, cookie_jar=aiohttp.DummyCookieJar(), proxy=proxy
        ) as shared:
            # With an endpoint the SDK sends a token only if api_is_dev is false.
            arguments: dict[str, Any] = {"session": shared, "token": credentials.for_gcloud()}
            yield Storage(**arguments, api_root=origin.base, api_is_dev=credentials.anonymous)

    def describe(self) -> dict[str, str]:
        return {
            "endpoint": self._wire.origin.base,
            "multipart": self._settings.multipart if self._xml_uploads else "compose",
            "checksum": str(self._settings.checksum or "none"),
            **super().describe(),
        }

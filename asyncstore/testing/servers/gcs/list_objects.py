"""
`Objects: list <https://cloud.google.com/storage/docs/json_api/v1/objects/list>`_.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply
from asyncstore.testing.servers.gcs.errors import invalid
from asyncstore.testing.servers.gcs.listing import MAX_PAGE, Listing, list_page
from asyncstore.testing.servers.gcs.resources import object_resource
from asyncstore.testing.servers.gcs.world import World


async def list_objects(world: World, call: Call) -> Reply:
    """
    Answer one page.
    """
    bucket = world.bucket(call.segments[0])
    found = list_page(bucket, _listing(call))
    page: dict[str, Any] = {"kind": "storage#objects"}
    if found.after is not None:
        page["nextPageToken"] = base64.urlsafe_b64encode(found.after.encode()).decode()
    if found.prefixes:
        page["prefixes"] = found.prefixes
    if found.items:
        page["items"] = [object_resource(item, call.base_url, hashes=item.key_sha256 is None) for item in found.items]
    return json_reply(page)


def _listing(call: Call) -> Listing:
    limit = call.number("maxResults")
    versions, soft_deleted = call.flag("versions"), call.flag("softDeleted")
    if versions and soft_deleted:
        raise invalid("Cannot list soft-deleted objects and versions at once.", "softDeleted")
    return Listing(
        prefix=call.query.get("prefix", ""),
        delimiter=call.query.get("delimiter", ""),
        start=call.query.get("startOffset", ""),
        end=call.query.get("endOffset", ""),
        after=decoded_token(call.query.get("pageToken", ""), "pageToken"),
        limit=min(limit or MAX_PAGE, MAX_PAGE),
        versions=versions,
        soft_deleted=soft_deleted,
        trailing_delimiter=call.flag("includeTrailingDelimiter"),
    )


def decoded_token(token: str, name: str) -> str:
    """
    Return where the page before ended.

    Args:
        name: Of the parameter that brought *token*.
    """
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise invalid(f"Invalid {name} '{token}'.", name) from None

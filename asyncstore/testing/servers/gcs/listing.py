"""
Listings of a bucket's objects: pages for both APIs, and the handler of the JSON API.

`Objects: list <https://cloud.google.com/storage/docs/json_api/v1/objects/list>`_
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from asyncstore.testing.servers.gcs import glob
from asyncstore.testing.servers.gcs.calls import Call, Reply, json_reply
from asyncstore.testing.servers.gcs.errors import invalid
from asyncstore.testing.servers.gcs.resources import object_resource
from asyncstore.testing.servers.gcs.state import Bucket, StoredObject
from asyncstore.testing.servers.gcs.world import World

#: Items and prefixes together: https://cloud.google.com/storage/docs/json_api/v1/objects/list
MAX_PAGE: Final = 1000
_LAST: Final = chr(0x10FFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    What to list.

    Attributes:
        start: The smallest name to list.
        after: The name or prefix where the previous page ended.
        end: The first name not to list.
        trailing_delimiter: Also list objects whose name is one of the prefixes.
        glob: List only names and prefixes that match it.
    """

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    after: str = ""
    end: str = ""
    limit: int = MAX_PAGE
    versions: bool = False
    soft_deleted: bool = False
    trailing_delimiter: bool = False
    glob: re.Pattern[str] | None = None


@dataclass(slots=True)
class Page:
    """
    One page.

    Attributes:
        after: Where the next page continues; ``None`` on the last page.
    """

    items: list[StoredObject] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    after: str | None = None


async def list_objects(world: World, call: Call) -> Reply:
    """
    Return one page.
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
    delimiter, pattern = call.query.get("delimiter", ""), call.query.get("matchGlob", "")
    if pattern and delimiter not in ("", "/"):
        raise invalid("With matchGlob, the delimiter can only be '/'.", "delimiter")
    call.flag("includeFoldersAsPrefixes")
    return Listing(
        prefix=call.query.get("prefix", ""),
        delimiter=delimiter,
        start=call.query.get("startOffset", ""),
        end=call.query.get("endOffset", ""),
        after=decoded_token(call.query.get("pageToken", ""), "pageToken"),
        limit=min(limit or MAX_PAGE, MAX_PAGE),
        versions=versions,
        soft_deleted=soft_deleted,
        trailing_delimiter=call.flag("includeTrailingDelimiter"),
        glob=glob.compiled(pattern) if pattern else None,
    )


def decoded_token(token: str, name: str) -> str:
    """
    Return the name or prefix where the previous page ended.

    Args:
        name: The parameter that *token* came in.
    """
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise invalid(f"Invalid {name} '{token}'.", name) from None


def list_page(bucket: Bucket, listing: Listing) -> Page:
    """
    Return one page, in byte order.

    All generations of a name are on one page, even if that exceeds the limit.
    """
    page = Page()
    last = ""
    for name, prefix, found in _entries(bucket, listing):
        if listing.glob is not None and not listing.glob.fullmatch(prefix or name):
            continue
        if len(page.items) + len(page.prefixes) >= listing.limit:
            page.after = last
            return page
        last = prefix or name
        if prefix:
            page.prefixes.append(prefix)
        page.items += found
    return page


def _entries(bucket: Bucket, listing: Listing) -> Iterator[tuple[str, str, list[StoredObject]]]:
    names = bucket.names
    position = bisect_left(names, max(listing.prefix, listing.start))
    if listing.after:
        position = max(position, _position_after(names, listing.after, listing))
    while position < len(names):
        name = names[position]
        if not name.startswith(listing.prefix) or (listing.end and name >= listing.end):
            return
        prefix = _common_prefix(name, listing)
        found = list(bucket.generations(name, versions=listing.versions, soft_deleted=listing.soft_deleted))
        if not found:
            position = bisect_right(names, name)
        elif prefix:
            whole = found if listing.trailing_delimiter and name == prefix else []
            yield name, prefix, whole
            position = bisect_right(names, prefix + _LAST)
        else:
            yield name, "", found
            position = bisect_right(names, name)


def _common_prefix(name: str, listing: Listing) -> str:
    if not listing.delimiter:
        return ""
    end = name.find(listing.delimiter, len(listing.prefix))
    return "" if end < 0 else name[: end + len(listing.delimiter)]


def _position_after(names: list[str], after: str, listing: Listing) -> int:
    if _common_prefix(after, listing) == after:
        return bisect_right(names, after + _LAST)
    return bisect_right(names, after)

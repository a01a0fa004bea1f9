"""
Pages of a bucket's objects, for both APIs.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from asyncstore.testing.servers.gcs.world import Bucket, StoredObject

#: Items and prefixes together: https://cloud.google.com/storage/docs/json_api/v1/objects/list
MAX_PAGE: Final = 1000
_LAST: Final = chr(0x10FFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    What to list.

    Attributes:
        start: The first name, or prefix, that may be listed.
        after: Where the last page ended: a name, or a prefix.
        end: The first name that is no longer listed.
        trailing_delimiter: Objects whose names are a prefix are listed too.
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


@dataclass(slots=True)
class Page:
    """
    One page.

    Attributes:
        after: What to go on after; ``None`` on the last page.
    """

    items: list[StoredObject] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    after: str | None = None


def list_page(bucket: Bucket, asked: Listing) -> Page:
    """
    Return one page, in byte order.

    All generations of a name are on one page, even if it grows too long thereby.
    """
    page = Page()
    last = ""
    for name, prefix, found in _entries(bucket, asked):
        if len(page.items) + len(page.prefixes) >= asked.limit:
            page.after = last
            return page
        last = prefix or name
        if prefix:
            page.prefixes.append(prefix)
        page.items += found
    return page


def _entries(bucket: Bucket, asked: Listing) -> Iterator[tuple[str, str, list[StoredObject]]]:
    names = bucket.names
    position = bisect_left(names, max(asked.prefix, asked.start))
    if asked.after:
        position = max(position, _beyond(names, asked.after, asked))
    while position < len(names):
        name = names[position]
        if not name.startswith(asked.prefix) or (asked.end and name >= asked.end):
            return
        prefix = _common_prefix(name, asked)
        found = list(bucket.generations(name, versions=asked.versions, soft_deleted=asked.soft_deleted))
        if not found:
            position = bisect_right(names, name)
        elif prefix:
            whole = found if asked.trailing_delimiter and name == prefix else []
            yield name, prefix, whole
            position = bisect_right(names, prefix + _LAST)
        else:
            yield name, "", found
            position = bisect_right(names, name)


def _common_prefix(name: str, asked: Listing) -> str:
    if not asked.delimiter:
        return ""
    end = name.find(asked.delimiter, len(asked.prefix))
    return "" if end < 0 else name[: end + len(asked.delimiter)]


def _beyond(names: list[str], after: str, asked: Listing) -> int:
    if _common_prefix(after, asked) == after:
        return bisect_right(names, after + _LAST)
    return bisect_right(names, after)

"""
Pages of a listing, for drivers that can yield their keys in order from any key on.

Python sorts text by code point, which is the byte order of UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from typing import TypeVar

from asyncstore.types import MultipartUpload, MultipartUploadPage, Part, PartPage

_Item = TypeVar("_Item")


def page(
    seek: Callable[[str], Generator[tuple[str, _Item], None, None]],
    *,
    prefix: str,
    delimiter: str | None,
    after: str | None,
    limit: int,
) -> tuple[list[tuple[str, _Item | None]], str | None]:
    """
    Return up to *limit* entries, and the name of the last one if there are more.

    An entry is a key with its item, or a common prefix with ``None``. Pass the
    returned name as the next *after* to get the entries that follow it, whatever
    has been written or deleted in between.

    Args:
        seek: Yields all keys, with their items, that are not less than its argument,
            in order. Keys under a common prefix are skipped by seeking past them.
        after: Only entries greater than this; a common prefix is compared by its
            own name, not by the keys under it.
    """
    found: list[tuple[str, _Item | None]] = []
    bound: str | None = prefix if after is None else max(prefix, after + "\0")
    while bound is not None:
        with closing(seek(bound)) as keys:
            bound = None
            for key, item in keys:
                if not key.startswith(prefix):
                    break
                common = _common_prefix(key, prefix, delimiter)
                if common is None or after is None or common > after:
                    if len(found) == limit:
                        return found, found[-1][0]
                    found.append((key, item) if common is None else (common, None))
                if common is not None:
                    bound = successor(common)
                    break
    return found, None


def part_page(parts: Mapping[int, Part], token: str | None, limit: int) -> PartPage:
    """
    Return up to *limit* parts after *token*, the number of a part.
    """
    numbers = sorted(number for number in parts if number > int(token or 0))
    shown = numbers[:limit]
    return PartPage([parts[number] for number in shown], str(shown[-1]) if len(shown) < len(numbers) else None)


def upload_page(uploads: Iterable[MultipartUpload], token: str | None, limit: int) -> MultipartUploadPage:
    """
    Return up to *limit* uploads after *token*, in order of key and upload id.
    """
    after_id, _, after_key = (token or "/").partition("/")
    found = {(upload.uri.key, upload.upload_id): upload for upload in uploads}
    places = sorted(place for place in found if place > (after_key, after_id))
    shown = places[:limit]
    next_token = "{1}/{0}".format(*shown[-1]) if len(shown) < len(places) else None
    return MultipartUploadPage([found[place] for place in shown], next_token)


def successor(prefix: str) -> str | None:
    """
    Return the smallest text that is greater than everything that starts with *prefix*.

    Use it for comparisons only: it may contain a lone surrogate. Returns ``None`` if
    no text is greater.
    """
    kept = prefix.rstrip("\U0010ffff")
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else None


def _common_prefix(key: str, prefix: str, delimiter: str | None) -> str | None:
    if delimiter is None:
        return None
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]

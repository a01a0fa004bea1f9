"""
Pages of a listing, made of anything that can produce keys in order from a given one on.

Text of Python sorts by code point, which is the byte order of UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

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
    Return up to *limit* entries, and the last one's name if there are more.

    An entry is a key with its item, or a common prefix with ``None``. That name
    as the next *after* goes on with the entry that follows it, whatever was
    written and deleted meanwhile.

    Args:
        seek: Yields all keys (with their items) that are not less than the
            text it is given, in order. Keys under a common prefix are skipped
            by seeking past them, not by drawing them.
        after: Only entries greater than this; a common prefix counts by its
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


def successor(prefix: str) -> str | None:
    """
    Return the least text that is greater than everything that starts with *prefix*.

    It is for comparisons only: it may hold a lone surrogate. ``None`` if there
    is no such text.
    """
    kept = prefix.rstrip("\U0010ffff")
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else None


def _common_prefix(key: str, prefix: str, delimiter: str | None) -> str | None:
    if delimiter is None:
        return None
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]

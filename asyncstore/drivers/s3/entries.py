"""
The entries of a listing, read without building a tree of them.

The thousand entries of a page look alike: the first says which elements there are and in
what order, and one regular expression made of that reads all of them, in a tenth of the
time that a parser takes. A page whose entries differ, or that has more than plain
elements and text, is left to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

#: What is read of an entry.
FIELDS: Final = ("Key", "LastModified", "ETag", "Size", "StorageClass")

#: The text of each of :data:`FIELDS`; empty if it is not there.
Row = tuple[str, str, str, str, str]

_OPEN: Final = "<Contents>"
_CLOSE: Final = "</Contents>"
_TAG: Final = re.compile(r"<(/?\w+)>")

# Both stand around an ETag, which is used without them.
_QUOTES: Final = (b"&#34;", b"&quot;")


def cut(body: bytes) -> tuple[Sequence[Row], bytes]:
    """
    Return the entries of a page, and the page without them; or none, and the page as it is.
    """
    plain = body
    for quote in _QUOTES:
        plain = plain.replace(b"<ETag>" + quote, b"<ETag>").replace(quote + b"</ETag>", b"</ETag>")
    start, end = plain.find(_OPEN.encode()), plain.rfind(_CLOSE.encode()) + len(_CLOSE)
    # A parser has to see to other entities, and to the ends of lines.
    if start < 0 or end < start or b"&" in plain or b"\r" in plain:
        return [], body
    try:
        rows = _rows(plain[start:end].decode())
    except UnicodeDecodeError:
        rows = None
    return ([], body) if rows is None else (rows, plain[:start] + plain[end:])


def _rows(text: str) -> Sequence[Row] | None:
    outline = _TAG.findall(text, 0, text.find(_CLOSE) + len(_CLOSE))
    reader = _reader(tuple(outline))
    if reader is None:
        return None
    pattern, order = reader
    rows: Sequence[Any] = pattern.findall(text)
    # All of them, and nothing between them.
    if not len(rows) == text.count(_OPEN) == text.count(_CLOSE + _OPEN) + 1:
        return None
    return rows if order is None else [order(row) for row in rows]


@lru_cache(maxsize=32)
def _reader(outline: Sequence[str]) -> tuple[re.Pattern[str], Callable[[Any], Any] | None] | None:
    """
    Return what reads entries that have the tags *outline*, and what puts their fields in order.
    """
    pattern, found, depth = "", [], 0
    for tag, following in zip(outline, (*outline[1:], ""), strict=True):
        depth += -1 if tag.startswith("/") else 1
        pattern += f"<{tag}>"
        if following != f"/{tag}":
            continue
        # Inside of another element (the owner's) a name means something else.
        wanted = depth == 2 and tag in FIELDS
        pattern += "([^<]*)" if wanted else "[^<]*"
        found += [tag] if wanted else []
    missing = [name for name in FIELDS if name not in found]
    if "Key" in missing or len(found) + len(missing) > len(FIELDS):
        return None
    names = found + missing
    order = None if tuple(names) == FIELDS else itemgetter(*[names.index(name) for name in FIELDS])
    return re.compile(pattern + "()" * len(missing)), order

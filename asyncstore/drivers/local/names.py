"""
Maps keys to paths below the root, and back.

A key is split at ``/``. Each segment is the name of a directory and the last one
the name of a file, unchanged: the key ``a/b.txt`` is the file ``a/b.txt``. Only
segments that a file system cannot store, or that the driver reserves for itself,
are escaped, so that an existing tree of files has its natural keys:

=============================================  =======================================
segment                                        file name
=============================================  =======================================
empty, ``.`` or ``..``                         ``.asyncstore-e`` + segment
``.asyncstore``, or starts with                ``.asyncstore-e`` + segment
``.asyncstore-``, or has a NUL, or is the
name of a download's temporary file
more than 255 bytes                            the same, cut into pieces of up to 240 bytes:
                                               a directory ``.asyncstore-+`` + piece for each
                                               but the last, which is ``.asyncstore-e`` + piece
an object whose path is also a directory       ``.asyncstore-o`` + segment
=============================================  =======================================

In an escaped name ``%`` is ``%25`` and NUL is ``%00``. Nothing else is changed,
so names stay readable. The last row is for keys such as ``a`` next to ``a/b``: the
directory stays in place, and the object moves aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

from asyncstore._support.temporary import BOOKKEEPING, is_temporary

#: The driver's own directory below the root.
HIDDEN: Final = BOOKKEEPING

_ESCAPE: Final = HIDDEN + "-"
_MORE: Final = _ESCAPE + "+"
_MAX_NAME: Final = 255
_MAX_PIECE: Final = 240


class Kind(Enum):
    """
    The meaning of a name on disk; the value is its mark in an escaped name.
    """

    #: A directory, or an object in its usual place.
    PLACE = "e"
    #: An object that has moved aside, since a directory has its path.
    ASIDE = "o"
    #: A directory with the rest of a long segment.
    MORE = "+"


def place(segment: str) -> tuple[str, ...]:
    """
    Return the usual path of one segment of a key.
    """
    return (segment,) if _natural(segment) else _escaped(segment, Kind.PLACE)


def aside(segment: str) -> tuple[str, ...]:
    """
    Return the path of an object whose usual path is a directory.
    """
    return _escaped(segment, Kind.ASIDE)


def places(key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Return the usual path of an object below the root, and its path aside.
    """
    *parents, last = key.split("/")
    above = tuple(name for segment in parents for name in place(segment))
    return above + place(last), above + aside(last)


def read_name(name: str, carried: str = "") -> tuple[Kind, str] | None:
    """
    Return the meaning of a name on disk; ``None`` if it is not part of a key.

    Args:
        carried: The pieces of the segment so far, as on disk, for a name in a
            directory of :attr:`Kind.MORE`.

    Returns:
        The kind, and the segment, or for :attr:`Kind.MORE` the pieces so far.
    """
    if not _encodable(name):
        return None
    if name != HIDDEN and not name.startswith(_ESCAPE):
        return None if carried or (name.endswith(".part") and is_temporary(name)) else (Kind.PLACE, name)
    if name.startswith(_MORE):
        return Kind.MORE, carried + name.removeprefix(_MORE)
    for kind in (Kind.PLACE, Kind.ASIDE):
        if name.startswith(_ESCAPE + kind.value):
            segment = _unescaped(carried + name.removeprefix(_ESCAPE + kind.value))
            # A name that the driver would not have chosen is another program's file.
            expected = place(segment) if kind is Kind.PLACE else aside(segment)
            return (kind, segment) if expected[-1] == name and bool(carried) == (len(expected) > 1) else None
    return None


def _natural(segment: str) -> bool:
    return (
        segment not in ("", ".", "..")
        and "\0" not in segment
        and segment != HIDDEN
        and not segment.startswith(_ESCAPE)
        and not (segment.endswith(".part") and is_temporary(segment))
        and len(segment.encode()) <= _MAX_NAME
    )


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        # Python represents names that are not UTF-8 with lone surrogates, which keys cannot have.
        return False
    return True


def _escaped(segment: str, kind: Kind) -> tuple[str, ...]:
    *pieces, last = _cut(segment.replace("%", "%25").replace("\0", "%00"))
    return (*(_MORE + piece for piece in pieces), _ESCAPE + kind.value + last)


def _unescaped(text: str) -> str:
    return text.replace("%00", "\0").replace("%25", "%")


def _cut(text: str) -> Iterator[str]:
    rest = text.encode()
    while len(rest) > _MAX_PIECE:
        # Never cut inside a character.
        piece = rest[:_MAX_PIECE].decode(errors="ignore")
        yield piece
        rest = rest[len(piece.encode()) :]
    yield rest.decode()

"""
Keys as paths below the root, and back.

A key is split at ``/`` and each segment is the name of a directory, the last
one that of a file, as it stands: the file of the key ``a/b.txt`` is ``a/b.txt``.
Only a segment that a file system cannot hold, or that we need for ourselves, is
escaped, so that an ordinary tree of files has its natural keys:

=============================================  =======================================
segment                                        file name
=============================================  =======================================
empty, ``.`` or ``..``                         ``.asyncstore-e`` + segment
``.asyncstore``, or starts with                ``.asyncstore-e`` + segment
``.asyncstore-``, or has a NUL
more than 255 bytes                            the same, cut into pieces of up to 240 bytes:
                                               a directory ``.asyncstore-+`` + piece for each
                                               but the last, which is ``.asyncstore-e`` + piece
an object where there is a directory as well   ``.asyncstore-o`` + segment
=============================================  =======================================

In an escaped name ``%`` is ``%25`` and NUL is ``%00``. Nothing else is changed,
so a name can be read back by eye. The last row is for keys such as ``a`` beside
``a/b``: directories never move, the object does.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

#: The directory of ours below the root.
HIDDEN: Final = ".asyncstore"

_ESCAPE: Final = HIDDEN + "-"
_MORE: Final = _ESCAPE + "+"
_MAX_NAME: Final = 255
_MAX_PIECE: Final = 240


class Kind(Enum):
    """
    What a name on disk stands for; the value marks it in an escaped name.
    """

    #: A directory, or an object in its usual place.
    PLACE = "e"
    #: An object that gave its place to a directory.
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
    Return the path of an object whose usual place is a directory.
    """
    return _escaped(segment, Kind.ASIDE)


def places(key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Return the usual path of an object below the root, and the one aside.
    """
    *parents, last = key.split("/")
    above = tuple(name for segment in parents for name in place(segment))
    return above + place(last), above + aside(last)


def read_name(name: str, carried: str = "") -> tuple[Kind, str] | None:
    """
    Return what a name on disk stands for; ``None`` if it is no part of a key.

    Args:
        carried: The pieces of the segment so far, as they are on disk, for a
            name in a directory that is :attr:`Kind.MORE`.

    Returns:
        The kind, and the segment, or for :attr:`Kind.MORE` the pieces so far.
    """
    if not _encodable(name):
        return None
    if name != HIDDEN and not name.startswith(_ESCAPE):
        return None if carried else (Kind.PLACE, name)
    if name.startswith(_MORE):
        return Kind.MORE, carried + name.removeprefix(_MORE)
    for kind in (Kind.PLACE, Kind.ASIDE):
        if name.startswith(_ESCAPE + kind.value):
            segment = _unescaped(carried + name.removeprefix(_ESCAPE + kind.value))
            # Whatever we would have named otherwise is somebody else's file.
            expected = place(segment) if kind is Kind.PLACE else aside(segment)
            return (kind, segment) if expected[-1] == name and bool(carried) == (len(expected) > 1) else None
    return None


def _natural(segment: str) -> bool:
    return (
        segment not in ("", ".", "..")
        and "\0" not in segment
        and segment != HIDDEN
        and not segment.startswith(_ESCAPE)
        and len(segment.encode()) <= _MAX_NAME
    )


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        # Names that are not UTF-8 reach Python as lone surrogates; no key has any.
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
        # Never inside of a character.
        piece = rest[:_MAX_PIECE].decode(errors="ignore")
        yield piece
        rest = rest[len(piece.encode()) :]
    yield rest.decode()

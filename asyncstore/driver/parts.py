"""
The parts of a multipart upload, ordered and verified before it is completed.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from asyncstore.checksum import combine_all
from asyncstore.errors import IntegrityError
from asyncstore.types import Checksum, Part


def in_order(parts: Iterable[Part]) -> list[Part]:
    """
    Return *parts* by number.
    """
    return sorted(parts, key=attrgetter("number"))


def compare_parts(parts: Iterable[Part], whole: Checksum | None) -> None:
    """
    Compare the combined checksum of *parts*, in their order, with that of the *whole* object, if both are known.

    Raises:
        IntegrityError: They differ.
    """
    found = combine_all((part.checksum, part.size) for part in parts)
    if found is None or whole is None or found.algorithm is not whole.algorithm or found == whole:
        return
    raise IntegrityError("the parts do not add up to the object", expected=str(whole), actual=str(found))

"""
Records made without their own ``__init__``.

A frozen record sets each field through a call that looks the field up by its
name. These set the slots, which takes half as long; it matters for every small
read and for every key of a listing.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from asyncstore.types import Metadata, ObjectInfo

_METADATA: Final = [getattr(Metadata, item.name).__set__ for item in fields(Metadata)]
_OBJECT_INFO: Final = [getattr(ObjectInfo, item.name).__set__ for item in fields(ObjectInfo)]


def metadata(*values: Any) -> Metadata:
    """
    Return a record of all its fields, in their order.
    """
    record = object.__new__(Metadata)
    for put, value in zip(_METADATA, values):  # noqa: B905 - asking for it costs too
        put(record, value)
    return record


def object_info(*values: Any) -> ObjectInfo:
    """
    Return a record of all its fields, in their order.
    """
    record = object.__new__(ObjectInfo)
    for put, value in zip(_OBJECT_INFO, values):  # noqa: B905
        put(record, value)
    return record

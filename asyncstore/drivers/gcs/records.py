"""
Records made without their own ``__init__``.

A frozen record sets each field through a call that looks the field up by its
name. This sets the slots, which takes half as long; it matters for every small read.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from asyncstore.types import Metadata

_DEFAULTS: Final = {"is_prefix": False, "is_current": None, "is_deleted": False}
_PUT: Final = {item.name: getattr(Metadata, item.name).__set__ for item in fields(Metadata)}
_GIVEN: Final = [put for name, put in _PUT.items() if name not in _DEFAULTS]
_FIXED: Final = [(_PUT[name], value) for name, value in _DEFAULTS.items() if name in _PUT]


def metadata(*values: Any) -> Metadata:
    """
    Return the record of an object: all fields in their order, but those of listings only.
    """
    record = object.__new__(Metadata)
    for put, value in zip(_GIVEN, values):  # noqa: B905 - asking for it costs too
        put(record, value)
    for put, value in _FIXED:
        put(record, value)
    return record

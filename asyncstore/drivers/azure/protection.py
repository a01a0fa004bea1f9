"""
How Azure is told to protect a blob from being deleted or overwritten.

https://learn.microsoft.com/azure/storage/blobs/immutable-version-level-worm-policies
https://learn.microsoft.com/rest/api/storageservices/put-blob
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from multidict import istr

from asyncstore.http.header_values import http_date, parse_date
from asyncstore.options import CopyOptions, WriteOptions
from asyncstore.retention import Retention

# Names that need no lower-casing at each look-up.
_UNTIL: Final = istr("x-ms-immutability-policy-until-date")
_MODE: Final = istr("x-ms-immutability-policy-mode")
_HOLD: Final = istr("x-ms-legal-hold")


def protection_headers(options: WriteOptions | CopyOptions) -> dict[str, str]:
    """
    Return the headers that protect a new blob.
    """
    headers = {} if options.retention is None else retention_headers(options.retention)
    return headers | hold_header(held=True) if options.legal_hold else headers


def retention_headers(retention: Retention) -> dict[str, str]:
    """
    Return the headers of an immutability policy.
    """
    mode = "Locked" if retention.mode == "compliance" else "Unlocked"
    return {_UNTIL: http_date(retention.until), _MODE: mode}


def hold_header(*, held: bool) -> dict[str, str]:
    """
    Return the header of a legal hold.
    """
    return {_HOLD: "true" if held else "false"}


def retention_in(headers: Mapping[str, str]) -> Retention | None:
    """
    Return the immutability policy that a reply names.
    """
    until = parse_date(headers.get(_UNTIL, "")) if _UNTIL in headers else None
    if until is None:
        return None
    return Retention(until, "compliance" if headers.get(_MODE, "").lower() == "locked" else "governance")


def held_in(headers: Mapping[str, str]) -> bool:
    """
    Return whether a reply names a legal hold.
    """
    return headers.get(_HOLD) == "true"

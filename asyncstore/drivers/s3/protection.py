"""
How S3 is told to protect an object from being deleted, and who may access it.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Final

from multidict import istr

from asyncstore.http.header_values import parse_time
from asyncstore.options import CopyOptions, WriteOptions
from asyncstore.retention import Retention

#: ``log-delivery-write`` is for buckets.
ACLS: Final = frozenset(
    {
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-full-control",
        "bucket-owner-read",
        "private",
        "public-read",
        "public-read-write",
    }
)

#: Lets a request delete or change what is retained in governance mode.
BYPASS: Final[Mapping[str, str]] = {"x-amz-bypass-governance-retention": "true"}

# Names that need no lower-casing at each look-up.
_MODE: Final = istr("x-amz-object-lock-mode")
_UNTIL: Final = istr("x-amz-object-lock-retain-until-date")
_HOLD: Final = istr("x-amz-object-lock-legal-hold")


def protection_headers(options: WriteOptions | CopyOptions) -> dict[str, str]:
    """
    Return the headers that protect a new object, and give access to it.
    """
    headers: dict[str, str] = {}
    if options.retention is not None:
        headers |= {_MODE: options.retention.mode.upper(), _UNTIL: until(options.retention)}
    if options.legal_hold:
        headers[_HOLD] = "ON"
    if options.acl is not None:
        headers["x-amz-acl"] = options.acl
    return headers


def until(retention: Retention) -> str:
    """
    Return the end of *retention* as S3 writes it.
    """
    return retention.until.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def retention_in(headers: Mapping[str, str]) -> Retention | None:
    """
    Return the retention that a reply names.
    """
    mode = headers.get(_MODE)
    return None if mode is None else retention_of(mode, headers.get(_UNTIL))


def retention_of(mode: str | None, text: str | None) -> Retention | None:
    """
    Return a retention by its mode and end; ``None`` if they are not those of one.
    """
    try:
        return Retention(parse_time(text or ""), "compliance" if mode == "COMPLIANCE" else "governance")
    except ValueError:
        return None


def held_in(headers: Mapping[str, str]) -> bool:
    """
    Return whether a reply names a legal hold.
    """
    return headers.get(_HOLD) == "ON"

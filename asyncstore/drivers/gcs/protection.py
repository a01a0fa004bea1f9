"""
How GCS is told to protect an object from being deleted or replaced, and who may access it.

A legal hold is a *temporary hold*. Event-based holds, which delay the retention policy of a bucket, are left alone.

https://cloud.google.com/storage/docs/object-lock
https://cloud.google.com/storage/docs/object-holds
https://cloud.google.com/storage/docs/access-control/lists#predefined-acl
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from asyncstore.http.header_values import parse_time
from asyncstore.options import CopyOptions, WriteOptions
from asyncstore.retention import Retention

#: As the XML API names them; the JSON API writes ``publicRead``.
ACLS: Final = frozenset(
    {
        "authenticated-read",
        "bucket-owner-full-control",
        "bucket-owner-read",
        "private",
        "project-private",
        "public-read",
    }
)


def protection(options: WriteOptions | CopyOptions) -> dict[str, Any]:
    """
    Return the fields of a resource that protect a new object.
    """
    fields: dict[str, Any] = {} if options.retention is None else {"retention": resource_of(options.retention)}
    return fields | {"temporaryHold": True} if options.legal_hold else fields


def resource_of(retention: Retention) -> dict[str, str]:
    """
    Return a retention as the JSON API writes it.
    """
    until = retention.until.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {"mode": "Locked" if retention.mode == "compliance" else "Unlocked", "retainUntilTime": until}


def retention_in(found: Mapping[str, Any]) -> Retention | None:
    """
    Return the retention that a resource names.

    Raises:
        ValueError: It is not one.
    """
    retention = found.get("retention")
    if not retention:
        return None
    until = parse_time(str(retention["retainUntilTime"]))
    return Retention(until, "compliance" if retention.get("mode") == "Locked" else "governance")


def acl_query(options: WriteOptions | CopyOptions, parameter: str = "predefinedAcl") -> list[tuple[str, str]]:
    """
    Return the parameter of a JSON request that gives access to a new object.
    """
    if options.acl is None:
        return []
    first, *rest = options.acl.split("-")
    return [(parameter, first + "".join(map(str.capitalize, rest)))]


def acl_header(options: WriteOptions) -> dict[str, str]:
    """
    Return the header of an XML request that gives access to a new object.
    """
    return {} if options.acl is None else {"x-goog-acl": options.acl}

"""
ListObjects and ListObjectVersions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from asyncstore.testing.servers.oci.call import Call, Reply, timestamp
from asyncstore.testing.servers.oci.errors import invalid_parameter
from asyncstore.testing.servers.oci.paging import page, page_size
from asyncstore.testing.servers.oci.state import Bucket, Version

_DELIMITER: Final = "/"
# The last code point: sorts after every name with the same prefix.
_AFTER_ALL: Final = "\U0010ffff"
# Keeps nine digits, whatever is subtracted from it.
_MAX_AGE: Final = 999_999_999

# By lower-case name: the names are case-insensitive.
_FIELDS: Final[Mapping[str, tuple[str, Callable[[Version, float], Any]]]] = {
    "name": ("name", lambda version, _: version.name),
    "size": ("size", lambda version, _: version.content.size),
    "etag": ("etag", lambda version, _: version.etag),
    "md5": ("md5", lambda version, _: version.md5),
    "timecreated": ("timeCreated", lambda version, _: timestamp(version.created)),
    "timemodified": ("timeModified", lambda version, _: timestamp(version.modified)),
    "storagetier": ("storageTier", lambda version, _: version.tier),
    "archivalstate": ("archivalState", lambda version, now: version.archival_state(now)),
}


async def list_objects(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/ListObjects
    """
    bucket, fields, limit = call.bucket, _fields(call.query), page_size(call.query)
    objects: list[dict[str, Any]] = []
    prefixes: list[str] = []
    # Without a delimiter, the service omits prefixes.
    reply: dict[str, Any] = {"objects": objects, **({"prefixes": prefixes} if "delimiter" in call.query else {})}
    for name, prefix in _entries(bucket, call.query, lambda one: bucket.current(one) is not None):
        if len(objects) + len(prefixes) == limit:
            reply["nextStartWith"] = name
            break
        version = bucket.current(name)
        if prefix is not None:
            prefixes.append(prefix)
        elif version is not None:
            objects.append(_summary(version, fields, call.now))
    return Reply(200, body=reply)


async def list_object_versions(call: Call) -> Reply:
    """
    https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/ListObjectVersions
    """
    bucket, fields = call.bucket, _fields(call.query)
    entries: list[tuple[str, Any]] = []
    for name, prefix in _entries(bucket, call.query, lambda _: True):
        if prefix is not None:
            entries.append((prefix, prefix))
            continue
        # Newest first. A version's mark does not change when a newer version is added.
        versions = list(enumerate(reversed(list(bucket.versions(name)))))
        for age, version in reversed(versions):
            entries.append((f"{name}\0{_MAX_AGE - age}", _version_summary(version, fields, call.now)))
    chosen, headers = page(entries, call.query)
    prefixes = [entry for entry in chosen if isinstance(entry, str)]
    return Reply(200, headers, {"items": [one for one in chosen if not isinstance(one, str)], "prefixes": prefixes})


def _entries(
    bucket: Bucket, query: Mapping[str, str], exists: Callable[[str], bool]
) -> Iterator[tuple[str, str | None]]:
    # Yields each name to list, with its common prefix if it stands for one.
    names, prefix = bucket.names(), query.get("prefix", "")
    delimiter = query.get("delimiter")
    if delimiter not in (None, "", _DELIMITER):
        raise invalid_parameter(f"'{delimiter}' is not a valid delimiter: only '/' is supported")
    at, end = _first(names, query), query.get("end")
    while at < len(names) and names[at].startswith(prefix) and (end is None or names[at] < end):
        name = names[at]
        common = _common_prefix(name, prefix) if delimiter else None
        if common is None:
            at += 1
            if exists(name):
                yield name, None
        else:
            stop = bisect_left(names, common + _AFTER_ALL, at)
            if any(exists(one) for one in names[at:stop]):
                yield name, common
            at = stop


def _first(names: list[str], query: Mapping[str, str]) -> int:
    at = bisect_left(names, max(query.get("prefix", ""), query.get("start", "")))
    return max(at, bisect_right(names, query["startAfter"])) if "startAfter" in query else at


def _common_prefix(name: str, prefix: str) -> str | None:
    found = name.find(_DELIMITER, len(prefix))
    return None if found < 0 else name[: found + 1]


def _fields(query: Mapping[str, str]) -> list[str]:
    requested = [name.strip().lower() for name in query.get("fields", "name").split(",") if name.strip()]
    unknown = [name for name in requested if name not in _FIELDS]
    if unknown:
        raise invalid_parameter(f"'{unknown[0]}' is not a field of an object")
    return ["name", *requested]


def _summary(version: Version, fields: list[str], now: float) -> dict[str, Any]:
    values = {_FIELDS[name][0]: _FIELDS[name][1](version, now) for name in fields}
    return {name: value for name, value in values.items() if value is not None}


def _version_summary(version: Version, fields: list[str], now: float) -> dict[str, Any]:
    always = {
        "versionId": version.version_id,
        "isDeleteMarker": version.is_delete_marker,
        "timeModified": timestamp(version.modified),
    }
    return {**_summary(version, fields, now), **always}

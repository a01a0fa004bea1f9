"""
Records made without their own ``__init__``.

A frozen record sets each field through a call that looks the field up by its
name. These set the slots, which takes half as long; it matters for every small
read and for every key of a listing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from asyncstore.types import Metadata, ObjectInfo
from asyncstore.uri import ObjectURI

_METADATA: Final = [getattr(Metadata, item.name).__set__ for item in fields(Metadata)]
_OBJECT_INFO: Final = [getattr(ObjectInfo, item.name).__set__ for item in fields(ObjectInfo)]
_URI: Final = [getattr(ObjectURI, item.name).__set__ for item in fields(ObjectURI)]


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


def listed(bucket: ObjectURI, rows: Iterable[tuple[str, str, str, str, str]]) -> list[ObjectInfo]:
    """
    Return the records of many objects in *bucket*: of key, date, ETag, size and class of each.

    Raises:
        ValueError: A field cannot be read.
    """
    put_provider, put_bucket, put_key, put_namespace, put_region = _URI
    put_uri, put_size, put_etag, put_modified, put_version, put_class, put_checksum, *put_flags = _OBJECT_INFO
    put_is_prefix, put_is_current, put_is_deleted = put_flags
    provider, name, namespace, region = bucket.provider, bucket.bucket, bucket.namespace, bucket.region
    new, moment = object.__new__, datetime.fromisoformat
    records = []
    for key, modified, etag, size, storage_class in rows:
        if not key:
            raise ValueError("no key")
        uri = new(ObjectURI)
        put_provider(uri, provider)
        put_bucket(uri, name)
        put_key(uri, key)
        put_namespace(uri, namespace)
        put_region(uri, region)
        info = new(ObjectInfo)
        put_uri(info, uri)
        put_size(info, int(size or 0))
        put_etag(info, etag.strip('"') or None)
        put_modified(info, moment(modified) if modified else None)
        put_version(info, None)
        put_class(info, storage_class or None)
        put_checksum(info, None)
        put_is_prefix(info, False)
        put_is_current(info, None)
        put_is_deleted(info, False)
        records.append(info)
    return records

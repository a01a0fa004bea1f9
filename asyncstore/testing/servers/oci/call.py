"""
The request that handlers receive, and the reply that they return.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

from aiohttp import web

from asyncstore.testing.servers.oci import receiving
from asyncstore.testing.servers.oci.content import Content
from asyncstore.testing.servers.oci.errors import (
    ServiceError,
    bucket_not_found,
    invalid_parameter,
    namespace_not_found,
    object_not_found,
)
from asyncstore.testing.servers.oci.state import Bucket, Version
from asyncstore.testing.servers.oci.store import Store


@dataclass(frozen=True, slots=True)
class Reply:
    """
    The reply to a request.

    Attributes:
        body: A value to send as JSON.
        content: Sent instead of *body*, in the range *span* (start included, stop excluded).
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content: Content | None = None
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Call:
    """
    An authorized request.

    Attributes:
        names: The variable segments of the path, decoded.
        query: The last value of each parameter, decoded.
        headers: Headers, with lower-case names.
        caller: OCID of the user.
        signed: Names of the signed headers.
        now: Seconds since 1970.
    """

    request: web.BaseRequest
    store: Store
    names: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    caller: str
    signed: frozenset[str]
    now: float

    @property
    def namespace(self) -> str:
        """
        The namespace in the path, if it is the tenancy's.
        """
        if self.names["namespace"] != self.store.namespace:
            raise namespace_not_found()
        return self.names["namespace"]

    @property
    def bucket(self) -> Bucket:
        """
        The bucket in the path.
        """
        return self.bucket_of(self.namespace, self.names["bucket"])

    def bucket_of(self, namespace: str, name: str) -> Bucket:
        """
        Return a bucket.
        """
        found = self.store.buckets.get(name) if namespace == self.store.namespace else None
        if found is None:
            raise bucket_not_found(name, namespace)
        return found

    def found(self, name: str, version_id: str | None = None) -> Version:
        """
        Return an object in the bucket, or one version of it.
        """
        bucket = self.bucket
        version = bucket.current(name) if version_id is None else bucket.version(name, version_id)
        if version is None or version.is_delete_marker:
            raise object_not_found(name, bucket.name, self.namespace)
        return version

    async def body(self) -> receiving.Body:
        """
        Read a body that holds the bytes of an object or a part.
        """
        return await receiving.receive_object(self.request, self.headers, self.signed)

    async def details(self) -> dict[str, Any]:
        """
        Read a body that is a JSON object.
        """
        data = await receiving.receive_details(self.request, self.headers)
        try:
            details = json.loads(data)
        except ValueError:
            details = None
        if not isinstance(details, dict):
            raise ServiceError(400, "InvalidJSON", "The body is not a valid JSON object")
        return {name: value for name, value in details.items() if value is not None}


def required(details: Mapping[str, Any], name: str) -> str:
    """
    Return a non-empty string that *details* must have.
    """
    value = details.get(name)
    if not isinstance(value, str) or not value:
        raise ServiceError(400, "MissingParameter", f"{name} is required")
    return value


def records(details: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """
    Return a list of JSON objects from *details*; empty if it is absent.
    """
    value = details.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid_parameter(f"{name} must be a list of JSON objects")
    return value


def whole_number(text: str, name: str) -> int:
    """
    Parse *text* as a number that is not negative.
    """
    if not text.isascii() or not text.isdigit():
        raise invalid_parameter(f"{name} must be a whole number, not '{text}'")
    return int(text)


def http_date(seconds: float) -> str:
    """
    Return a time in the format of HTTP headers.
    """
    return formatdate(seconds, usegmt=True)


def timestamp(seconds: float) -> str:
    """
    Return a time in the service's JSON format, to the millisecond.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""
A request as handlers see it, and the reply that they give.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from asyncstore.testing.servers.oci.store import Store


@dataclass(frozen=True, slots=True)
class Reply:
    """
    What a request is answered with.

    Attributes:
        body: Bytes, or what is to be sent in JSON.
        content: Sent instead of *body*, from and to the two positions of *span*.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content: Content | None = None
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Call:
    """
    A request that has been admitted.

    Attributes:
        names: The variable segments of the path, decoded.
        query: The last value of each parameter, decoded.
        headers: With lower-case names.
        caller: OCID of the user.
        signed: Names of the headers that were signed.
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
        The namespace, which is the tenancy's.
        """
        if self.names["namespace"] != self.store.namespace:
            raise namespace_not_found()
        return self.names["namespace"]

    @property
    def bucket(self) -> Bucket:
        """
        The bucket that is asked for.
        """
        return self.bucket_of(self.namespace, self.names["bucket"])

    def bucket_of(self, namespace: str, name: str) -> Bucket:
        """
        Return the bucket *name*.
        """
        found = self.store.buckets.get(name) if namespace == self.store.namespace else None
        if found is None:
            raise bucket_not_found(name, namespace)
        return found

    def found(self, name: str, version_id: str | None = None) -> Version:
        """
        Return an object, or a version of it, in the bucket.
        """
        bucket = self.bucket
        version = bucket.current(name) if version_id is None else bucket.version(name, version_id)
        if version is None or version.is_delete_marker:
            raise object_not_found(name, bucket.name, self.namespace)
        return version

    async def body(self) -> receiving.Body:
        """
        Read the bytes of an object or a part.
        """
        return await receiving.receive_object(self.request, self.headers, self.signed)

    async def details(self) -> dict[str, Any]:
        """
        Read a body that is an object in JSON.
        """
        data = await receiving.receive_details(self.request, self.headers)
        try:
            details = json.loads(data)
        except ValueError:
            details = None
        if not isinstance(details, dict):
            raise ServiceError(400, "InvalidJSON", "The body is not a valid object in JSON")
        return {name: value for name, value in details.items() if value is not None}


def required(details: Mapping[str, Any], name: str) -> str:
    """
    Return a text that must be among *details*.
    """
    value = details.get(name)
    if not isinstance(value, str) or not value:
        raise ServiceError(400, "MissingParameter", f"{name} is required")
    return value


def records(details: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """
    Return a list of objects in JSON that may be among *details*.
    """
    value = details.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid_parameter(f"{name} must be a list of objects in JSON")
    return value


def whole_number(text: str, name: str) -> int:
    """
    Return the number that *text* is.
    """
    if not text.isascii() or not text.isdigit():
        raise invalid_parameter(f"{name} must be a whole number, not '{text}'")
    return int(text)


def http_date(seconds: float) -> str:
    """
    Return a time as headers have it.
    """
    return formatdate(seconds, usegmt=True)


def timestamp(seconds: float) -> str:
    """
    Return a time as JSON has it, to the millisecond.
    """
    made = datetime.fromtimestamp(seconds, UTC)
    return made.isoformat(timespec="milliseconds").replace("+00:00", "Z")

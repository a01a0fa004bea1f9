"""
Locates and signs the requests of OCI, and explains its refusals.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import lru_cache
from typing import Any, Final, NamedTuple

from asyncstore.auth.credentials import Grant, TokenSource
from asyncstore.auth.oci.credentials import OCICredentials
from asyncstore.auth.oci.signature import OCIKeys, sign_headers
from asyncstore.driver.body import Body, BytesBody
from asyncstore.drivers.oci.addresses import Addresses, Endpoint, encode_segment
from asyncstore.drivers.oci.errors import malformed, refusal
from asyncstore.errors import NotFoundError, StorageError
from asyncstore.http.client import HTTPClient
from asyncstore.http.exchange import NO_HEADERS, Exchange
from asyncstore.http.object_headers import failed_match
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply
from asyncstore.uri import ObjectURI

#: Multiplies ``stall_timeout`` for requests that make the service work, such as a commit of 10,000 parts.
PATIENCE: Final = 20.0

_CLIENT_ID: Final = "opc-client-request-id"


class Request(NamedTuple):
    """
    One request, before it is signed.

    Attributes:
        uri: The object or bucket; names only the region if *in_bucket* is false.
        path: Percent-encoded, below the bucket, or else below the endpoint.
        query: Percent-encoded, without the ``?``.
        body: The bytes to send. The signature covers the documents of a POST, and not the bytes of objects.
        create_only: A failed condition means that the object exists.
        patience: Multiplies ``stall_timeout`` for the reply.
    """

    method: str
    uri: ObjectURI
    path: str = ""
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: Body | None = None
    create_only: bool = False
    patience: float = 1.0
    in_bucket: bool = True
    accept: int = 0


class Wire(Exchange["OCIKeys | None"]):
    """
    The requests of one storage on OCI.

    Args:
        namespace: The namespace of buckets whose URI names none; ``None`` requests it from OCI.
    """

    credentials: OCICredentials

    client_id_header = _CLIENT_ID

    def __init__(
        self,
        http: HTTPClient,
        credentials: OCICredentials,
        addresses: Addresses,
        namespace: str | None = None,
    ) -> None:
        super().__init__(http, credentials)
        self.addresses = addresses
        self._namespace = namespace
        self._namespaces: dict[Endpoint, TokenSource[str]] = {}
        self._id_prefix = uuid.uuid4().hex[:20]
        self._id_numbers = itertools.count(1)

    def locate(self, request: Request) -> tuple[Origin, str] | None:
        endpoint = self.addresses.known(request.uri)
        if endpoint is None:
            return None
        origin = endpoint.origin
        if not request.in_bucket:
            return origin, origin.path + request.path
        namespace = request.uri.namespace or self._namespace or self._fetched_namespace(endpoint)
        if namespace is None:
            return None
        return origin, origin.path + bucket_path(namespace, request.uri.bucket) + request.path

    async def find(self, request: Request) -> tuple[Origin, str]:
        uri = request.uri
        origin = (await self.endpoint_of(uri)).origin
        bucket = bucket_path(await self.namespace_of(uri), uri.bucket) if request.in_bucket else ""
        return origin, origin.path + bucket + request.path

    def sign(self, request: Request, origin: Origin, path: str, keys: OCIKeys | None) -> tuple[Mapping[str, str], str]:
        headers = {**request.headers, _CLIENT_ID: f"{self._id_prefix}{next(self._id_numbers):012x}"}
        document = bytes(request.body.data or b"") if request.method == "POST" and request.body else None
        if keys is not None:
            headers |= sign_headers(
                request.method,
                f"{path}?{request.query}" if request.query else path,
                origin.host,
                keys=keys,
                when=self.clock.now(),
                content=document,
            )
        elif document is not None:
            headers["content-type"] = "application/json"
        return headers, request.query

    def explain(self, request: Request, reply: Reply, body: bytes) -> StorageError:
        error = refusal(reply, body, create_only=request.create_only)
        if isinstance(error, NotFoundError) and "If-Match" in request.headers and _has_other_etag(request, error):
            return failed_match(error)
        return error

    async def endpoint_of(self, uri: ObjectURI) -> Endpoint:
        """
        Return the endpoint of the region of *uri*.
        """
        return self.addresses.known(uri) or await self.addresses.find(uri)

    async def namespace_of(self, uri: ObjectURI) -> str:
        """
        Return the namespace of the bucket of *uri*, by default that of the caller's tenancy.

        One request is sent for each endpoint; cancelling one waiter does not affect the others.
        https://docs.oracle.com/iaas/Content/Object/Tasks/understandingnamespaces.htm
        """
        if namespace := uri.namespace or self._namespace:
            return namespace
        source = self._namespaces.setdefault(
            await self.endpoint_of(uri), TokenSource(lambda: self._fetch_namespace(uri), name="the OCI namespace")
        )
        return (await source.get()).value

    def _fetched_namespace(self, endpoint: Endpoint) -> str | None:
        source = self._namespaces.get(endpoint)
        lease = None if source is None else source.current()
        return None if lease is None else lease.value

    async def _fetch_namespace(self, uri: ObjectURI) -> Grant[str]:
        reply, namespace = await self.read_json(Request("GET", uri, "/n", in_bucket=False))
        if not isinstance(namespace, str) or not namespace:
            raise malformed(reply, "a namespace")
        return Grant(namespace)

    async def aclose(self) -> None:
        """
        Close the connections, the credentials and the sources of namespaces; may be called twice.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(super().aclose)
            for source in self._namespaces.values():
                stack.push_async_callback(source.aclose)


def _has_other_etag(request: Request, error: NotFoundError) -> bool:
    if request.method in ("GET", "HEAD"):
        # Without versioning, a version that was named disappears when the object is overwritten.
        return bool(request.query)
    return error.code == "ObjectNotFound"


def document(value: Any) -> BytesBody:
    """
    Return *value* as a body of JSON.
    """
    return BytesBody(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8"))


@lru_cache(maxsize=64)
def bucket_path(namespace: str, bucket: str) -> str:
    """
    Return the path of a bucket.
    """
    return f"/n/{encode_segment(namespace)}/b/{encode_segment(bucket)}"


def object_path(key: str) -> str:
    """
    Return the path of an object below its bucket.
    """
    return f"/o/{encode_segment(key)}"

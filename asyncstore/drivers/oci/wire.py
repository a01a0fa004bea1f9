"""
Signs and sends the requests of OCI, and mends what a refusal says can be mended.
"""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from asyncstore.auth.credentials import Grant, Lease, TokenSource
from asyncstore.auth.oci import OCICredentials
from asyncstore.auth.oci_signature import OCIKeys, sign_headers
from asyncstore.body import Body, BytesBody
from asyncstore.drivers.oci.addresses import Addresses, Endpoint, encode_segment
from asyncstore.drivers.oci.errors import refusal
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.http.client import HTTPClient
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply
from asyncstore.uri import ObjectURI

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

#: Bytes of the longest reply that is read into memory: a page of 1,000 long keys.
MAX_REPLY: Final = 16 * 1024 * 1024

#: Times the stall timeout for requests that make the service work, such as a commit of 10,000 parts.
PATIENCE: Final = 20.0

# Clocks that differ by less are not what the provider complains about: it allows five minutes.
_CLOCK_TOLERANCE: Final = 60.0

_JSON: Final = "application/json"


class Request(NamedTuple):
    """
    One request, before it is signed.

    Attributes:
        uri: The object or bucket it is about.
        path: What follows the bucket, percent-encoded.
        query: Percent-encoded, without the ``?``.
        body: The bytes of an object or part, which the signature does not cover.
        document: Sent along instead, and covered.
        create_only: A failed precondition means that there is an object.
        patience: Times the stall timeout to wait for the reply.
    """

    method: str
    uri: ObjectURI
    path: str = ""
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: Body | None = None
    document: bytes | None = None
    create_only: bool = False
    patience: float = 1.0


class Wire:
    """
    How one storage talks to OCI.

    Args:
        namespace: Of buckets whose URI names none; ``None`` asks the provider.

    Attributes:
        clock_offset: Seconds by which the provider's clock is ahead of ours.
    """

    def __init__(
        self,
        http: HTTPClient,
        credentials: OCICredentials,
        addresses: Addresses,
        namespace: str | None = None,
    ) -> None:
        self.http = http
        self.credentials = credentials
        self.addresses = addresses
        self.clock_offset = 0.0
        self._namespace = namespace
        self._namespaces: dict[Endpoint, TokenSource[str]] = {}
        mine = uuid.uuid4().hex[:20]
        self._ids = (f"{mine}{number:012x}" for number in itertools.count(1))

    async def send(self, request: Request) -> Reply:
        """
        Send a request about an object or bucket and return the reply, which is a success.

        Raises:
            StorageError: What OCI answered, or that it did not.
        """
        uri = request.uri
        endpoint = self.addresses.known(uri) or await self.addresses.find(uri)
        namespace = uri.namespace or self._namespace or await self.namespace(endpoint)
        return await self._send(
            endpoint.origin, endpoint.origin.path + bucket_path(namespace, uri.bucket) + request.path, request
        )

    async def send_beside(self, request: Request) -> Reply:
        """
        Send a request about what is not in a bucket, in the region of ``request.uri``.
        """
        endpoint = self.addresses.known(request.uri) or await self.addresses.find(request.uri)
        return await self._send(endpoint.origin, endpoint.origin.path + request.path, request)

    async def read(self, request: Request) -> tuple[Reply, Any]:
        """
        Send a request and return its reply with the JSON of its body.

        Raises:
            UnavailableError: The body is no JSON.
        """
        reply = await self.send(request)
        return reply, await read_json(reply)

    async def namespace(self, endpoint: Endpoint) -> str:
        """
        Return the namespace of the caller's tenancy, asked for once however many wait.

        https://docs.oracle.com/iaas/Content/Object/Tasks/understandingnamespaces.htm
        """
        source = self._namespaces.get(endpoint)
        if source is None:
            source = TokenSource(lambda: self._fetch_namespace(endpoint), name="the OCI namespace")
            self._namespaces[endpoint] = source
        lease = source.current() or await source.get()
        return lease.value

    async def namespace_of(self, uri: ObjectURI) -> str:
        """
        Return the namespace of the bucket of *uri*.
        """
        endpoint = self.addresses.known(uri) or await self.addresses.find(uri)
        return uri.namespace or self._namespace or await self.namespace(endpoint)

    async def _fetch_namespace(self, endpoint: Endpoint) -> Grant[str]:
        reply = await self._send(endpoint.origin, endpoint.origin.path + "/n", _NAMESPACE)
        found = await read_json(reply)
        if not isinstance(found, str) or not found:
            raise UnavailableError("the reply is not the namespace that was expected", request_id=reply.request_id)
        return Grant(found)

    async def _send(self, origin: Origin, path: str, request: Request) -> Reply:
        mended = False
        while True:
            lease = self.credentials.current() or await self.credentials.get()
            client_id = next(self._ids)
            try:
                reply = await self.http.send(
                    request.method,
                    origin,
                    path,
                    self._headers(request, origin, path, lease.value, client_id),
                    BytesBody(request.document) if request.document is not None else request.body,
                    query=request.query,
                    patience=request.patience,
                )
                if reply.status < 300:
                    return reply
                error = await refusal(reply, create_only=request.create_only)
            except StorageError as exc:
                exc.request_id = exc.request_id or client_id
                raise
            error.request_id = error.request_id or client_id
            if mended or not await self._mend(request, reply, lease):
                raise error
            mended = True

    def _headers(
        self, request: Request, origin: Origin, path: str, keys: OCIKeys | None, client_id: str
    ) -> dict[str, str]:
        headers = {**request.headers, "opc-client-request-id": client_id}
        if keys is None:
            return headers if request.document is None else {**headers, "content-type": _JSON}
        target = f"{path}?{request.query}" if request.query else path
        headers |= sign_headers(
            request.method,
            target,
            origin.host,
            keys=keys,
            when=time.time() + self.clock_offset,
            content=request.document,
        )
        return headers

    async def _mend(self, request: Request, reply: Reply, lease: Lease[OCIKeys | None]) -> bool:
        # One code is for a clock that is off and for a session that has ended.
        if reply.status != 401 or lease.value is None:
            return False
        mended = self._learn_clock(reply) or (await self.credentials.refresh(lease)).value != lease.value
        return mended and (request.body is None or request.body.replayable)

    def _learn_clock(self, reply: Reply) -> bool:
        try:
            offset = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp() - time.time()
        except ValueError:
            return False
        if abs(offset - self.clock_offset) <= _CLOCK_TOLERANCE:
            return False
        self.clock_offset = offset
        return True

    async def aclose(self) -> None:
        """
        Give back connections and credentials; may be called twice.
        """
        for source in self._namespaces.values():
            await source.aclose()
        await self.http.aclose()
        await self.credentials.aclose()


_NAMESPACE: Final = Request("GET", ObjectURI("oci", "-"))


async def read_json(reply: Reply) -> Any:
    """
    Return the JSON of a body.

    Raises:
        UnavailableError: It is none.
    """
    try:
        return json.loads(await reply.read(MAX_REPLY))
    except ValueError:
        raise UnavailableError("the reply is not the JSON that was expected", request_id=reply.request_id) from None


def document(value: Any) -> bytes:
    """
    Return what sends *value* as a document.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


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

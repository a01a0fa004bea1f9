"""
Lets in and sends the requests of Azure, and mends what an error says can be mended.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from types import MappingProxyType
from typing import Final, NamedTuple

from asyncstore.auth.azure import AzureCredentials
from asyncstore.auth.azure_access import Access
from asyncstore.auth.credentials import Lease
from asyncstore.body import Body, BytesBody
from asyncstore.drivers.azure.addresses import Addresses
from asyncstore.drivers.azure.errors import refusal
from asyncstore.errors import StorageError
from asyncstore.http.client import HTTPClient
from asyncstore.http.reply import Reply
from asyncstore.uri import ObjectURI

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

#: Bytes of the longest reply that is read into memory: a page of 5,000 long names.
MAX_REPLY: Final = 32 * 1024 * 1024

# Times that one request is mended: the clock, then what lets it in.
_MAX_MENDS: Final = 2

# Clocks that differ by less are not what a provider complains about.
_CLOCK_TOLERANCE: Final = 60.0

_BODIES: Final = frozenset({"PUT", "POST"})


class Request(NamedTuple):
    """
    One request, before it is signed.

    Attributes:
        uri: The blob it is about; of the container if *whole_container*.
        query: Percent-encoded, without the ``?``.
        headers: To be sent.
        body: What is sent along.
        create_only: A failed precondition means that there is a blob.
        patience: Times the stall timeout to wait for the reply.
    """

    method: str
    uri: ObjectURI
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: Body | None = None
    whole_container: bool = False
    create_only: bool = False
    patience: float = 1.0


class Wire:
    """
    How one storage talks to Azure.

    Attributes:
        clock_offset: Seconds by which the provider's clock is ahead of ours.
    """

    def __init__(self, http: HTTPClient, credentials: AzureCredentials, addresses: Addresses, api_version: str) -> None:
        self.http = http
        self.credentials = credentials
        self.addresses = addresses
        self.api_version = api_version
        self.clock_offset = 0.0
        self._second = 0
        self._date = ""

    async def send(self, request: Request) -> Reply:
        """
        Send a request and return the reply, which is a success.

        Raises:
            StorageError: What Azure answered, or that it did not.
        """
        path = self.addresses.container(request.uri) if request.whole_container else self.addresses.blob(request.uri)
        return await self.send_to(path, request)

    async def send_to(self, path: str, request: Request) -> Reply:
        """
        Send a request to *path*, percent-encoded, whatever its URI.

        Where Azure blames the clock, or a token that can be renewed, the request is
        sent again, if its body can be.
        """
        mends = 0
        while True:
            lease = self.credentials.current() or await self.credentials.get()
            query, headers = self._admitted(request, path, lease.value)
            reply = await self.http.send(
                request.method,
                self.addresses.origin,
                path,
                headers,
                request.body,
                query=query,
                patience=request.patience,
            )
            if reply.status < 300:
                return reply
            error = await refusal(reply, create_only=request.create_only)
            if mends == _MAX_MENDS or not await self._mend(request, reply, error, lease):
                raise error
            mends += 1

    async def read(self, request: Request) -> tuple[Reply, bytes]:
        """
        Send a request and return its reply with the whole body.
        """
        reply = await self.send(request)
        return reply, await reply.read(MAX_REPLY)

    async def access(self) -> Access | None:
        """
        Return what requests are let in with at the moment.
        """
        return (self.credentials.current() or await self.credentials.get()).value

    def now(self) -> float:
        """
        Return the time by the provider's clock, in seconds since the epoch.
        """
        return time.time() + self.clock_offset

    def date(self) -> str:
        """
        Return the time as requests tell it.
        """
        second = int(self.now())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True)
        return self._date

    def _admitted(self, request: Request, path: str, access: Access | None) -> tuple[str, dict[str, str]]:
        headers = {"x-ms-version": self.api_version, **request.headers}
        if request.method in _BODIES:
            # Named, since it is signed: the HTTP client would add one of its own.
            headers.setdefault("Content-Type", "application/octet-stream")
        if access is None:
            return request.query, headers
        headers["x-ms-date"] = self.date()
        length = request.body.size if request.body is not None else 0
        query, added = access.authorize(request.method, path, request.query, headers.items(), length)
        headers.update(added)
        return query, headers

    async def _mend(self, request: Request, reply: Reply, error: StorageError, lease: Lease[Access | None]) -> bool:
        if reply.status not in (401, 403) or (request.body is not None and not request.body.replayable):
            return False
        if error.code in self.credentials.skew_codes and self._learn_clock(reply):
            return True
        if reply.status == 401 or error.code in self.credentials.skew_codes:
            self.credentials.heed(reply.headers)
            return (await self.credentials.refresh(lease)).value != lease.value
        return False

    def _learn_clock(self, reply: Reply) -> bool:
        try:
            offset = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp() - time.time()
        except ValueError:
            return False
        if abs(offset - self.clock_offset) <= _CLOCK_TOLERANCE:
            return False
        self.clock_offset = offset
        return True


def document(
    method: str, uri: ObjectURI, query: str, content: bytes, headers: Mapping[str, str] = NO_HEADERS
) -> Request:
    """
    Return a request with a small document of ours.
    """
    return Request(method, uri, query, {"Content-Type": "application/xml", **headers}, BytesBody(content))

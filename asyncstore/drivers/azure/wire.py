"""
Authenticates Azure requests; the exchange recovers from clock skew and expired tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from typing import Final, Literal, NamedTuple

from asyncstore.auth.azure.access import Access
from asyncstore.auth.azure.credentials import AzureCredentials
from asyncstore.driver.body import Body, BytesBody
from asyncstore.drivers.azure.addresses import Addresses
from asyncstore.drivers.azure.errors import service_error_of
from asyncstore.errors import StorageError
from asyncstore.http.client import HTTPClient
from asyncstore.http.exchange import NO_HEADERS, Exchange
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply
from asyncstore.uri import ObjectURI

#: Headers that each request gets itself.
SIGNATURE_HEADERS: Final = frozenset({"x-ms-date", "x-ms-version"})

_WITH_BODY: Final = frozenset({"PUT", "POST"})


class Request(NamedTuple):
    """
    One request before it is signed, with the fields of :class:`asyncstore.http.exchange.Request`.

    Attributes:
        uri: A blob, or anything in the container or account that *level* names.
    """

    method: str
    uri: ObjectURI
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: Body | None = None
    level: Literal["blob", "container", "account"] = "blob"
    create_only: bool = False
    accept: int = 0
    patience: float = 1.0


class Wire(Exchange["Access | None"]):
    """
    How one storage talks to Azure.

    Args:
        headers: ``x-ms-`` headers of every request: shared keys sign them.
    """

    credentials: AzureCredentials

    # The clock, then the token.
    max_recoveries = 2
    recoverable = frozenset({401, 403})
    # A page of 5,000 long names.
    max_reply = 32 * 1024 * 1024

    def __init__(
        self,
        http: HTTPClient,
        credentials: AzureCredentials,
        addresses: Addresses,
        api_version: str,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(http, credentials)
        self.addresses = addresses
        self.api_version = api_version
        self._common = {"x-ms-version": api_version, **headers}
        self._second = 0
        self._date = ""

    def locate(self, request: Request) -> tuple[Origin, str]:
        addresses = self.addresses
        if request.level == "blob":
            return addresses.origin, addresses.blob(request.uri)
        if request.level == "container":
            return addresses.origin, addresses.container(request.uri)
        return addresses.origin, addresses.origin.path or "/"

    def sign(self, request: Request, origin: Origin, path: str, keys: Access | None) -> tuple[Mapping[str, str], str]:
        headers = {**self._common, **request.headers}
        if request.method in _WITH_BODY:
            # Explicit because it is signed: the HTTP client would add its own.
            headers.setdefault("Content-Type", "application/octet-stream")
        if keys is None:
            return headers, request.query
        headers["x-ms-date"] = self.date()
        length = request.body.size if request.body is not None else 0
        query, added = keys.authorize(request.method, path, request.query, headers.items(), length)
        headers.update(added)
        return headers, query

    def explain(self, request: Request, reply: Reply, body: bytes) -> StorageError:
        return service_error_of(
            reply.status, reply.headers, body, create_only=request.create_only, retry_after=reply.retry_after
        )

    def date(self) -> str:
        """
        Return Azure's time for the ``x-ms-date`` header.
        """
        second = int(self.clock.now())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True)
        return self._date


def xml_request(
    method: str, uri: ObjectURI, query: str, content: str, headers: Mapping[str, str] = NO_HEADERS
) -> Request:
    """
    Return a request whose body is the XML element *content*.
    """
    body = BytesBody(f'<?xml version="1.0" encoding="utf-8"?>{content}'.encode())
    return Request(method, uri, query, {"Content-Type": "application/xml", **headers}, body)

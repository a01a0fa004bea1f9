"""
Sends the requests of GCS with their token, which is renewed if the provider refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from asyncstore.auth.gcp import GCPCredentials
from asyncstore.auth.tokens import Lease, Secret
from asyncstore.body import Body, BytesBody
from asyncstore.drivers.gcs.errors import refusal
from asyncstore.errors import UnavailableError
from asyncstore.http.client import HTTPClient
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

#: Bytes of the longest reply that is read into memory: a page of 1,000 long names.
MAX_REPLY: Final = 16 * 1024 * 1024

_JSON_PATHS: Final = ("/storage/v1/", "/upload/storage/v1/")

_JSON: Final = {"Content-Type": "application/json; charset=UTF-8"}


class Request(NamedTuple):
    """
    One request, before it has a token.

    Attributes:
        path: From the root of the server, percent-encoded.
        query: Percent-encoded, without the ``?``.
        create_only: A failed precondition means that there is an object.
        patience: Times the stall timeout to wait for the reply.
        also: A status that is no error here, though it is not a success.
        xml_uploads: It needs the multipart uploads of the XML API.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: Body | None = None
    create_only: bool = False
    patience: float = 1.0
    also: int = 0
    xml_uploads: bool = False


class Wire:
    """
    How one storage talks to GCS.

    Args:
        user_project: The project that is billed.
    """

    def __init__(
        self, http: HTTPClient, credentials: GCPCredentials, origin: Origin, user_project: str | None = None
    ) -> None:
        self.http = http
        self.credentials = credentials
        self.origin = origin
        self._billed = None if user_project is None else f"userProject={quote(user_project, safe='')}"
        self._lease: Lease[Secret | None] | None = None
        self._common: dict[str, str] = {}

    async def send(self, request: Request) -> Reply:
        """
        Send a request and return the reply, which is a success.

        A token that is refused is renewed, and the request sent again if its body can be.

        Raises:
            StorageError: What GCS answered, or that it did not.
        """
        lease = self.credentials.current() or await self.credentials.get()
        reply = await self._once(request, lease)
        if reply.status == 401 and (request.body is None or request.body.replayable):
            error = await refusal(reply)
            renewed = await self.credentials.refresh(lease)
            if renewed is lease or renewed.value == lease.value:
                raise error
            reply = await self._once(request, renewed)
        if reply.status < 300 or reply.status == request.also:
            return reply
        raise await refusal(reply, create_only=request.create_only, xml_uploads=request.xml_uploads)

    async def read(self, request: Request) -> tuple[Reply, bytes]:
        """
        Send a request and return its reply with the whole body.
        """
        reply = await self.send(request)
        return reply, await reply.read(MAX_REPLY)

    async def ask(self, request: Request) -> dict[str, Any]:
        """
        Send a request and return the JSON object in its reply.
        """
        reply, body = await self.read(request)
        return document(reply, body)

    def billed(self, path: str) -> str:
        """
        Return the address of a JSON request with the project that is billed for it.
        """
        path = self.origin.path + path
        return path if self._billed is None else f"{path}?{self._billed}"

    def _once(self, request: Request, lease: Lease[Secret | None]) -> Coroutine[Any, Any, Reply]:
        # Not a coroutine of its own: one less for each of many small requests.
        if lease is not self._lease:
            self._lease = lease
            self._common = self.credentials.headers(lease)
            if self._billed is not None:
                # What is set for the storage goes before what the credentials say.
                self._common.pop("x-goog-user-project", None)
        query = request.query
        headers = {**self._common, **request.headers}
        if self._billed is not None:
            # https://cloud.google.com/storage/docs/using-requester-pays#using
            if request.path.startswith(_JSON_PATHS):
                query = f"{query}&{self._billed}" if query else self._billed
            else:
                headers["x-goog-user-project"] = unquote(self._billed.partition("=")[2])
        return self.http.send(
            request.method,
            self.origin,
            self.origin.path + request.path,
            headers,
            request.body,
            query=query,
            patience=request.patience,
        )


def document(reply: Reply, body: bytes) -> dict[str, Any]:
    """
    Return the JSON object that a reply is.

    Raises:
        UnavailableError: It is something else.
    """
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UnavailableError("the reply is no JSON object", status=reply.status, request_id=reply.request_id)
    return found


def with_json(content: Mapping[str, Any]) -> tuple[Mapping[str, str], Body]:
    """
    Return the headers and the body of a request that sends *content*.
    """
    return _JSON, BytesBody(json.dumps(content, ensure_ascii=False).encode())

"""
Authenticates the requests of GCS, and names the project that pays for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from asyncstore.auth.gcp.credentials import GCPCredentials
from asyncstore.auth.tokens import Secret
from asyncstore.driver.body import Body, BytesBody
from asyncstore.drivers.gcs.errors import NoXMLUploadsError, lacks_xml_uploads, named
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.http.client import HTTPClient
from asyncstore.http.exchange import NO_HEADERS, Exchange, parse_json
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply

_JSON_PATHS: Final = ("/storage/v1/", "/upload/storage/v1/")

_JSON: Final = {"Content-Type": "application/json; charset=UTF-8"}

# https://cloud.google.com/storage/docs/using-requester-pays#using
_PROJECT: Final = "x-goog-user-project"


class Request(NamedTuple):
    """
    One request, before it is authenticated.

    Attributes:
        path: Percent-encoded, below the path of the endpoint.
        query: Percent-encoded, without the ``?``.
        create_only: A failed condition means that the object exists.
        patience: Multiplies ``stall_timeout`` for the reply.
        accept: A status that counts as success besides those below 300.
        xml_uploads: The endpoint has to support XML API multipart uploads.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    body: Body | None = None
    create_only: bool = False
    patience: float = 1.0
    accept: int = 0
    xml_uploads: bool = False


class Wire(Exchange["Secret | None"]):
    """
    Locates and signs the requests of one storage, and explains their refusals.

    Args:
        user_project: The project to bill, in preference to that of the credentials.

    Attributes:
        origin: The endpoint.
    """

    credentials: GCPCredentials

    def __init__(
        self, http: HTTPClient, credentials: GCPCredentials, origin: Origin, user_project: str | None = None
    ) -> None:
        super().__init__(http, credentials)
        self.origin = origin
        self._project = user_project
        self._billing = None if user_project is None else f"userProject={quote(user_project, safe='')}"
        self._token: Secret | None = None
        self._token_headers: dict[str, str] = {}

    def locate(self, request: Request) -> tuple[Origin, str]:
        return self.origin, self.origin.path + request.path

    def sign(self, request: Request, origin: Origin, path: str, keys: Secret | None) -> tuple[Mapping[str, str], str]:
        if keys is not self._token:
            self._token, self._token_headers = keys, self.credentials.headers(keys)
        headers, query = {**self._token_headers, **request.headers}, request.query
        if self._project is None or self._billing is None:
            return headers, query
        if not request.path.startswith(_JSON_PATHS):
            return {**headers, _PROJECT: self._project}, query
        headers.pop(_PROJECT, None)
        return headers, f"{query}&{self._billing}" if query else self._billing

    def explain(self, request: Request, reply: Reply, body: bytes) -> StorageError:
        if request.xml_uploads and lacks_xml_uploads(reply.status, body):
            return NoXMLUploadsError()
        return named(
            reply.status,
            body,
            request_id=reply.request_id,
            retry_after=reply.retry_after,
            create_only=request.create_only,
        )

    async def ask(self, request: Request) -> dict[str, Any]:
        """
        Send a request and return the JSON object in its reply.
        """
        return await json_object(*await self.read(request))

    @property
    def billing(self) -> list[tuple[str, str]]:
        """The parameter with the project to bill, as its users' requests have no header for it."""
        return [] if self._project is None else [("userProject", self._project)]

    def billed(self, path: str) -> str:
        """
        Return the address of a JSON request inside a batch, with the project to bill for it.
        """
        path = self.origin.path + path
        return path if self._billing is None else f"{path}?{self._billing}"


async def json_object(reply: Reply, body: bytes) -> dict[str, Any]:
    """
    Return the JSON object in *body*, the whole body of *reply*.

    Raises:
        UnavailableError: It is not a JSON object.
    """
    found = await parse_json(reply, body)
    if not isinstance(found, dict):
        raise UnavailableError("the reply is not a JSON object", status=reply.status, request_id=reply.request_id)
    return found


def with_json(content: Mapping[str, Any]) -> tuple[Mapping[str, str], Body]:
    """
    Return the headers and the body of a request that sends *content*.
    """
    return _JSON, BytesBody(json.dumps(content, ensure_ascii=False).encode())

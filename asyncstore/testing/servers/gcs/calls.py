"""
The request that handlers receive, and the reply that they return.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from asyncstore.testing.servers.gcs.content import Content
from asyncstore.testing.servers.gcs.errors import invalid

#: Bytes. Limit for bodies that are read whole: JSON, XML and batches.
_MAX_DOCUMENT = 16 * 1024 * 1024


class Body(Protocol):
    """
    A request's body, read as a stream.
    """

    async def readany(self) -> bytes:
        """
        Return the next bytes; ``b""`` at the end.
        """
        ...


class BytesBody:
    """
    A body that is already in memory.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def readany(self) -> bytes:
        data, self._data = self._data, b""
        return data


class Inflated:
    """
    The bytes of a body that was compressed with gzip for its transport.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._inflating = zlib.decompressobj(wbits=31)

    async def readany(self) -> bytes:
        """
        Return the next bytes; ``b""`` at the end.

        Raises:
            ServiceError: The body is not gzip, or is incomplete.
        """
        while data := await self._body.readany():
            try:
                if found := self._inflating.decompress(data):
                    return found
            except zlib.error:
                raise invalid("The body is not gzip, as its Content-Encoding says.", "Content-Encoding") from None
        if not self._inflating.eof:
            raise invalid("The gzip body is incomplete.", "Content-Encoding")
        return b""


@dataclass(slots=True)
class Call:
    """
    One request.

    Attributes:
        path: The path as received, without the query.
        raw_query: The query as received.
        headers: Headers, with lower-case names.
        base_url: The server's address, as the client knows it.
    """

    method: str
    path: str
    raw_query: str
    headers: Mapping[str, str] = field(repr=False)
    body: Body
    base_url: str
    query: dict[str, str] = field(init=False)
    segments: list[str] = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.query = dict(parse_qsl(self.raw_query, keep_blank_values=True, errors="strict"))
            self.segments = [unquote(part, errors="strict") for part in self.path.removeprefix("/").split("/")]
        except UnicodeDecodeError:
            raise invalid("The request's path or query is not valid UTF-8.") from None

    def number(self, name: str) -> int | None:
        """
        Return a parameter that must be a whole number; ``None`` if it is absent.
        """
        return whole_number(self.query.get(name), name)

    def flag(self, name: str) -> bool:
        """
        Return whether a parameter is ``true``; an absent one is ``false``.
        """
        value = self.query.get(name, "false").lower()
        if value not in ("true", "false"):
            raise invalid(f"Invalid boolean value: '{value}'.", name)
        return value == "true"

    async def read(self) -> bytes:
        """
        Return the whole body.
        """
        data = bytearray()
        while piece := await self.body.readany():
            data += piece
            if len(data) > _MAX_DOCUMENT:
                raise invalid("The request body is too large.", code="EntityTooLarge")
        return bytes(data)

    async def read_json(self) -> dict[str, Any]:
        """
        Return the body, a JSON object. An empty body is an empty object.
        """
        return parse_json(await self.read())


@dataclass(slots=True)
class Reply:
    """
    The reply to a request.

    Attributes:
        body: A short body, if there is no *content*.
        content: Content to send, from byte *start* up to *stop*.
    """

    status: int = 200
    headers: MutableMapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    content: Content | None = field(default=None, repr=False)
    start: int = 0
    stop: int = 0


def json_reply(value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """
    Return a reply with *value* as JSON.
    """
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply(status, {"Content-Type": "application/json; charset=UTF-8", **(headers or {})}, body)


def xml_reply(text: str, *, status: int = 200) -> Reply:
    """
    Return a reply with an XML document.
    """
    return Reply(status, {"Content-Type": "application/xml; charset=UTF-8"}, text.encode())


def parse_json(data: bytes) -> dict[str, Any]:
    """
    Parse a JSON object. Empty data is an empty object.

    Raises:
        ServiceError: The data is not a JSON object.
    """
    try:
        value = json.loads(data) if data.strip() else {}
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise invalid("Parse Error", code="MalformedJSON")
    return value


def whole_number(value: str | None, name: str) -> int | None:
    """
    Parse *value* as a number that is not negative.

    Raises:
        ServiceError: It is not such a number.
    """
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise invalid(f"Invalid value for {name}: '{value}'.", name)
    return int(value)

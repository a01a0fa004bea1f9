"""
A request as the handlers see it, and what they answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote

from asyncstore.testing.servers.gcs.content import Content
from asyncstore.testing.servers.gcs.errors import invalid

#: Bytes of a body that is read as a whole: JSON, XML or a batch.
_MAX_DOCUMENT = 16 * 1024 * 1024


class Body(Protocol):
    """
    The bytes of a request, as they come in.
    """

    async def readany(self) -> bytes:
        """
        Return the next bytes; none is the end.
        """
        ...


class BytesBody:
    """
    A body that is here already.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def readany(self) -> bytes:
        data, self._data = self._data, b""
        return data


@dataclass(slots=True)
class Call:
    """
    One request.

    Attributes:
        path: As it came over the wire, without the query.
        raw_query: As it came over the wire.
        headers: With lower-case names.
        base_url: Where the client believes the server to be.
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
            raise invalid("The request's address is not UTF-8.") from None

    def number(self, name: str) -> int | None:
        """
        Return a parameter that has to be a whole number, if it is given.
        """
        return whole_number(self.query.get(name), name)

    def flag(self, name: str) -> bool:
        """
        Return whether a parameter is ``true``.
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
                raise invalid("The request's body is too large.", code="EntityTooLarge")
        return bytes(data)

    async def read_json(self) -> dict[str, Any]:
        """
        Return the body, a JSON object; none is an empty one.
        """
        return parse_json(await self.read())


@dataclass(slots=True)
class Reply:
    """
    What is answered.

    Attributes:
        body: Short bytes, when there is no *content*.
        content: Of which the bytes from *start* up to *stop* are sent.
    """

    status: int = 200
    headers: MutableMapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    content: Content | None = field(default=None, repr=False)
    start: int = 0
    stop: int = 0


def json_reply(value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """
    Answer *value* as JSON.
    """
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply(status, {"Content-Type": "application/json; charset=UTF-8", **(headers or {})}, body)


def xml_reply(text: str, *, status: int = 200) -> Reply:
    """
    Answer an XML document.
    """
    return Reply(status, {"Content-Type": "application/xml; charset=UTF-8"}, text.encode())


def parse_json(data: bytes) -> dict[str, Any]:
    """
    Return a JSON object; nothing is an empty one.

    Raises:
        ServiceError: It is no JSON object.
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
    Return *value* as a number that is not negative.

    Raises:
        ServiceError: It is something else.
    """
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise invalid(f"Invalid value for {name}: '{value}'.", name)
    return int(value)

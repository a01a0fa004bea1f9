"""
In-process servers of five providers, whose replies a test chooses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from asyncstore import AuthConfig, Storage, open_storage
from tests.deviations.good_replies import SERVICES, Asked, Content, Said
from tests.deviations.hostile import Sending

#: Makes the reply to a request, and says how to send it.
Answer = Callable[[Asked], tuple[Said, Sending]]

#: Two versions of the object that every key names.
CONTENTS: Final = (Content(bytes(range(256)) * 12, "11"), Content(b"another version" * 150, "22"))

_COMMON: Final[Mapping[str, Any]] = {
    "attempts": 3,
    "initial_backoff": 0.001,
    "max_backoff": 0.001,
    # Waits that a reply asks for are longer: GitHub's shortest is a minute. No reply is waited for that does not come.
    "deadline": 50.0,
    "stall_timeout": 30.0,
}

#: How a storage of each provider is opened.
STORAGES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "s3": ("s3://bucket", {"region": "us-east-1", "auth": AuthConfig(auth_type="anonymous"), "checksum": "crc32c"}),
    "gcs": ("gs://bucket", {"anonymous": True}),
    "azure": ("azure://container@account", {"anonymous": True}),
    "oci": ("oci://namespace/bucket", {"region": "us-phoenix-1", "anonymous": True}),
    "github": ("github://owner/repository", {"token": "fake-token", "allow_http": True}),
}


@dataclass
class Server:
    """
    A server of one provider.

    Attributes:
        answer: Makes the reply to a request; by default a good one.
        asked: The requests received.
        log: A line for each reply sent.
        sent: Bytes of bodies sent.
        contents: The versions of the object; the first is the present one.
    """

    provider: str
    answer: Answer | None = None
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    sent: int = 0
    contents: Sequence[Content] = CONTENTS

    def good(self, asked: Asked, content: Content | None = None) -> Said:
        """
        Return the reply of a server without a deviation.
        """
        return SERVICES[self.provider](asked, content or self.contents[0])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, EOFError, asyncio.CancelledError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        asked = Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))
        said, sending = (self.good(asked), Sending()) if self.answer is None else self.answer(asked)
        self.asked.append(asked)
        self.log.append(f"{method} {target[:80]}: {said.status} {'+'.join(sending.notes)}")
        self.sent += len(said.body)
        if sending.late:
            # The reply first, so that the connection is idle when the rest arrives.
            data, goes_on = encoded(asked, said, sending)
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(sending.surplus)
            return goes_on
        data, goes_on = encoded(asked, said, sending)
        writer.write(data + sending.surplus)
        await writer.drain()
        return goes_on


def encoded(asked: Asked, said: Said, sending: Sending) -> tuple[bytes, bool]:
    """
    Return the bytes of a reply, and whether the connection stays open after them.
    """
    if sending.head is not None:
        return sending.before + sending.head, False
    headers = dict(said.headers)
    body = b"" if asked.method == "HEAD" or said.status in (204, 304) else said.body
    if sending.framing != "length":
        headers.pop("Content-Length", None)
    elif "Content-Length" not in headers and said.status not in (204, 304):
        headers["Content-Length"] = str(len(said.body))
    if sending.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    lines = [f"HTTP/1.1 {said.status} Said", *[f"{name}: {value}" for name, value in headers.items()], "", ""]
    head = "\r\n".join(lines).encode("latin-1", "replace")
    if asked.method == "HEAD" or said.status in (204, 304):
        return sending.before + head, sending.framing != "close"
    if sending.framing == "chunked":
        half = len(body) // 2
        pieces = [piece for piece in (body[:half], body[half:]) if piece]
        end = b"" if sending.cut is not None else b"0\r\n\r\n"
        body = b"".join([b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]) + end
    elif sending.cut is not None:
        body = body[: sending.cut]
    whole = sending.framing == "chunked" or headers.get("Content-Length") == str(len(body))
    return sending.before + head + body, sending.framing != "close" and sending.cut is None and whole


@asynccontextmanager
async def serving(provider: str) -> AsyncIterator[Server]:
    """
    Run the server of a provider on loopback.
    """
    server = Server(provider)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 20)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()


def opened(provider: str, url: str) -> Storage:
    """
    Open a storage on a server.
    """
    uri, settings = STORAGES[provider]
    path = "/account" if provider == "azure" else ""
    return open_storage(uri, endpoint_url=url + path, **{**_COMMON, **settings})

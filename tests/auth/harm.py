"""
Misbehavior that any local service can show, and a proxy that must not be used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp import web

#: Bytes of the body that has no end, unless the client goes away before.
ENDLESS: Final = 64 * 1024 * 1024

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Takeover:
    """
    Can answer in place of every aiohttp server that this process starts afterwards.

    Only servers are patched, never our own code: requests use real sockets.

    Attributes:
        answer: Replaces the server's own answer, if it is set.
        passed: Number of requests that the servers answered themselves.
        harmed: Number of requests that *answer* answered.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: Answer | None = None
        self.passed = 0
        self.harmed = 0
        make = web.Server.__init__

        def make_harmful(server: web.Server, handler: Answer, **options: Any) -> None:
            async def handle_or_harm(request: web.BaseRequest) -> web.StreamResponse:
                if self.answer is None:
                    self.passed += 1
                    return await handler(request)
                self.harmed += 1
                return await self.answer(request)

            make(server, handle_or_harm, **options)

        monkeypatch.setattr(web.Server, "__init__", make_harmful)


def says(body: bytes, status: int = 200, content_type: str = "application/json") -> Answer:
    """
    Return an answer that never changes.
    """

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=body, content_type=content_type)

    return answer


def sends_to(location: str, status: int) -> Answer:
    """
    Return a redirect that keeps the path and query of the request.
    """

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, headers={"Location": location + request.path_qs})

    return answer


def never_ends(taken: list[int]) -> Answer:
    """
    Return an answer of 64 MiB; the number of bytes that the client reads is added to *taken*.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        chunk = b" " * 64 * 1024
        for _ in range(ENDLESS // len(chunk)):
            await response.write(chunk)
            taken.append(len(chunk))
        return response

    return answer


@asynccontextmanager
async def listening(connections: list[bytes]) -> AsyncIterator[str]:
    """
    Accept connections, record the first bytes of each, and close it; yields the URL.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(await reader.read(1024))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"


def proxied(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """
    Set *url* as the proxy in every variable that programs know.
    """
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, url)
        monkeypatch.setenv(name.lower(), url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


GARBAGE: Final[dict[str, Any]] = {
    "nothing": b"",
    "a list": b"[]",
    "an empty object": b"{}",
    "no text": b"\xff\xfe\x00\x80",
    "a page": b"<html><body>Welcome!</body></html>",
    "numbers": b'{"access_token": 5, "expires_in": [], "token": {}, "Expiration": 7, "AccessKeyId": {}, "Token": 1}',
}

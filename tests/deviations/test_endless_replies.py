"""
Replies whose head or document does not end, although bytes keep arriving: every verb gives up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from asyncstore.errors import UnavailableError
from asyncstore.http.fast import receiving
from asyncstore.options import MiB
from tests.deviations.verbs import PROVIDERS, VERBS, expected, opened, outcomes, silence
from tests.servers.scripted import Exchange, scripted

# Seconds; the server sends something several times as often.
_STALL: Final = 0.3
_OFTEN: Final = 0.05

_HEAD: Final = b"HTTP/1.1 200 OK\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def _repeated(first: bytes, then: bytes, pause: float) -> Callable[[Exchange], Awaitable[None]]:
    async def answer(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(first)
        while True:
            await exchange.send(then)
            await asyncio.sleep(pause)

    return answer


async def _interim_then_silence(exchange: Exchange) -> None:
    await exchange.body()
    await exchange.send(_CONTINUE)
    await silence(exchange)


HEADS: Final = {
    "a byte now and then": _repeated(_HEAD + b"X: ", b"x", _OFTEN),
    "a header now and then": _repeated(_HEAD, b"X: x\r\n", _OFTEN),
    "headers without a pause": _repeated(_HEAD, b"X: x\r\n" * 1000, 0.0),
    "one header without a pause": _repeated(_HEAD + b"X: ", b"x" * 100_000, 0.0),
    "1xx now and then": _repeated(b"", _CONTINUE, _OFTEN),
    "1xx without a pause": _repeated(b"", _CONTINUE * 1000, 0.0),
    "one 1xx": _interim_then_silence,
}


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(MiB))
    return path


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("answer", HEADS.values(), ids=HEADS)
async def test_head_without_end(large: Path, provider: str, answer: Callable[[Exchange], Awaitable[None]]) -> None:
    """
    The head of a reply has one timeout as a whole, and a size.
    """
    async with scripted(answer) as server, asyncio.timeout(10):
        found = await outcomes(provider, server.url, large, stall_timeout=_STALL, attempts=1)

    assert expected(provider, "UnavailableError") == found


@pytest.mark.parametrize("kind", ["another loop", "private names off"])
@pytest.mark.parametrize("verb", ["read", "put", "upload"])
@pytest.mark.parametrize("answer", HEADS.values(), ids=HEADS)
async def test_head_without_end_on_plain_connections(
    monkeypatch: pytest.MonkeyPatch, large: Path, kind: str, verb: str, answer: Callable[[Exchange], Awaitable[None]]
) -> None:
    """
    The same holds on other event loops, and without private names of aiohttp, as with a session of the caller's.
    """
    if kind == "another loop":
        monkeypatch.setattr(receiving, "_takes_buffers", lambda _: False)
    else:
        monkeypatch.setenv("ASYNCSTORE_FAST_HTTP", "0")
    async with (
        scripted(answer) as server,
        opened("s3", server.url, stall_timeout=_STALL, attempts=1, connect_timeout=0.3) as storage,
        asyncio.timeout(10),
    ):
        with pytest.raises(UnavailableError):
            await VERBS[verb](storage, large)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_document_without_end(provider: str, status: int) -> None:
    """
    A document that arrives a byte at a time has ten stall timeouts as a whole.
    """
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    async with (
        scripted(_repeated(head, b"1\r\n \r\n", 0.01)) as server,
        opened(provider, server.url, stall_timeout=0.05, attempts=1) as storage,
        asyncio.timeout(10),
    ):
        with pytest.raises(UnavailableError) as caught:
            async for _ in storage.list():
                pass

    assert (None if status == 200 else status) == caught.value.status


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_document_without_a_limit(provider: str) -> None:
    """
    A document that goes on and on is left once it is longer than any that the service sends.
    """
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n%s\r\n" % (b" " * MiB)
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(head)
        while True:
            await exchange.send(chunk)
            sent += MiB

    async with scripted(flood) as server, opened(provider, server.url, attempts=1) as storage:
        with pytest.raises(UnavailableError, match="longer than"):
            async for _ in storage.list():
                pass

    assert sent <= (128 if provider == "github" else 32) * MiB + 16 * MiB


async def test_document_in_slow_pieces() -> None:
    """
    One that the service works on sends something all the time, and is waited for.
    """

    async def working(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (*[b" "] * 8, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"):
            await asyncio.sleep(0.1)
            await exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await exchange.send(b"0\r\n\r\n")

    async with scripted(working) as server, opened("s3", server.url, stall_timeout=_STALL, attempts=1) as storage:
        assert [] == [info async for info in storage.list()]

"""
A service that accepts a request and does not answer it: the deadline ends every verb.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from asyncstore.errors import DeadlineExceededError
from asyncstore.options import BulkOptions, DownloadOptions, MiB
from asyncstore.storage import Storage
from asyncstore.types import Upload
from tests.deviations.verbs import PROVIDERS, expected, opened, outcomes, silence
from tests.servers.scripted import Exchange, Scripted, scripted

# Long enough for a request to be sent on a busy machine, and far below the stall timeout.
_DEADLINE: Final = 0.2


@pytest.fixture
async def silent() -> AsyncIterator[Scripted]:
    async with scripted(silence) as server:
        yield server


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(MiB))
    return path


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_silence_ends_at_the_deadline(silent: Scripted, large: Path, provider: str) -> None:
    """
    Of every verb, with the error that says so, and with nothing in flight or reserved.
    """
    found = await outcomes(provider, silent.url, large, deadline=_DEADLINE)

    assert expected(provider, "DeadlineExceededError") == found


_HALF: Final = (
    b'HTTP/1.1 %s\r\nContent-Length: 4194304\r\n%sETag: "0x1"\r\nLast-Modified: Wed, 12 Mar 2025 17:50:00 GMT\r\n'
    b"x-goog-generation: 1\r\nx-ms-blob-type: BlockBlob\r\nx-ms-version: 2026-02-06\r\n\r\nhalf"
)


async def half(exchange: Exchange) -> None:
    ranged = "range" in exchange.headers or "x-ms-range" in exchange.headers
    content = b"Content-Range: bytes 0-4194303/4194304\r\n"
    await exchange.send(_HALF % ((b"206 Partial Content", content) if ranged else (b"200 OK", b"")))
    await silence(exchange)


@pytest.mark.parametrize("provider", ["s3", "gcs", "azure", "oci"])
@pytest.mark.parametrize("verb", ["get", "read", "download"])
async def test_a_body_that_stops_ends_at_the_deadline(tmp_path: Path, verb: str, provider: str) -> None:
    """
    The head of the reply is not the end of the request.
    """

    async def receive(storage: Storage) -> None:
        key = storage.root / "key"
        if verb == "get":
            async with storage.get(key) as body:
                async for _ in body:
                    pass
        elif verb == "read":
            await storage.read(key)
        else:
            await storage.download(key, tmp_path / "file", options=DownloadOptions(part_size=8 * MiB))

    async with scripted(half) as server, opened(provider, server.url, deadline=_DEADLINE) as storage:
        with pytest.raises(DeadlineExceededError):
            await receive(storage)
        assert 0 == storage.statistics().requests_in_flight

    assert [] == list(tmp_path.iterdir())


async def test_a_body_that_moves_is_not_ended() -> None:
    """
    A stream has the time again for every piece of it, and the caller's pauses do not count.
    """

    async def slow(exchange: Exchange) -> None:
        await exchange.send(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nETag: "e"\r\n\r\n')
        for piece in (b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"):
            await asyncio.sleep(0.15)
            await exchange.send(piece)

    received = b""
    async with (
        scripted(slow) as server,
        opened("s3", server.url, deadline=1.0) as storage,
        storage.get(storage.root / "key") as body,
    ):
        async for chunk in body:
            received += chunk
            await asyncio.sleep(0.1)

    assert b"abcdefgh" == received


async def test_a_bulk_goes_on_after_an_item_without_an_answer(tmp_path: Path) -> None:
    """
    Only that item fails.
    """

    async def answer(exchange: Exchange) -> None:
        if exchange.target.endswith("silent"):
            await silence(exchange)
        await exchange.body()
        await exchange.send(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "e"\r\n\r\n')

    source = tmp_path / "file"
    source.write_bytes(b"data")
    async with scripted(answer) as server, opened("s3", server.url, deadline=_DEADLINE) as storage:
        items = [Upload(source, storage.root / name) for name in ("a", "silent", "b")]
        result = await storage.bulk_upload(items, options=BulkOptions(keep="failures"))

    assert (2, 1) == (result.done, result.failed)
    assert [DeadlineExceededError] == [type(outcome.error) for outcome in result.failures]


async def dribble(exchange: Exchange) -> None:
    await exchange.send(_HALF % (b"200 OK", b""))
    while True:
        await exchange.send(b"x")
        await asyncio.sleep(_DEADLINE / 10)


@pytest.mark.parametrize("verb", ["read", "update"])
async def test_bytes_now_and_then(verb: str) -> None:
    """
    The deadline of a read is that of all its bytes, also where an update reads.
    """
    async with scripted(dribble) as server, opened("s3", server.url, deadline=_DEADLINE) as storage:
        async with asyncio.timeout(10):
            with pytest.raises(DeadlineExceededError):
                await (storage.read("key") if verb == "read" else storage.update("key", lambda data: b"new"))

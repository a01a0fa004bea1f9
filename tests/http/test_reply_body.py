"""
Reply bodies: read to the end, cut short, stalled, left unread.
"""

import pytest

from asyncstore.config import HTTPOptions
from asyncstore.errors import (
    UnavailableError,
)
from asyncstore.http import HTTPClient, ReplyBody
from asyncstore.http.origin import Origin
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata
from asyncstore.uri import parse_uri
from tests.http.sending import MiB
from tests.servers.scripted import OK, Exchange, Scripted, reply, saying, scripted, wait


async def opened(server: Scripted, size: int, stall_timeout: float = 30.0) -> tuple[HTTPClient, ReplyBody]:
    """Open a read of *size* bytes."""
    client = HTTPClient(HTTPOptions(stall_timeout=stall_timeout))
    found = await client.send("GET", Origin.parse(server.url), "/b/k", {})
    return client, ReplyBody(found, Metadata(uri=parse_uri("s3://b/k"), size=size), 0, size)


async def test_metadata_are_parsed_on_demand() -> None:
    """
    Reading only the bytes does not parse the metadata; ``info`` parses it once.
    """
    uri, asked = parse_uri("s3://b/k"), 0

    def described() -> Metadata:
        nonlocal asked
        asked += 1
        return Metadata(uri=uri, size=2)

    expected = Checksum(ChecksumAlgorithm.CRC32C, b"\x01\x02\x03\x04")
    async with scripted(saying(OK)) as server:
        client = HTTPClient(HTTPOptions())
        found = await client.send("GET", Origin.parse(server.url), "/b/k", {})
        body = ReplyBody(found, described, 0, 2, checksum=expected)

        assert await body.read() == b"ok"
        assert (body.checksum, asked) == (expected, 0)
        await body.aclose()
        assert body.info is body.info
        assert (body.info.size, asked) == (2, 1)
        await client.aclose()


async def test_body_that_ends_early() -> None:
    """
    The bytes that arrived are returned, then an error is raised.
    """

    async def cut(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        exchange.writer.close()
        raise EOFError

    async with scripted(cut) as server:
        client, body = await opened(server, 100)
        got = b""
        with pytest.raises(UnavailableError):
            async for chunk in body:
                got += chunk
        await body.aclose()
        await client.aclose()

    assert got == b"half"


async def test_body_that_stalls() -> None:
    """
    A download that stalls fails, and its connection is closed.
    """

    async def stall(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await wait(exchange)

    async with scripted(stall) as server:
        client, body = await opened(server, 100, stall_timeout=0.2)
        with pytest.raises(UnavailableError, match="stall_timeout"):
            await body.read()
        await body.aclose()

        assert await server.settled() == 0
        await client.aclose()


@pytest.mark.parametrize("read", [True, False])
async def test_connection_of_a_body(read: bool) -> None:
    """
    A body that was read to its end returns the connection to the pool; an unread one closes it.
    """
    async with scripted(saying(reply(200, b"x" * MiB)), saying(OK)) as server:
        client, body = await opened(server, MiB)
        if read:
            assert len(await body.read()) == MiB
        await body.aclose()
        await body.aclose()
        await (await client.send("GET", Origin.parse(server.url), "/", {})).read(10)
        await client.aclose()

        assert server.connections == (1 if read else 2)

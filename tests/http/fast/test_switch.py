"""
One switch turns off all code that uses private names; transfers then take the normal path.
"""

from __future__ import annotations

import pytest
from aiohttp.abc import AbstractStreamWriter

from asyncstore.config import HTTPOptions
from asyncstore.driver.body import BytesBody
from asyncstore.http import HTTPClient, Origin, ReplyBody
from asyncstore.http.fast.private import SWITCH, enabled
from asyncstore.http.fast.receiving import Receiver
from asyncstore.http.fast.sending import DirectSender
from asyncstore.types import Metadata
from asyncstore.uri import parse_uri
from tests.servers.scripted import Exchange, reply, scripted

DATA = bytes(range(256)) * 16 * 1024


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, True), ("1", True), ("yes", True), ("0", False), ("false", False), (" No ", False), ("off", False)],
)
def test_switch(monkeypatch: pytest.MonkeyPatch, value: str | None, expected: bool) -> None:
    """
    The fast paths are on unless the environment turns them off.
    """
    if value is None:
        monkeypatch.delenv(SWITCH, raising=False)
    else:
        monkeypatch.setenv(SWITCH, value)

    assert expected is enabled()


@pytest.mark.parametrize("on", [True, False])
async def test_large_bodies_with_and_without_the_fast_paths(monkeypatch: pytest.MonkeyPatch, on: bool) -> None:
    """
    An upload and a download of 4 MiB have the same bytes, with the fast paths on or off.
    """
    monkeypatch.setenv(SWITCH, "1" if on else "0")
    senders: list[DirectSender | None] = []
    of = DirectSender.of

    def remember(writer: AbstractStreamWriter) -> DirectSender | None:
        senders.append(of(writer))
        return senders[-1]

    monkeypatch.setattr(DirectSender, "of", remember)
    stored: list[bytes] = []

    async def keep(exchange: Exchange) -> None:
        stored.append(await exchange.body())
        await exchange.send(reply(200, stored[-1]))

    async with scripted(keep) as server:
        client = HTTPClient(HTTPOptions())
        try:
            answered = await client.send("PUT", Origin.parse(server.url), "/key", {}, BytesBody(DATA))
            connection = answered.response.connection
            assert connection is not None
            protocols = connection.protocol
            body = ReplyBody(answered, Metadata(uri=parse_uri("s3://b/key"), size=len(DATA)), 0, len(DATA))
            received: list[bytes] = []
            counts = [count async for count in body.into(lambda piece: received.append(bytes(piece)), len(DATA))]
            await body.aclose()
        finally:
            await client.aclose()

    assert DATA == stored[0]
    assert DATA == b"".join(received)
    assert len(DATA) == sum(counts)
    assert on is isinstance(protocols, Receiver)
    assert on is any(senders)

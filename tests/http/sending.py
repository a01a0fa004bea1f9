"""
Bodies and requests for the tests of the transport.
"""

from collections.abc import AsyncIterator

from asyncstore.config import HTTPOptions
from asyncstore.driver.body import Body, BytesLike
from asyncstore.http import HTTPClient, Reply
from asyncstore.http.origin import Origin
from asyncstore.http.reply import MAX_ERROR_BODY
from tests.servers.scripted import Scripted

MiB = 1024 * 1024


class Chunks(Body):
    """A body of chunks that knows whether it is still being read."""

    def __init__(self, *chunks: bytes, size: int | None = None, error: Exception | None = None) -> None:
        self.size = sum(map(len, chunks)) if size is None else size
        self.reading = False
        self._chunks = chunks
        self._error = error

    async def chunks(self) -> AsyncIterator[BytesLike]:
        self.reading = True
        try:
            for chunk in self._chunks:
                yield chunk
            if self._error is not None:
                raise self._error
        finally:
            self.reading = False


async def sent(server: Scripted, method: str = "GET", body: Body | None = None, stall_timeout: float = 30.0) -> Reply:
    """Send one request with a new client, and read the reply."""
    client = HTTPClient(HTTPOptions(stall_timeout=stall_timeout))
    try:
        found = await client.send(method, Origin.parse(server.url), "/b/k", {}, body)
        await found.read_some(MAX_ERROR_BODY)
        return found
    finally:
        await client.aclose()

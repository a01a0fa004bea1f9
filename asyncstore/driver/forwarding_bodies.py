"""
The bases of bodies that wrap another body.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from asyncstore.driver.body import Body, BytesLike, ReadBody, Sink
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata


class ForwardingBody(Body):
    """
    A body to send that has the bytes of another one, which it receives by :meth:`chunks` only.
    """

    def __init__(self, body: Body) -> None:
        self.size = body.size
        self.replayable = body.replayable
        self.body = body

    async def chunks(self) -> AsyncIterator[BytesLike]:
        if (data := self.body.data) is not None:
            yield data
            return
        chunks = self.body.chunks()
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def prepare(self, algorithm: ChecksumAlgorithm) -> None:
        await self.body.prepare(algorithm)

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        return self.body.checksum(algorithm)


class ForwardingReadBody(ReadBody):
    """
    A received body that has the bytes of another one, by the same fast paths.

    To act on the bytes, override :meth:`__aiter__`, :meth:`into` and :meth:`collect`: a caller uses one of them.
    """

    def __init__(self, body: ReadBody) -> None:
        self.body = body

    @property
    def info(self) -> Metadata:  # type: ignore[override]
        return self.body.info

    @property
    def start(self) -> int:  # type: ignore[override]
        return self.body.start

    @property
    def end(self) -> int:  # type: ignore[override]
        return self.body.end

    @property
    def ignored_range(self) -> bool:  # type: ignore[override]
        return self.body.ignored_range

    @property
    def checksum(self) -> Checksum | None:
        return self.body.checksum

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.body)

    def into(self, sink: Sink, size: int) -> AsyncGenerator[int, None]:
        return self.body.into(sink, size)

    async def collect(self, chunks: list[bytes]) -> None:
        await self.body.collect(chunks)

    async def aclose(self) -> None:
        await self.body.aclose()

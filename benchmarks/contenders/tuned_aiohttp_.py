"""
The limit of aiohttp: the plain contender, receiving with fewer copies and allocations.

It replaces the protocol class in aiohttp's connector. Every new request gets a new parser,
so a parser that is left in the middle of a body does no harm.
"""

import asyncio
import functools
import os
from collections import deque
from typing import Any

from aiohttp.client_proto import ResponseHandler

from benchmarks.contenders import Target
from benchmarks.contenders.plain_aiohttp_ import PlainAiohttp, open_session
from benchmarks.units import KiB, MiB

_SLOT = MiB
_SLOTS_AHEAD = 2


async def connect(target: Target) -> "TunedAiohttp":
    """Connect with the protocol below."""
    session = open_session(target)
    loop = asyncio.get_running_loop()
    # Data is parsed before the next receive, so all connections share one buffer.
    buffer = memoryview(bytearray(256 * KiB))
    session.connector._factory = functools.partial(Receiver, loop, buffer)  # type: ignore[union-attr]
    return TunedAiohttp(target, session)


class Receiver(ResponseHandler, asyncio.BufferedProtocol):
    """
    Receives into a preallocated buffer.

    asyncio itself allocates 256 KiB for each receive and shrinks it to the bytes received,
    which costs two page faults for each request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        super().__init__(loop)
        self._shared = buffer
        self.body: Body | None = None

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.body.room() if self.body else self._shared

    def buffer_updated(self, nbytes: int) -> None:
        if self.body is None:
            self.data_received(self._shared[:nbytes])  # type: ignore[arg-type]
        else:
            self._reschedule_timeout()
            self.body.received(nbytes)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        if self.body is not None:
            self.body.fail(exc)


class Body:
    """The rest of a body of known length, received straight into slots of 1 MiB."""

    def __init__(self, receiver: Receiver, content: Any, remaining: int, free: list[memoryview]) -> None:
        self._receiver, self._content, self._remaining, self._free = receiver, content, remaining, free
        self._ready: deque[tuple[memoryview, int]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._error: BaseException | None = None
        self._begin_slot()

    def room(self) -> memoryview:
        """Return the memory for the next bytes."""
        return self._slot[self._filled : self._filled + self._remaining]

    def received(self, count: int) -> None:
        """Note that *count* bytes have arrived."""
        self._filled += count
        self._remaining -= count
        if self._remaining and self._filled < _SLOT:
            return
        self._ready.append((self._slot, self._filled))
        if not self._remaining:
            self._end()
        else:
            self._begin_slot()
            if len(self._ready) >= _SLOTS_AHEAD and not self._paused:
                self._paused = True
                self._receiver.transport.pause_reading()  # type: ignore[union-attr]
        self._wake()

    def fail(self, exc: BaseException) -> None:
        """Raise *exc* in the reader."""
        self._error = exc
        self._wake()

    async def next(self) -> tuple[memoryview, int] | None:
        """Return the next slot and the bytes in it; None at the end."""
        while not self._ready:
            if self._error is not None:
                raise self._error
            if not self._remaining:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._paused:
            self._paused = False
            self._receiver.transport.resume_reading()  # type: ignore[union-attr]
        return self._ready.popleft()

    def _begin_slot(self) -> None:
        self._slot = self._free.pop() if self._free else memoryview(bytearray(_SLOT))
        self._filled = 0

    def _end(self) -> None:
        self._receiver.body = None
        self._receiver._drop_timeout()
        self._content.feed_eof()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class TunedAiohttp(PlainAiohttp):
    """The same requests, with ranges received differently."""

    def __init__(self, target: Target, session: Any) -> None:
        super().__init__(target, session)
        self._free: list[memoryview] = []

    async def _download_part(self, key: str, file: int, start: int, end: int, etag: str) -> None:
        headers = {"Range": f"bytes={start}-{end - 1}", "If-Match": etag}
        async with self._request("GET", key, headers=headers) as reply:
            first = reply.content.read_nowait()
            body = None
            if reply.connection is not None and start + len(first) < end:
                receiver: Any = reply.connection.protocol
                body = receiver.body = Body(receiver, reply.content, end - start - len(first), self._free)
            await asyncio.to_thread(os.pwrite, file, first, start)
            start += len(first)
            while body is not None and (filled := await body.next()):
                slot, size = filled
                await asyncio.to_thread(os.pwrite, file, slot[:size], start)
                self._free.append(slot)
                start += size

"""
Ceilings of requests and bytes a second.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeVar

import anyio

from asyncstore.config import StorageConfig, check_rate
from asyncstore.driver import (
    Body,
    BytesLike,
    Driver,
    ForwardingBody,
    ForwardingDriver,
    ForwardingReadBody,
    Pending,
    ReadBody,
    Sink,
)
from asyncstore.engine.task_pool import iterating
from asyncstore.options import KiB, MiB, ReadOptions, WriteOptions
from asyncstore.types import ObjectInfo, Part
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")

# Bytes that are sent or received at once at most, and at least: a body of so many keeps its fast paths. In between
# it is what a 16th of a second allows, so that no body waits long while the others of a full budget have their turns.
_AT_ONCE: Final = 1 * MiB
_LEAST_AT_ONCE: Final = 16 * KiB
_TURNS: Final = 16

# Bytes a second that each request in flight should have: at less, servers and proxies close connections that seem idle
# (nginx, for example, by default after 60 s between two reads or writes).
_FAIR_SHARE: Final = 64 * KiB
_FEWEST: Final = 4


def requests_fed(config: StorageConfig) -> int:
    """
    Return how many requests in flight the rates of *config* can feed, at most its ``max_requests``.

    Only if both directions have a ceiling: otherwise requests of the other one need their places.
    """
    ways = [
        [rate for rate in (config.bytes_per_second, way) if rate is not None]
        for way in (config.upload_bytes_per_second, config.download_bytes_per_second)
    ]
    if not all(ways):
        return config.max_requests
    return min(config.max_requests, max(_FEWEST, int(max(map(min, ways)) / _FAIR_SHARE)))


class Rate:
    """
    A token bucket that holds what one second allows.

    Args:
        name: The setting, for errors.
        per_second: What it allows; ``None`` allows everything.
    """

    def __init__(
        self,
        name: str,
        per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = anyio.sleep,
    ) -> None:
        check_rate(name, per_second)
        self._per_second = per_second
        self._clock = clock
        self._sleep = sleep
        # When all that was taken is paid for; up to a second ago if nothing was.
        self._paid = -math.inf

    def __bool__(self) -> bool:
        return self._per_second is not None

    @property
    def piece(self) -> int:
        """Bytes to take at once."""
        if self._per_second is None:
            return _AT_ONCE
        return max(_LEAST_AT_ONCE, min(_AT_ONCE, int(self._per_second / _TURNS)))

    def share(self, processes: int) -> None:
        """
        Allow the part that belongs to one of so many *processes*.
        """
        if self._per_second is not None:
            self._per_second /= processes

    async def take(self, count: float) -> None:
        """
        Take *count*, and wait until all that was taken before it is paid for.

        A cancelled wait gives it back.
        """
        if self._per_second is None:
            return
        now = self._clock()
        cost = count / self._per_second
        self._paid = max(self._paid, now - 1.0) + cost
        if self._paid > now:
            try:
                await self._sleep(self._paid - now)
            except BaseException:
                self._paid -= cost
                raise


class Ceilings:
    """
    The rates of one storage.

    Args:
        requests_per_second: Requests of any kind.
        bytes_per_second: Bytes of objects, sent and received together.
        upload_bytes_per_second: Bytes of objects that are sent.
        download_bytes_per_second: Bytes of objects that are received.
        rate: Makes each of them.

    Raises:
        ConfigurationError: One is not above 0.
    """

    def __init__(
        self,
        *,
        requests_per_second: float | None = None,
        bytes_per_second: float | None = None,
        upload_bytes_per_second: float | None = None,
        download_bytes_per_second: float | None = None,
        rate: Callable[[str, float | None], Rate] = Rate,
    ) -> None:
        both = rate("bytes_per_second", bytes_per_second)
        up = rate("upload_bytes_per_second", upload_bytes_per_second)
        down = rate("download_bytes_per_second", download_bytes_per_second)
        self.requests = rate("requests_per_second", requests_per_second)
        self.sent = _Rates(both, up)
        self.received = _Rates(both, down)
        self._all = (self.requests, both, up, down)

    @classmethod
    def of(cls, config: StorageConfig) -> Ceilings:
        """
        Return those that *config* sets.
        """
        return cls(
            requests_per_second=config.requests_per_second,
            bytes_per_second=config.bytes_per_second,
            upload_bytes_per_second=config.upload_bytes_per_second,
            download_bytes_per_second=config.download_bytes_per_second,
        )

    def __bool__(self) -> bool:
        return bool(self.requests) or bool(self.sent) or bool(self.received)

    def share(self, processes: int) -> None:
        """
        Keep the part of the rates that belongs to one of so many *processes*, before the first request.
        """
        for rate in self._all:
            rate.share(processes)


class _Rates:
    """
    Several rates that hold for the same bytes.
    """

    def __init__(self, *rates: Rate) -> None:
        self._rates = [rate for rate in rates if rate]

    @property
    def piece(self) -> int:
        """Bytes to take at once."""
        return min((rate.piece for rate in self._rates), default=_AT_ONCE)

    def __bool__(self) -> bool:
        return bool(self._rates)

    async def take(self, count: int) -> None:
        for rate in self._rates:
            await rate.take(count)


class ThrottledDriver(ForwardingDriver):
    """
    Takes each request, and each piece of a body, from the rates of *ceilings*.

    Args:
        owned: Whether closing it closes *driver*.
    """

    def __init__(self, driver: Driver, ceilings: Ceilings, *, owned: bool = False) -> None:
        super().__init__(driver)
        self.ceilings = ceilings
        self._owned = owned

    async def call(self, op: str, uris: Sequence[ObjectURI], send: Callable[[], Awaitable[_T]]) -> _T:
        await self.ceilings.requests.take(1)
        return await send()

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        body = await super().open_read(uri, options)
        return PacedReadBody(body, self.ceilings.received) if self.ceilings.received else body

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        return await super().put(uri, await self._paced(body), options)

    async def upload_part(
        self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
    ) -> Part | Pending[Part]:
        return await super().upload_part(uri, upload_id, number, await self._paced(body), options)

    async def aclose(self) -> None:
        if self._owned:
            await self.driver.aclose()

    async def _paced(self, body: Body) -> Body:
        rates = self.ceilings.sent
        if rates and body.size > rates.piece:
            return PacedBody(body, rates)
        await rates.take(body.size)
        return body


class PacedBody(ForwardingBody):
    """
    A body to send that waits for its rates before each piece.
    """

    def __init__(self, body: Body, rates: _Rates) -> None:
        super().__init__(body)
        self._rates = rates

    async def chunks(self) -> AsyncIterator[BytesLike]:
        size = self._rates.piece
        async with iterating(super().chunks()) as chunks:
            async for chunk in chunks:
                for at in range(0, len(chunk), size):
                    piece = memoryview(chunk)[at : at + size]
                    await self._rates.take(len(piece))
                    yield piece


class PacedReadBody(ForwardingReadBody):
    """
    A body that is received, which waits for its rates after each chunk.
    """

    def __init__(self, body: ReadBody, rates: _Rates) -> None:
        super().__init__(body)
        self._rates = rates

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.body:
            await self._rates.take(len(chunk))
            yield chunk

    async def into(self, sink: Sink, size: int) -> AsyncGenerator[int, None]:
        async with aclosing(self.body.into(sink, size)) as counts:
            async for count in counts:
                await self._rates.take(count)
                yield count

    async def collect(self, chunks: list[bytes]) -> None:
        size = self.end - self.start
        if 0 <= size <= self._rates.piece:
            await self._rates.take(size)
            await self.body.collect(chunks)
        else:
            await ReadBody.collect(self, chunks)

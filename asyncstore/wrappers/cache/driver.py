"""
The driver that reads through a cache.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from asyncstore._support.argument_types import check_argument
from asyncstore._support.threads import in_thread
from asyncstore.checksum import Hasher
from asyncstore.driver import BytesLike, Driver, ForwardingDriver, ForwardingReadBody, ReadBody, Sink, resolve_range
from asyncstore.errors import (
    ConfigurationError,
    NotFoundError,
    NotModifiedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
)
from asyncstore.options import PLAIN_READ, ReadOptions
from asyncstore.storage import Storage
from asyncstore.types import UNKNOWN, is_weak
from asyncstore.uri import ObjectURI
from asyncstore.wrappers.cache.directory import DirectoryCache
from asyncstore.wrappers.cache.entry import Cache, Entry, Head, Recorder, Request
from asyncstore.wrappers.cache.memory import MemoryCache

_T = TypeVar("_T")

# Requests after which the object can be another one.
_WRITES: Final = frozenset({"put", "delete", "delete_batch", "copy", "complete_multipart_upload", "advance", "undo"})
# Options that a cache can answer. A read with any other goes to the service.
_ANSWERED: Final = frozenset({"range", "if_match", "version_id", "verify", "hedge_after"})
_OTHERS: Final = tuple(item.name for item in fields(ReadOptions) if item.name not in _ANSWERED)


def cached(storage: Storage, *, max_bytes: int, directory: str | Path | None = None, max_age: float = 0.0) -> Storage:
    """
    Return a storage with the objects of *storage* that keeps what it has read.

    A read asks the service whether the object still has the ETag of what was kept, and gets the bytes only if not:
    one short request. With *max_age* the service is not asked again for so long, and a change by others may be seen
    that much later. Replies to whole reads and to ranges are kept; a range is also answered from the whole object.
    Reads with ``if_none_match`` or dates, objects without a strong ETag, listings and metadata come from the service.

    What is written, copied or deleted through the storage is forgotten. A damaged or truncated file is never
    served: its MiB are compared with their checksums when they are read, and the service is asked instead. If the
    disk is full or fails, nothing more is kept, and reads go on.

    Closing it leaves *storage* open, and the files for the next time.

    Args:
        max_bytes: Most bytes that are kept, files of other processes in *directory* included. What was not used
            for the longest time is removed first. What is being read and not complete yet comes on top.
        directory: Where files are kept. Any number of tasks and processes on one machine may share it, also for
            different storages. It is created for this user only: anyone who can read it can read the objects.
            ``None`` keeps them in memory until the storage is closed.
        max_age: Seconds.

    Raises:
        ConfigurationError: *max_bytes* or *max_age* makes no sense; by the first read: *directory* cannot be written.
    """
    check_argument("max_bytes", max_bytes, int)
    if max_bytes < 1:
        raise ConfigurationError(f"max_bytes must be at least 1, not {max_bytes}")
    if not 0 <= max_age < math.inf:
        raise ConfigurationError(f"max_age must be 0 or more seconds, not {max_age}")
    folder = None if directory is None else Path(directory)
    return storage.wrapped(partial(_cached, max_bytes=max_bytes, directory=folder, max_age=max_age))


def _cached(driver: Driver, max_bytes: int, directory: Path | None, max_age: float) -> CachedDriver:
    if directory is None:
        return CachedDriver(driver, MemoryCache(max_bytes), max_age)
    identity = f"{driver.provider} {driver.describe().get('endpoint', '')}"
    return CachedDriver(driver, DirectoryCache(directory, identity, max_bytes), max_age)


class CachedDriver(ForwardingDriver):
    """
    Answers reads from a cache if the service says that the object is the same.

    Args:
        max_age: Seconds for which the service is not asked again.
    """

    def __init__(self, driver: Driver, cache: Cache, max_age: float) -> None:
        super().__init__(driver)
        self._cache = cache
        self._max_age = max_age
        self._recorders: dict[str, set[Recorder]] = {}

    async def call(self, op: str, uris: Sequence[ObjectURI], send: Callable[[], Awaitable[_T]]) -> _T:
        if op not in _WRITES:
            return await send()
        targets = [str(uri) for uri in (uris[-1:] if op == "copy" else uris)]
        try:
            return await send()
        finally:
            # Also after an error or a cancellation: the request may have been carried out.
            await self._forget(targets)

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        if any(getattr(options, name) != getattr(PLAIN_READ, name) for name in _OTHERS):
            return await super().open_read(uri, options)
        request = Request.of(uri, options)
        wanted = [request] if options.range is None else [request, request.whole]
        entry = await self._run(self._cache.find, wanted)
        if entry is None:
            return await self._fetch(uri, request, options)
        try:
            return await self._answer(uri, request, options, entry)
        except BaseException:
            entry.close()
            raise

    async def _answer(self, uri: ObjectURI, request: Request, options: ReadOptions, entry: Entry) -> ReadBody:
        etag = entry.head.info.etag
        if options.if_match is not None and options.if_match.strip('"') != etag:
            entry.close()
            return await self._fetch(uri, request, options)
        if not 0 <= time.time() - entry.checked < self._max_age:
            other = await self._newer(uri, request, options, entry)
            if other is not None:
                entry.close()
                return other
            await self._run(self._cache.mark, entry.request)
        if entry.request == request:
            return entry.body(uri, entry.head.start, entry.head.end)
        return entry.body(uri, *resolve_range(options.range, entry.head.size))

    async def _newer(self, uri: ObjectURI, request: Request, options: ReadOptions, entry: Entry) -> ReadBody | None:
        """
        Return the reply of the service if the object is not that of *entry* any more.
        """
        etag = entry.head.info.etag
        try:
            if not self.capabilities.conditional_read:
                current = await super().stat(uri, replace(options, range=None, if_match=None))
                return None if current.etag == etag else await self._fetch(uri, request, options)
            asking = replace(options, if_match=None, if_none_match=etag)
            body = await super().open_read(uri, asking)
        except NotModifiedError:
            return None
        except (NotFoundError, RangeNotSatisfiableError):
            await self._forget([request.uri])
            raise
        if options.if_match is None or body.info.etag == etag:
            return await self._recorded(request, body)
        await body.aclose()
        await self._forget([request.uri])
        raise PreconditionFailedError(f"its ETag is {body.info.etag!r}, and if_match is {options.if_match!r}")

    async def _fetch(self, uri: ObjectURI, request: Request, options: ReadOptions) -> ReadBody:
        return await self._recorded(request, await super().open_read(uri, options))

    async def _recorded(self, request: Request, body: ReadBody) -> ReadBody:
        etag = body.info.etag
        if not etag or is_weak(etag) or UNKNOWN in (body.end, body.info.size) or body.ignored_range:
            return body
        recorder = self._cache.recorder(request, Head(body.info, body.start, body.end))
        if recorder is None:
            return body
        recorders = self._recorders.setdefault(request.uri, set())
        recorders.add(recorder)

        def done() -> None:
            recorders.discard(recorder)
            if not recorders and self._recorders.get(request.uri) is recorders:
                del self._recorders[request.uri]

        return RecordedBody(body, recorder, self._run, done)

    async def _forget(self, uris: Sequence[str]) -> None:
        for uri in uris:
            for recorder in self._recorders.get(uri, ()):
                recorder.wanted = False
        await self._run(self._cache.forget, uris)

    async def _run(self, call: Callable[..., _T], *args: Any) -> _T:
        return await in_thread(call, *args) if self._cache.blocking else call(*args)

    def describe(self) -> dict[str, str]:
        return {**self.driver.describe(), "cache": str(self._cache)}

    async def aclose(self) -> None:
        self._cache.clear()


class RecordedBody(ForwardingReadBody):
    """
    The reply of the service, recorded as it is read. One that is not read to its end is not kept.
    """

    def __init__(
        self, body: ReadBody, recorder: Recorder, run: Callable[..., Awaitable[Any]], done: Callable[[], None]
    ) -> None:
        super().__init__(body)
        self._recorder = recorder
        self._run = run
        self._done = done
        self._finished = False
        self._left = body.end - body.start
        self._expected = body.checksum
        self._hasher = None if self._expected is None else Hasher(self._expected.algorithm)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.body:
            await self._run(self._take, chunk)
            yield chunk

    async def into(self, sink: Sink, size: int) -> AsyncGenerator[int, None]:
        def both(data: BytesLike) -> None:
            sink(data)
            self._take(data)

        async with aclosing(self.body.into(both, size)) as counts:
            async for count in counts:
                yield count

    async def collect(self, chunks: list[bytes]) -> None:
        before = len(chunks)
        await self.body.collect(chunks)
        await self._run(self._take, *chunks[before:])

    async def aclose(self) -> None:
        try:
            await self.body.aclose()
        finally:
            if not self._finished:
                self._finished = True
                try:
                    await self._run(self._finish)
                finally:
                    self._done()

    def _take(self, *chunks: BytesLike) -> None:
        for data in chunks:
            self._recorder.write(data)
            self._left -= len(data)
            if self._hasher is not None:
                self._hasher.update(data)

    def _finish(self) -> None:
        intact = self._hasher is None or self._hasher.checksum() == self._expected
        if self._left == 0 and intact:
            self._recorder.commit()
        else:
            self._recorder.discard()

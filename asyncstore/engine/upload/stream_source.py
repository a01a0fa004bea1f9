"""
Data from callers: bytes in memory, or a stream of unknown length that is written part by part.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import anyio

from asyncstore._support.threads import in_patient_thread
from asyncstore.driver.body import BytesBody, BytesLike
from asyncstore.engine import lost_replies
from asyncstore.engine.budget import PATIENCE, Budget, Feed, Filling
from asyncstore.engine.plan import check_size, stream_part_size
from asyncstore.engine.progress import ObjectMeter, retried_of
from asyncstore.engine.requests import Requests
from asyncstore.engine.task_pool import closing_generator, iterating, single_error
from asyncstore.engine.upload.file_source import CHUNK
from asyncstore.engine.upload.multipart import MultipartSession, multipart_session
from asyncstore.engine.upload.pipe_source import pipe_chunks, raw_pipe
from asyncstore.errors import InvalidRequestError, NotSupportedError
from asyncstore.options import UploadOptions
from asyncstore.protocols import DataLike
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

_NOTHING = memoryview(b"")

#: Bytes of a part, and what holds their reservation until it is closed.
ReservedPart = tuple[bytearray, AsyncExitStack]


async def put_counted(
    requests: Requests, target: ObjectURI, body: BytesBody, options: UploadOptions, meter: ObjectMeter
) -> ObjectInfo:
    """
    Write bytes in memory with one request; they count once they are stored.
    """
    meter.expect(body.size)
    info = await lost_replies.put(requests, target, body, options, meter.retried)
    meter.advance(body.size)
    return info


async def put_stream(
    requests: Requests,
    target: ObjectURI,
    data: DataLike,
    options: UploadOptions,
    meter: ObjectMeter | None = None,
    patience: float = PATIENCE,
) -> ObjectInfo:
    """
    Write a stream: by one request if it fits into one part, else as a multipart upload.

    Its size is not known before its end; each part counts once it is stored.

    Args:
        patience: As :meth:`Budget.filling`.

    Raises:
        TypeError: *data* is neither a binary file nor an iterable of bytes.
        NotSupportedError: It does not fit, and the provider does not support multipart uploads.
    """
    capabilities = requests.driver.capabilities
    async with aclosing(StreamSource(as_chunks(data), patience)) as source, AsyncExitStack() as reserved:
        start = await source.read(CHUNK)
        size = CHUNK
        # Most streams are short, and do not need the budget.
        if len(start) == CHUNK:
            size = _largest_in_memory(requests, options)
            await reserved.enter_async_context(requests.limits.bytes.reserve(size))
            with source.filling(requests.limits.bytes, size):
                start += await source.read(size - CHUNK)
                # Here, since this waits for the stream, too.
                await source.at_end()
        if await source.at_end():
            check_size(len(start), capabilities)
            body = BytesBody(start)
            if meter is None:
                return await lost_replies.put(requests, target, body, options)
            return await put_counted(requests, target, body, options, meter)
        if not capabilities.multipart:
            raise NotSupportedError(
                f"{requests.driver.provider} does not support multipart uploads, and this stream is longer than "
                f"max_buffer_bytes or one request ({size} bytes): write it to a file and upload() that"
            )
        async with multipart_session(requests, target, options, retried_of(meter)) as session:
            await StreamParts(requests, source, (start, reserved), options, meter).send(session)
            return await session.complete()


def _largest_in_memory(requests: Requests, options: UploadOptions) -> int:
    if requests.driver.capabilities.multipart:
        return next_part_size(requests, 1, options)
    return min(requests.limits.bytes.total, requests.driver.capabilities.max_put_size)


class StreamSource:
    """
    A stream of unknown length, read in parts of the requested size.
    """

    def __init__(self, chunks: AsyncGenerator[BytesLike, None], patience: float = PATIENCE) -> None:
        self._chunks = chunks
        self._patience = patience
        self._rest = _NOTHING
        self._feed = Feed()
        self._filling: Filling | None = None

    @contextmanager
    def filling(self, budget: Budget, size: int) -> Iterator[None]:
        """
        Fill a reservation of *size* bytes from the stream in the block.
        """
        with budget.filling(size, self._patience) as self._filling:
            try:
                yield
            finally:
                self._filling = None

    async def read(self, size: int) -> bytearray:
        """
        Return the next *size* bytes; fewer, or none, at the end of the stream.
        """
        part = bytearray()
        while len(part) < size and not await self.at_end():
            count = min(size - len(part), len(self._rest))
            part += self._rest[:count]
            # Do not keep a view, even an empty one: the owner could not resize its buffer.
            self._rest = self._rest[count:] if count < len(self._rest) else _NOTHING
        return part

    async def at_end(self) -> bool:
        """
        Return whether the stream has ended.
        """
        if self._rest:
            return False
        with self._feed.pulled():
            async for chunk in self._chunks:
                self._rest = flat(chunk)
                if self._filling is not None:
                    self._filling.moved()
                if self._rest:
                    return False
        return True

    async def aclose(self) -> None:
        """
        Close the generator that the chunks come from.
        """
        try:
            with self._feed.pulled():
                await self._chunks.aclose()
        finally:
            self._feed.close()


class StreamParts:
    """
    The parts of one stream: cut one after the other, sent by several workers.

    Args:
        first: The first part, which was read already.
    """

    def __init__(
        self,
        requests: Requests,
        source: StreamSource,
        first: ReservedPart,
        options: UploadOptions,
        meter: ObjectMeter | None,
    ) -> None:
        self._requests = requests
        self._capabilities = requests.driver.capabilities
        self._source = source
        self._first: ReservedPart | None = first
        self._options = options
        self._meter = meter
        self._cutting = anyio.Lock()
        self._number = 0
        self._total = 0

    async def send(self, session: MultipartSession) -> None:
        """
        Send all parts.
        """

        async def worker() -> None:
            while await self._send_next(session):
                pass

        with single_error():
            async with anyio.create_task_group() as group:
                for _ in range(self._workers()):
                    group.start_soon(worker)

    def _workers(self) -> int:
        # One reads the next part while the others send theirs. A third of the budget is left to what sockets hold of
        # the parts, and to other transfers. At least two, which take turns if the budget has only one part.
        size = next_part_size(self._requests, 1, self._options)
        most = max(2, self._requests.limits.bytes.total * 2 // 3 // size)
        return min(most, self._requests.at_a_time(self._options.max_concurrency))

    async def _send_next(self, session: MultipartSession) -> bool:
        async with AsyncExitStack() as reserved:
            async with self._cutting:
                part = await self._cut(reserved)
                if not part:
                    if self._meter is not None:
                        self._meter.expect(self._total)
                    return False
                self._number += 1
                self._total += len(part)
                number = self._number
                self._check()
            await session.send(number, BytesBody(part))
            if self._meter is not None:
                self._meter.advance(len(part))
            return True

    async def _cut(self, reserved: AsyncExitStack) -> bytearray:
        if self._first is not None:
            (part, first), self._first = self._first, None
            reserved.push_async_exit(first)
            return part
        # At the end, do not wait for bytes: other parts may hold the whole budget.
        if await self._source.at_end():
            return bytearray()
        size = next_part_size(self._requests, self._number + 1, self._options)
        budget = self._requests.limits.bytes
        await reserved.enter_async_context(budget.reserve(size))
        with self._source.filling(budget, size):
            return await self._source.read(size)

    def _check(self) -> None:
        check_size(self._total, self._capabilities)
        if self._number > self._capabilities.max_parts:
            raise InvalidRequestError(
                f"the stream is longer than {self._capabilities.max_parts} parts that fit into max_buffer_bytes: "
                "raise that, or part_size, or write the stream to a file and upload() that"
            )


def next_part_size(requests: Requests, number: int, options: UploadOptions) -> int:
    """
    Return the planned size of part *number* (from 1), limited by the byte budget.

    Even a smaller budget allows the provider's smallest part and one read.
    """
    capabilities = requests.driver.capabilities
    largest = max(requests.limits.bytes.total, capabilities.min_part_size, CHUNK)
    return stream_part_size(number, options.part_size, capabilities, largest)


def in_memory(data: DataLike) -> BytesLike | None:
    """
    Return *data* as a one-dimensional buffer of bytes if it is in memory, else ``None``.
    """
    if isinstance(data, bytes | bytearray):
        return data
    if hasattr(data, "read"):
        # An mmap is a file, too, with a position.
        return None
    try:
        # Also of array.array and NumPy, whose items would otherwise be taken for chunks.
        return flat(memoryview(cast("BytesLike", data)))
    except TypeError:
        return None


def flat(data: BytesLike) -> memoryview:
    """
    Return *data* as a one-dimensional buffer of bytes, without a copy if it is contiguous.
    """
    view = memoryview(data)
    if not view.nbytes:
        return _NOTHING
    try:
        return view.cast("B")
    except (TypeError, ValueError, NotImplementedError):
        # Not contiguous, or of items that memoryview.cast() does not know, as in ctypes.
        return memoryview(view.tobytes())


def as_chunks(data: DataLike) -> AsyncGenerator[BytesLike, None]:
    """
    Return the chunks of an open file, plain or asynchronous, or of an iterable of either kind.

    Closing the result closes a generator that they come from.

    Raises:
        TypeError: *data* is something else.
    """
    if isinstance(data, str | Path):
        raise TypeError(
            f"data must be bytes, a binary file or an iterable of bytes, not {data!r}; use upload() for a path"
        )
    if isinstance(data, io.TextIOBase):
        raise TypeError("data must be bytes, but this file is in text mode: open it in binary mode")
    if _reads_asynchronously(data):
        return _from_async_file(data)
    if isinstance(data, AsyncIterable):
        return _from_async(data)
    if isinstance(data, io.IOBase) or hasattr(data, "read"):
        return _from_file(cast("BinaryIO", data))
    if isinstance(data, Iterable):
        return _from_iterable(cast("Iterable[BytesLike]", data))
    raise TypeError(f"data must be bytes, a binary file or an iterable of bytes, not {type(data).__name__}")


def _reads_asynchronously(data: Any) -> bool:
    # Preferred to iteration, which yields lines: asyncio.StreamReader refuses long ones. The read() of aiohttp's
    # BodyPartReader takes no size.
    read = getattr(data, "read", None)
    if not inspect.iscoroutinefunction(read):
        return False
    try:
        inspect.signature(read).bind(CHUNK)
    except (TypeError, ValueError):
        return False
    return True


async def _from_async_file(data: Any) -> AsyncGenerator[BytesLike, None]:
    while chunk := _bytes(await data.read(CHUNK)):
        yield chunk


async def _from_async(data: AsyncIterable[BytesLike]) -> AsyncGenerator[BytesLike, None]:
    async with iterating(data) as chunks:
        async for chunk in chunks:
            yield _bytes(chunk)


async def _from_iterable(data: Iterable[BytesLike]) -> AsyncGenerator[BytesLike, None]:
    with closing_generator(data) as chunks:
        for chunk in chunks:
            yield _bytes(chunk)


async def _from_file(data: BinaryIO) -> AsyncGenerator[BytesLike, None]:
    if (raw := raw_pipe(data)) is not None:
        async with aclosing(pipe_chunks(data, raw, CHUNK)) as chunks:
            async for chunk in chunks:
                yield chunk
        return
    while True:
        chunk = _bytes(await in_patient_thread(data.read, CHUNK))
        if not chunk:
            return
        yield chunk


def _bytes(chunk: Any) -> BytesLike:
    if isinstance(chunk, bytes | bytearray | memoryview):
        return chunk
    raise TypeError(f"the stream yielded {type(chunk).__name__}, not bytes: open files in binary mode")

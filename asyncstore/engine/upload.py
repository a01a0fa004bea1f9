"""
Writing one object, of any size, from a file, from memory or from a stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from asyncstore.body import BytesBody
from asyncstore.engine import lost
from asyncstore.engine.calls import Calls
from asyncstore.engine.multipart import MultipartSession, multipart_session
from asyncstore.engine.plan import Span, check_size, part_size, spans, stream_part_size
from asyncstore.engine.pool import for_each
from asyncstore.engine.progress import HighWater, ObjectMeter
from asyncstore.engine.source import CHUNK, FileSource, StreamSource, as_chunks, in_memory
from asyncstore.errors import InvalidRequestError, NotSupportedError
from asyncstore.options import UploadOptions
from asyncstore.protocols import DataLike
from asyncstore.types import ChecksumAlgorithm, ObjectInfo
from asyncstore.uri import ObjectURI

# What a part of a file takes of the byte budget while it is sent: the chunk that
# is being written and the one that is read meanwhile.
_FILE_PART_BYTES = 2 * CHUNK

_PARTS_IN_MEMORY = 4


async def upload_file(
    calls: Calls, source: Path, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> ObjectInfo:
    """
    Write a local file.

    Small files go in one request, from memory; others by parts that are read while
    they are sent.

    Raises:
        SourceChangedError: The file was written to meanwhile; nothing is published.
    """
    async with FileSource(source) as file:
        check_size(file.size, calls.driver.capabilities)
        meter.expect(file.size)
        if not _by_parts(calls, file.size, options):
            async with calls.limits.bytes.reserve(file.size):
                data = await file.read()
                info = await lost.put(calls, target, BytesBody(data), options, meter.retried)
            meter.advance(file.size)
            return info
        return await _upload_file_parts(calls, file, target, options, meter)


async def _upload_file_parts(
    calls: Calls, file: FileSource, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> ObjectInfo:
    size = part_size(file.size, options.part_size, calls.driver.capabilities)
    algorithm = _algorithm(calls, options)
    buffers = calls.limits.bytes
    # A few parts at least can be held at once; larger ones are read twice if a
    # driver wants their checksums in front.
    in_memory = size * _PARTS_IN_MEMORY <= buffers.total
    async with multipart_session(calls, target, options, meter.retried) as session:

        async def send(span: Span) -> None:
            async with buffers.reserve(span.size if in_memory else _FILE_PART_BYTES):
                water = HighWater(meter)
                body = file.part(span.start, span.end, algorithm=algorithm, water=water, in_memory=in_memory)
                try:
                    await session.send(span.number, body, algorithm)
                finally:
                    body.release()

        await for_each(spans(0, file.size, size), send, max_concurrency=options.max_concurrency)
        await file.check()
        return await session.complete()


async def put(calls: Calls, target: ObjectURI, data: DataLike, options: UploadOptions) -> ObjectInfo:
    """
    Write bytes, an open file or a stream.
    """
    whole = in_memory(data)
    if whole is None:
        return await _put_stream(calls, StreamSource(as_chunks(data)), target, options)
    size = len(whole)
    if _by_parts(calls, size, options):
        return await _put_parts(calls, target, memoryview(whole), options)
    return await lost.put(calls, target, BytesBody(whole), options)


async def _put_parts(calls: Calls, target: ObjectURI, data: memoryview, options: UploadOptions) -> ObjectInfo:
    size = part_size(len(data), options.part_size, calls.driver.capabilities)
    algorithm = _algorithm(calls, options)
    async with multipart_session(calls, target, options) as session:

        async def send(span: Span) -> None:
            await session.send(span.number, BytesBody(data[span.start : span.end]), algorithm)

        await for_each(spans(0, len(data), size), send, max_concurrency=options.max_concurrency)
        return await session.complete()


async def _put_stream(calls: Calls, source: StreamSource, target: ObjectURI, options: UploadOptions) -> ObjectInfo:
    # Most streams are short, and those take nothing of the budget for long ones.
    start = await source.take(CHUNK)
    if len(start) < CHUNK:
        return await lost.put(calls, target, BytesBody(start), options)
    capabilities = calls.driver.capabilities
    size = _stream_part_size(calls, 1, options) if capabilities.multipart else calls.limits.bytes.total
    async with AsyncExitStack() as held:
        await held.enter_async_context(calls.limits.bytes.reserve(size))
        first = start + await source.take(size - len(start))
        if len(first) < size:
            return await lost.put(calls, target, BytesBody(first), options)
        if not capabilities.multipart:
            raise NotSupportedError(
                f"{calls.driver.provider} has no multipart uploads, so a stream is held in memory, and this one "
                f"is longer than max_buffer_bytes ({size}); write it to a file and upload() that"
            )
        async with multipart_session(calls, target, options) as session:
            await session.send(1, BytesBody(first), _algorithm(calls, options))
            first.clear()
            # Its bytes go to the pieces that follow: who holds some and waits for more
            # can wait for ever, for others who do the same.
            await held.aclose()
            await _send_rest(calls, session, source, size, options)
            return await session.complete()


async def _send_rest(
    calls: Calls, session: MultipartSession, source: StreamSource, sent: int, options: UploadOptions
) -> None:
    algorithm = _algorithm(calls, options)

    async def send(piece: _Piece) -> None:
        try:
            await session.send(piece.number, BytesBody(piece.data), algorithm)
        finally:
            calls.limits.bytes.release(piece.held)

    await for_each(_pieces(calls, source, sent, options), send, max_concurrency=options.max_concurrency)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part *number* of a stream, and what it *held* of the byte budget: whoever takes it gives that back."""

    number: int
    data: bytearray
    held: int


async def _pieces(calls: Calls, source: StreamSource, sent: int, options: UploadOptions) -> AsyncIterator[_Piece]:
    buffers = calls.limits.bytes
    for number in count(2):
        size = _stream_part_size(calls, number, options)
        held = min(size, buffers.total)
        await buffers.acquire(held)
        try:
            data = await source.take(size)
            sent += len(data)
            check_size(sent, calls.driver.capabilities)
        except BaseException:
            buffers.release(held)
            raise
        if not data:
            buffers.release(held)
            return
        yield _Piece(number, data, held)


def _by_parts(calls: Calls, size: int, options: UploadOptions) -> bool:
    capabilities = calls.driver.capabilities
    check_size(size, capabilities)
    if capabilities.multipart:
        return size >= max(1, options.multipart_threshold) or size > capabilities.max_put_size
    if size > capabilities.max_put_size:
        raise InvalidRequestError(
            f"{size} bytes are more than the {capabilities.max_put_size} that one request can write "
            f"(see {capabilities.reference})"
        )
    return False


def _stream_part_size(calls: Calls, number: int, options: UploadOptions) -> int:
    # No more than may be held in memory, unless the provider takes nothing smaller.
    able = calls.driver.capabilities
    return max(able.min_part_size, min(stream_part_size(number, options.part_size, able), calls.limits.bytes.total))


def _algorithm(calls: Calls, options: UploadOptions) -> ChecksumAlgorithm | None:
    return options.checksum or calls.driver.preferred_checksum

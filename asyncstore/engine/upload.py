"""
Writing one object, of any size, from a file, from memory or from a stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from asyncstore.body import BytesBody, BytesLike
from asyncstore.engine import lost
from asyncstore.engine.calls import Calls
from asyncstore.engine.given import StreamSource, as_chunks, in_memory
from asyncstore.engine.multipart import MultipartSession, multipart_session
from asyncstore.engine.pieces import algorithm_of, piece_size, send_stream
from asyncstore.engine.plan import Span, check_size, part_size, spans
from asyncstore.engine.pool import for_each
from asyncstore.engine.progress import HighWater, ObjectMeter
from asyncstore.engine.resuming import discard, resumable_session
from asyncstore.engine.source import CHUNK, FileSource, read_small
from asyncstore.errors import InvalidRequestError, NotSupportedError
from asyncstore.options import KiB, UploadOptions
from asyncstore.protocols import DataLike
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

# What a part of a file takes of the byte budget while it is sent: the chunk that
# is being written and the one that is read meanwhile.
_FILE_PART_BYTES = 2 * CHUNK

_PARTS_IN_MEMORY = 3

# Files up to this size are opened and read by one visit to a thread, for which as many
# bytes are reserved before the size is known. As large as lets 64 be under way at once.
_SMALL_FILE = 256 * KiB


async def upload_file(
    calls: Calls, source: Path, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> ObjectInfo:
    """
    Write a local file.

    Small files go in one request, from memory; others by parts that are read while
    they are sent, or in one request that is, where the provider takes no parts.

    Raises:
        SourceChangedError: The file was written to meanwhile; nothing is published.
    """
    with calls.naming("upload", target):
        most = _read_at_once(calls, options)
        async with calls.limits.bytes.reserve(most):
            body = await read_small(source, most, algorithm_of(calls, options))
            if body is not None:
                return await _upload_small(calls, body, target, options, meter)
        async with FileSource(source) as file:
            return await _upload_open_file(calls, file, target, options, meter)


def _read_at_once(calls: Calls, options: UploadOptions) -> int:
    able = calls.driver.capabilities
    largest = min(options.multipart_threshold - 1, able.max_put_size, able.max_object_size)
    return max(0, min(_SMALL_FILE, largest, calls.limits.bytes.total))


async def _upload_small(
    calls: Calls, body: BytesBody, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> ObjectInfo:
    check_size(body.size, calls.driver.capabilities)
    if options.resume:
        await discard(calls, target)
    meter.expect(body.size)
    info = await lost.put(calls, target, body, options, meter.retried)
    meter.advance(body.size)
    return info


async def _upload_open_file(
    calls: Calls, file: FileSource, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> ObjectInfo:
    if not _by_parts(calls, file.size, options):
        if file.size >= max(1, options.multipart_threshold):
            meter.expect(file.size)
            return await _upload_in_one(calls, file, target, options, meter)
        async with calls.limits.bytes.reserve(file.size):
            return await _upload_small(calls, BytesBody(await file.read()), target, options, meter)
    meter.expect(file.size)
    return await _upload_file_parts(calls, file, target, options, meter)


async def _upload_in_one(
    calls: Calls, file: FileSource, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> ObjectInfo:
    async with calls.limits.bytes.reserve(_FILE_PART_BYTES):
        body = file.whole(algorithm=algorithm_of(calls, options), water=HighWater(meter))
        return await lost.put(calls, target, body, options, meter.retried)


async def _upload_file_parts(
    calls: Calls, file: FileSource, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> ObjectInfo:
    size = part_size(file.size, options.part_size, calls.driver.capabilities)
    algorithm = algorithm_of(calls, options)
    budget = calls.limits.bytes
    # Three parts at least can be held at once; larger ones are read twice if a
    # driver wants their checksums in front.
    in_memory = size * _PARTS_IN_MEMORY <= budget.total
    async with _file_session(calls, file, target, replace(options, part_size=size), meter) as session:

        async def send(span: Span) -> None:
            async with budget.reserve(span.size if in_memory else _FILE_PART_BYTES):
                water = HighWater(meter)
                memory = calls.limits.buffers if in_memory else None
                body = file.part(span.start, span.end, algorithm=algorithm, water=water, buffers=memory)
                try:
                    await session.send(span.number, body, algorithm)
                finally:
                    body.release()

        missing = (span for span in spans(0, file.size, size) if span.number not in session.sent)
        await for_each(missing, send, max_concurrency=options.max_concurrency)
        await file.check()
        return await session.complete()


@asynccontextmanager
async def _file_session(
    calls: Calls, file: FileSource, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> AsyncIterator[MultipartSession]:
    if not options.resume:
        async with multipart_session(calls, target, options, meter.retried) as session:
            yield session
        return
    exact = replace(options, checksum=algorithm_of(calls, options))
    async with resumable_session(calls, file, target, exact, meter.retried) as session:
        if session.sent:
            meter.advance(sum(sent.part.size for sent in session.sent.values()))
        yield session


async def put(calls: Calls, target: ObjectURI, data: DataLike, options: UploadOptions) -> ObjectInfo:
    """
    Write bytes, an open file or a stream.
    """
    with calls.naming("put", target):
        whole = in_memory(data)
        if whole is not None:
            return await _put_whole(calls, target, whole, options)
        async with aclosing(StreamSource(as_chunks(data))) as source:
            return await _put_stream(calls, source, target, options)


async def _put_whole(calls: Calls, target: ObjectURI, whole: BytesLike, options: UploadOptions) -> ObjectInfo:
    size = len(whole)
    if _by_parts(calls, size, options):
        return await _put_parts(calls, target, memoryview(whole), options)
    return await lost.put(calls, target, BytesBody(whole), options)


async def _put_parts(calls: Calls, target: ObjectURI, data: memoryview, options: UploadOptions) -> ObjectInfo:
    size = part_size(len(data), options.part_size, calls.driver.capabilities)
    algorithm = algorithm_of(calls, options)
    async with multipart_session(calls, target, options) as session:

        async def send(span: Span) -> None:
            await session.send(span.number, BytesBody(data[span.start : span.end]), algorithm)

        await for_each(spans(0, len(data), size), send, max_concurrency=options.max_concurrency)
        return await session.complete()


async def _put_stream(calls: Calls, source: StreamSource, target: ObjectURI, options: UploadOptions) -> ObjectInfo:
    # Most streams are short, and those take nothing of the budget for long ones.
    start = await source.take(CHUNK)
    if len(start) < CHUNK:
        check_size(len(start), calls.driver.capabilities)
        return await lost.put(calls, target, BytesBody(start), options)
    size = _largest_in_memory(calls, options)
    async with AsyncExitStack() as held:
        await held.enter_async_context(calls.limits.bytes.reserve(size))
        start += await source.take(size - len(start))
        if await source.at_end():
            return await lost.put(calls, target, BytesBody(start), options)
        if not calls.driver.capabilities.multipart:
            raise NotSupportedError(
                f"{calls.driver.provider} has no multipart uploads, so a stream is held in memory, and this one "
                f"is longer than max_buffer_bytes or one request ({size}); write it to a file and upload() that"
            )
        async with multipart_session(calls, target, options) as session:
            await send_stream(calls, session, source, (start, held), options)
            return await session.complete()


def _largest_in_memory(calls: Calls, options: UploadOptions) -> int:
    if calls.driver.capabilities.multipart:
        return piece_size(calls, 1, options)
    return min(calls.limits.bytes.total, calls.driver.capabilities.max_put_size)


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

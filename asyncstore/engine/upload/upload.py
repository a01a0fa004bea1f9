"""
Writing one object of any size from a file, from memory or from a stream.

:func:`~asyncstore.engine.plan.multipart_part_size` decides between one request and a
multipart upload; streams are written by :mod:`asyncstore.engine.upload.stream_source`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from asyncstore.driver.body import BytesBody
from asyncstore.engine import lost_replies
from asyncstore.engine.conditions import is_proven
from asyncstore.engine.existing import Look, exists
from asyncstore.engine.plan import Span, check_size, multipart_part_size, spans
from asyncstore.engine.progress import HighWater, ObjectMeter, retried_of
from asyncstore.engine.requests import Requests
from asyncstore.engine.task_pool import AHEAD, for_each
from asyncstore.engine.upload import journaled, resume
from asyncstore.engine.upload.content_type import with_content_type
from asyncstore.engine.upload.file_source import CHUNK, FileSource
from asyncstore.engine.upload.multipart import MultipartSession, multipart_session
from asyncstore.engine.upload.read_ahead import ReadAhead
from asyncstore.engine.upload.stream_source import in_memory, put_counted, put_stream
from asyncstore.engine.writing import Writing
from asyncstore.errors import AlreadyExistsError, IntegrityError, StorageError
from asyncstore.options import KiB, UploadOptions
from asyncstore.protocols import DataLike
from asyncstore.types import ChecksumAlgorithm, ObjectInfo, WriteResult
from asyncstore.uri import ObjectURI

# Files of up to this size are opened and read by one thread call, for which this many
# bytes are reserved before the size is known. Small enough for 64 at the same time.
_SMALL_FILE = 256 * KiB


async def upload_file(
    requests: Requests,
    source: Path,
    target: ObjectURI,
    options: UploadOptions,
    meter: ObjectMeter,
    *,
    look: Look | None = None,
    body: BytesBody | None = None,
) -> WriteResult:
    """
    Write a local file.

    A small file is sent from memory, by one request. Larger ones are read while they are
    sent: as a multipart upload, or by one request if the provider does not support those.

    Args:
        look: Makes a create-only write of a small file look for the object first, as that of a large one does:
            worth a request if many of them may be there already.
        body: Its bytes, if it is small and was read already.

    Raises:
        AlreadyExistsError: There is an object, and *options* are to create one only.
        SourceChangedError: The file changed during the upload; nothing is published.
    """
    options = with_content_type(options, requests.driver.capabilities, target, source)
    with Writing(requests, "upload", target) as writing:
        if body is not None:
            return writing.result(await _upload_small(requests, body, target, options, meter, look))
        async with FileSource(source) as file:
            try:
                return writing.result(await _upload(requests, file, target, options, meter, look))
            except IntegrityError:
                # Bytes are read again after their checksum was computed, so a changed file shows as a wrong checksum.
                await file.check()
                raise


async def _upload(
    requests: Requests,
    file: FileSource,
    target: ObjectURI,
    options: UploadOptions,
    meter: ObjectMeter,
    look: Look | None,
) -> ObjectInfo:
    small, algorithm = _small_size(requests, options), _algorithm(requests, options)
    async with requests.limits.bytes.reserve(small):
        body = await file.open(small, algorithm)
        if body is not None:
            return await _upload_small(requests, body, target, options, meter, look)
    await _look_first(requests, target, options, look)
    part_size = multipart_part_size(file.size, options, requests.driver.capabilities)
    if part_size is not None:
        return await _upload_parts(requests, file, target, replace(options, part_size=part_size), meter)
    await _discard(requests, target, options)
    meter.expect(file.size)
    # A chunk of it is in memory. Many files of a few MiB would fill sockets and servers: they count twice, up
    # to a part.
    most = options.part_size if file.size < options.multipart_threshold else CHUNK
    async with requests.limits.bytes.reserve(min(2 * file.size, most, requests.limits.bytes.total)):
        whole = file.whole(algorithm=algorithm, water=HighWater(meter))
        return await lost_replies.put(requests, target, whole, options, meter.retried)


async def _look_first(requests: Requests, target: ObjectURI, options: UploadOptions, look: Look | None = None) -> None:
    """
    Raise :class:`AlreadyExistsError` if a create-only write is going to fail, before its bytes are sent.

    The condition stays on the write, which decides; a look that fails decides nothing.
    """
    if options.if_none_match is None:
        return
    if not is_proven(requests, "create") and not is_proven(requests, "complete"):
        # The write itself looks first.
        return
    found = False
    with suppress(StorageError):
        found = await exists(requests, target, options.encryption)
    if found:
        if look is not None:
            look.found = True
        await _discard(requests, target, options)
        raise AlreadyExistsError(uri=str(target))


def read_ahead(requests: Requests, options: UploadOptions, most: int) -> ReadAhead:
    """
    Return what reads the small ones of many files, *most* at a time, before :func:`upload_file` is called for them.
    """
    return ReadAhead(requests.limits.bytes, _small_size(requests, options), _algorithm(requests, options), most)


def _algorithm(requests: Requests, options: UploadOptions) -> ChecksumAlgorithm | None:
    return options.checksum or requests.driver.preferred_checksum


def _small_size(requests: Requests, options: UploadOptions) -> int:
    capabilities = requests.driver.capabilities
    largest = min(options.multipart_threshold - 1, capabilities.max_put_size, capabilities.max_object_size)
    return max(0, min(_SMALL_FILE, largest, requests.limits.bytes.total))


async def _upload_small(
    requests: Requests,
    body: BytesBody,
    target: ObjectURI,
    options: UploadOptions,
    meter: ObjectMeter,
    look: Look | None,
) -> ObjectInfo:
    if look is not None:
        await _look_first(requests, target, options, look)
    check_size(body.size, requests.driver.capabilities)
    await _discard(requests, target, options)
    return await put_counted(requests, target, body, options, meter)


async def _discard(requests: Requests, target: ObjectURI, options: UploadOptions) -> None:
    """
    Abort the upload that an earlier attempt left, which this one does not resume.
    """
    if options.resume:
        await resume.discard(requests, target)
    if options.resume == "journal":
        await journaled.discard(requests, target)


async def _upload_parts(
    requests: Requests, file: FileSource, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> ObjectInfo:
    meter.expect(file.size)
    budget = requests.limits.bytes
    async with _file_session(requests, file, target, options, meter) as session:
        if session.found is not None:
            meter.advance(file.size)
            return session.found

        async def send(span: Span) -> None:
            async with budget.reserve(min(CHUNK, span.size)):
                body = file.part(span.start, span.end, algorithm=session.algorithm, water=HighWater(meter))
                await session.send(span.number, body)
            requests.limits.requests.began_body()
            requests.limits.requests.moved(span.size)

        missing = (span for span in spans(0, file.size, options.part_size) if span.number not in session.sent)
        await for_each(missing, send, max_concurrency=requests.at_a_time(options.max_concurrency), ahead=AHEAD)
        await file.check()
        return await session.complete()


@asynccontextmanager
async def _file_session(
    requests: Requests, file: FileSource, target: ObjectURI, options: UploadOptions, meter: ObjectMeter
) -> AsyncIterator[MultipartSession]:
    if not options.resume:
        async with multipart_session(requests, target, options, meter.retried) as session:
            yield session
        return
    resumable = journaled.journaled_session if options.resume == "journal" else resume.resumable_session
    async with resumable(requests, file, target, options, meter.retried) as session:
        if session.sent:
            meter.advance(sum(sent.part.size for sent in session.sent.values()))
        yield session


async def put(
    requests: Requests, target: ObjectURI, data: DataLike, options: UploadOptions, meter: ObjectMeter | None = None
) -> WriteResult:
    """
    Write bytes, an open file or a stream.
    """
    with Writing(requests, "put", target) as writing:
        return writing.result(await _put(requests, target, data, options, meter))


async def _put(
    requests: Requests, target: ObjectURI, data: DataLike, options: UploadOptions, meter: ObjectMeter | None
) -> ObjectInfo:
    whole = in_memory(data)
    if whole is None:
        return await put_stream(requests, target, data, options, meter)
    part_size = multipart_part_size(len(whole), options, requests.driver.capabilities)
    if part_size is None:
        body = BytesBody(whole)
        if meter is None:
            return await lost_replies.put(requests, target, body, options)
        return await put_counted(requests, target, body, options, meter)
    await _look_first(requests, target, options)
    if meter is not None:
        meter.expect(len(whole))
    view = memoryview(whole)
    async with multipart_session(requests, target, options, retried_of(meter)) as session:

        async def send(span: Span) -> None:
            await session.send(span.number, BytesBody(view[span.start : span.end]))
            if meter is not None:
                meter.advance(span.size)

        parts, most = spans(0, len(view), part_size), requests.at_a_time(options.max_concurrency)
        await for_each(parts, send, max_concurrency=most, ahead=AHEAD)
        return await session.complete()

"""
Downloading one object to a local file, with several concurrent requests if it is large.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from asyncstore._support.threads import Together
from asyncstore.checksum import Hasher
from asyncstore.driver.body import Sink
from asyncstore.engine.download.directories import Directories
from asyncstore.engine.download.parallel import RANGE_BYTES, ParallelRead, RangeIgnoredError
from asyncstore.engine.download.part_file import PartFile
from asyncstore.engine.download.record import Record, boot, identifiable
from asyncstore.engine.download.special_file import SpecialTarget, write_special
from asyncstore.engine.plan import Span, sized
from asyncstore.engine.progress import ObjectMeter
from asyncstore.engine.requests import Requests
from asyncstore.engine.task_pool import AHEAD, for_each
from asyncstore.engine.upload.file_source import CHUNK
from asyncstore.errors import IntegrityError, InvalidRequestError
from asyncstore.options import DownloadOptions, KiB
from asyncstore.types import UNKNOWN, Checksum, ChecksumAlgorithm, ObjectInfo
from asyncstore.uri import ObjectURI

# Bytes reserved for a small object, and its largest size. Low enough for as many of them
# as there are requests. Any object of up to one chunk is received whole.
_SMALL_BYTES = 256 * KiB


@dataclass(slots=True)
class BulkState:
    """
    What the downloads of one bulk operation learn for the next ones.

    Attributes:
        directories: Where files were created.
        together: Writes small files.
        small: Whether the last object was small: the next one is likely to be, too.
    """

    directories: Directories = field(default_factory=Directories)
    together: Together = field(default_factory=Together)
    small: bool = False


async def download_file(
    requests: Requests,
    source: ObjectURI,
    target: Path,
    options: DownloadOptions,
    meter: ObjectMeter,
    bulk: BulkState | None = None,
) -> ObjectInfo:
    """
    Write one object, or the range that *options* name, to a local file.

    The first request is for the whole object; its reply has the size, version and checksum.
    A small object needs no other. Of a large one it reads the first part, while others
    read the rest, pinned to that version. If an earlier attempt is resumed, its metadata are asked for first. A pipe
    or device is written into, from the start to the end.

    Args:
        bulk: The state of the bulk operation, if this is part of one.

    Raises:
        SourceChangedError: The object was replaced during the download.
        InUseError: Another attempt that can be resumed has this target.
        IntegrityError: The bytes received do not match the stored checksum, also when they are read once more.
        InvalidRequestError: *target* was made by joining a key that leads out of a directory.
    """
    bulk = bulk or BulkState()
    if "/" in (source.key[:1], source.name[:1]) or ".." in source.key:
        _refuse_unsafe_join(source, target)
    with requests.error_context("download", source):
        try:
            async with PartFile(
                target,
                overwrite=options.overwrite,
                sync=options.sync,
                resume=options.resume,
                directories=bulk.directories,
                together=bulk.together,
            ) as file:
                return await _Download(requests, source, file, options, meter, bulk).run()
        except SpecialTarget:
            async with requests.limits.bytes.reserve(RANGE_BYTES):
                return await write_special(requests, source, target, options, meter)


def _refuse_unsafe_join(source: ObjectURI, target: Path) -> None:
    # Path("copy") / "../x" is not below copy, and Path("copy") / "/x" is /x. Anyone with write access to the bucket
    # chooses its keys.
    parts = source.key.split("/")
    absolute = target.is_absolute() and target in (Path(source.key), Path(source.name))
    if ".." in parts:
        tail = Path(*parts[len(parts) - 1 - parts[::-1].index("..") :]).parts
        if target.parts[-len(tail) :] != tail and not absolute:
            return
    elif not absolute:
        return
    raise InvalidRequestError(
        f"the key leads out of the directory that it is joined to, to {target}: "
        "make the target with asyncstore.safe_path(directory, key), or choose another one"
    )


class _Download(ParallelRead):
    def __init__(
        self,
        requests: Requests,
        source: ObjectURI,
        file: PartFile,
        options: DownloadOptions,
        meter: ObjectMeter,
        bulk: BulkState,
    ) -> None:
        super().__init__(requests, source, options, meter, "download")
        self._file = file
        self._bulk = bulk
        # Whether all bytes are read once more since they did not match their checksum.
        self._again = False

    async def run(self) -> ObjectInfo:
        """
        Download the object; one that is larger than expected may need a second request.
        """
        reserved = _SMALL_BYTES if self._bulk.small else RANGE_BYTES
        while True:
            try:
                if self._file.record is not None and (info := await self._resume(self._file.record)) is not None:
                    return info
                info = await self._download(reserved)
            except RangeIgnoredError:
                self._begin_again()
                if self._file.record is not None:
                    await self._file.restart()
                continue
            except IntegrityError as exc:
                # Bytes that were damaged on the way are right the second time; what is stored damaged is not.
                if self._again:
                    raise
                self._again = True
                self._meter.retried(exc)
                self._begin_again()
                if self._file.record is not None:
                    await self._file.restart()
                continue
            if info is not None:
                return info
            reserved = CHUNK

    async def _resume(self, record: Record) -> ObjectInfo | None:
        """
        Download what a file of an earlier attempt lacks; ``None``, and an empty file, if it has other bytes.
        """
        origin, able = record.origin, self._requests.driver.capabilities
        info = None
        if able.ranges and origin.answers(self._source, self._options):
            options = replace(self._options, range=None)
            info = await self._requests("stat", self._source, self._requests.driver.stat, self._source, options)
        if info is not None:
            self._expect(info, origin.start, origin.end)
        # After a power failure, counters can be on the disk without their bytes: then only a checksum shows it.
        trusted = self._by_parts or self._expected is not None or origin.boot == boot() != ""
        if info is None or not trusted or not origin.is_of(info):
            await self._file.restart()
            return None
        self._meter.expect(origin.size)
        self._count(record.total)

        async def fetch(span: Span) -> None:
            await self._range(info, span)

        missing = (
            replace(span, start=span.start + record.count(span.number))
            for span in origin.spans()
            if record.count(span.number) < span.size
        )
        most = self._requests.at_a_time(self._options.max_concurrency)
        await for_each(missing, fetch, max_concurrency=most, ahead=AHEAD)
        await self._verify(info, origin.size)
        await self._file.publish(origin.size)
        return info

    async def _download(self, reserved: int) -> ObjectInfo | None:
        async with AsyncExitStack() as opening:
            await opening.enter_async_context(self._requests.limits.bytes.reserve(reserved))
            stream = await opening.enter_async_context(self._open(self._options))
            info, size = stream.info, stream.end - stream.start
            if info.is_folder:
                raise InvalidRequestError(
                    "it is the marker of a folder: download the objects below it", uri=str(info.uri)
                )
            if stream.end == UNKNOWN:
                await self._file.allocate(1)
                await self._file.publish(await self._whole(stream))
                # It has learned its size.
                return stream.info
            self._bulk.small = size <= _SMALL_BYTES
            needed = CHUNK if size <= CHUNK else RANGE_BYTES
            if not self._bulk.small and not self._reserve_more(reserved, needed, opening):
                return None
            self._meter.expect(size)
            self._expect(info, stream.start, stream.end)
            if size <= CHUNK:
                await self._file.put(await stream.collect(), self._expected)
                self._meter.advance(size)
                return info
            able = self._requests.driver.capabilities
            most = self._requests.at_a_time(self._options.max_concurrency)
            self._options = sized(self._options, size, able, most)
            if self._options.resume and able.ranges and identifiable(info):
                await self._file.begin(info, stream.start, stream.end, self._options)
            else:
                await self._file.allocate(size)
            await self._fetch(stream, opening, self._options.part_size or size, most)
        await self._verify(info, size)
        await self._file.publish(size)
        return info

    def _reserve_more(self, reserved: int, needed: int, opening: AsyncExitStack) -> bool:
        """
        Reserve what a large object needs, if it is free: a request in flight must not wait for bytes.
        """
        budget = self._requests.limits.bytes
        more = min(needed, budget.total) - min(reserved, budget.total)
        if more <= 0:
            return True
        if not budget.take(more):
            return False
        opening.callback(budget.release, more)
        return True

    def _sink(self, span: Span, hasher: Hasher | None) -> AbstractContextManager[Sink]:
        return nullcontext(self._file.sink(span.start - self._start, hasher, span.number))

    async def _hash(self, algorithm: ChecksumAlgorithm, size: int) -> Checksum:
        return await self._file.checksum(algorithm, size)

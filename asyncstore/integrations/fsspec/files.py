"""
Files of fsspec over objects.
"""

from __future__ import annotations

import asyncio
import warnings
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import anyio
from fsspec.caching import BaseCache, register_cache

from asyncstore.engine.download.reader import ObjectReader
from asyncstore.engine.upload.writer import ObjectWriter
from asyncstore.integrations.file_errors import file_errors
from asyncstore.integrations.fsspec.untyped import AbstractAsyncStreamedFile, AbstractBufferedFile, sync
from asyncstore.keywords import StatFields
from asyncstore.options import KiB, MiB, ReadOptions, UploadOptions
from asyncstore.types import Part, is_weak

if TYPE_CHECKING:
    from asyncstore.integrations.fsspec.filesystem import AsyncstoreFileSystem

T = TypeVar("T")

# A read that goes on where the last one ended fetches at least this much at once, since each fetch switches threads.
_CHUNK: Final = 256 * KiB

# Parts of a file that are on their way while the next one is written.
_IN_FLIGHT: Final = 4
# The part size doubles after so many parts, so that a file of unknown length stays below 10,000 of them, the least that
# providers allow: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_PARTS_OF_ONE_SIZE: Final = 1_000

_READ_OPTIONS: Final = StatFields.__optional_keys__

_BEGUN: Final[set[asyncio.Task[Any]]] = set()


class SpanCache(BaseCache):
    """
    The cache of files that are opened without another one: the object's own reader has it, and reads ahead.

    This holds the last chunk, so that lines and small records cost no switch of threads.
    """

    name: ClassVar[str] = "asyncstore"

    def __init__(self, blocksize: int, fetcher: Callable[[int, int], bytes], size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._start = 0
        self._chunk = b""

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start, stop = start or 0, self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        end = self._start + len(self._chunk)
        if self._start <= start and stop <= end:
            self.hit_count += 1
            return self._chunk[start - self._start : stop - self._start]
        self.miss_count += 1
        goes_on = self._start <= start <= end
        if not goes_on or stop - start >= _CHUNK:
            self._start, self._chunk = stop, b""
            self.total_requested_bytes += stop - start
            data: bytes = self.fetcher(start, stop)
            return data
        head = self._chunk[start - self._start :]
        until = min(end + _CHUNK, self.size)
        self._start, self._chunk = start, head + self.fetcher(end, until)
        self.total_requested_bytes += until - end
        return self._chunk[: stop - start]


register_cache(SpanCache, clobber=True)


class StoredFile(AbstractBufferedFile):
    """
    An object opened as a binary file.

    ``"rb"`` reads one version of the object: an error says that it was replaced. Unless *cache_type* names another
    cache, reads that follow one another are fetched ahead, more each time, and others fetch what they ask for.

    ``"wb"`` and ``"xb"`` write the object, which appears when the file is closed, or at the end of the transaction.
    Parts of *block_size* bytes are sent while the next ones are written. An exception in a ``with`` block publishes
    nothing, and neither does a file that is never closed.

    Args:
        block_size: Bytes of a part, and of a block of the caches that have blocks; 8 MiB unless given.
        version_id: Read this version.
        options: Fields of :class:`~asyncstore.ReadOptions` or :class:`~asyncstore.UploadOptions`.
    """

    DEFAULT_BLOCK_SIZE: ClassVar[int] = 8 * MiB
    blocksize: int

    def __init__(
        self,
        fs: AsyncstoreFileSystem,
        path: str,
        mode: str = "rb",
        block_size: int | str | None = None,
        autocommit: bool = True,
        cache_type: str | None = None,
        cache_options: dict[str, Any] | None = None,
        size: int | None = None,
        **options: Any,
    ) -> None:
        self._reader: ObjectReader | None = None
        self._release: weakref.finalize[..., Any] | None = None
        self._parts: _Parts | None = None
        if mode not in ("rb", "wb", "xb"):
            raise NotImplementedError(f"mode takes 'rb', 'wb', 'xb' and their forms for text, not {mode!r}")
        self.fs, self.path = fs, path
        if mode == "rb":
            self._turn = anyio.Lock(fast_acquire=True)
            # Programs pass options of other file systems, too, such as dask's default_cache.
            options = {name: value for name, value in options.items() if name in _READ_OPTIONS}
            self._reader, options = self._run(self._opened, cache_type in (None, SpanCache.name), options)
            self.details = fs.entry(fs.place_of(path), self._reader.info)
            # Not by __del__: a file and its cache refer to each other, and the reader would be collected with them.
            self._release = weakref.finalize(self, _close_reader, self._reader, fs.loop)
            self._release.atexit = False
        elif mode == "xb":
            options = self._run(fs.exclusive, path, "create", options)
            if fs.exists(path):
                raise FileExistsError(f"{path} exists")
        super().__init__(
            fs,
            path,
            mode,
            "default" if block_size is None else block_size,
            autocommit,
            cache_type or SpanCache.name,
            cache_options,
            self._reader and self._reader.size,
            **options,
        )

    # Reading

    async def _opened(self, own_cache: bool, options: dict[str, Any]) -> tuple[ObjectReader, dict[str, Any]]:
        """
        Return a reader, and the options with which a copy of this file in another process reads the same version.
        """
        storage, uri = self.fs.located(self.path)
        # Other caches keep and read ahead by themselves.
        sizes: dict[str, Any] = {} if own_cache else {"read_ahead": 0, "cache_size": 0}
        with file_errors():
            reader = await storage.open(uri, "rb", options=ReadOptions(**options), **sizes)
        etag = reader.info.etag
        if etag is not None and not is_weak(etag) and storage.capabilities.conditional_read:
            options = {"if_match": etag, **options}
        return reader, options

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._run(self._read_at, start, end)

    async def _read_at(self, start: int, end: int) -> bytes:
        assert self._reader is not None
        # Some caches fetch from several threads.
        async with self._turn:
            with file_errors():
                await self._reader.seek(start)
                return await self._reader.read(end - start)

    # Writing

    def _initiate_upload(self) -> None:
        """
        Nothing is sent before the first part is complete, since a short file needs none.
        """

    def _upload_chunk(self, final: bool = False) -> bool:
        """
        Send what is in the buffer; ``False`` keeps it there.
        """
        try:
            if self._parts is None:
                if final:
                    # Short, or in one piece because the provider has no parts. In a transaction it is sent later.
                    if self.autocommit:
                        self._put()
                    return bool(self.autocommit)
                if not self._capable() or self.buffer.tell() < self.blocksize:
                    return False
                self._parts = _Parts(self)
            # Not getbuffer(): CPython 3.12 crashes when it collects a BytesIO together with views of it.
            self._send(memoryview(self.buffer.getvalue()))
            if final and self.autocommit:
                self._parts.complete()
        except BaseException:
            self.discard()
            raise
        return True

    def _send(self, data: memoryview) -> None:
        assert self._parts is not None
        start = 0
        while start < len(data):
            # The last one takes the rest, which could be smaller than a part may be.
            end = start + self.blocksize if start + 2 * self.blocksize <= len(data) else len(data)
            self._parts.send(data[start:end])
            start = end
            if len(self._parts.sent) % _PARTS_OF_ONE_SIZE == 0:
                self.blocksize *= 2

    def _capable(self) -> bool:
        async def capable() -> bool:
            storage, _ = self.fs.located(self.path)
            # Parts that are smaller than the endpoint allows are collected, too.
            self.blocksize = max(self.blocksize, storage.capabilities.min_part_size)
            return storage.capabilities.multipart

        return self._run(capable)

    def _put(self) -> None:
        self._run(self.fs._pipe_file, self.path, self.buffer.getvalue(), **self.kwargs)  # noqa: SLF001

    def commit(self) -> None:
        """
        Publish the object, at the end of a transaction.
        """
        if self._parts is not None:
            self._parts.complete()
        else:
            self._put()
        self.fs.invalidate_cache(self.path)

    def discard(self) -> None:
        """
        Publish nothing, and discard what was sent.
        """
        self.closed = True
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.abort()

    def __exit__(self, *error: object) -> None:
        if error[0] is not None and self.mode != "rb":
            self.discard()
        else:
            self.close()

    def close(self) -> None:
        """
        Publish the object that was written, or drop what was read; may be called twice.
        """
        super().close()
        if self._release is not None:
            self._release()

    def __del__(self) -> None:
        if self.closed or self.mode == "rb":
            return
        self.closed = True
        if self._parts is not None:
            self._parts.abandon()
        warnings.warn(f"{self!r} was not closed: nothing is published", ResourceWarning, stacklevel=2, source=self)

    def _run(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        done: T = sync(self.fs.loop, work, *args, **kwargs)
        return done


class _Parts:
    """
    A multipart upload whose parts are sent while the next ones are written.

    Attributes:
        sent: The parts, done or on their way.
    """

    def __init__(self, file: StoredFile) -> None:
        self._fs, self._path = file.fs, file.path
        self._options = UploadOptions(**file.kwargs)
        self._loop: Any = file.fs.loop
        self._tasks: set[asyncio.Task[Any]] = set()
        self.sent: list[Future[Part]] = []
        self._upload_id = self._run(self._initiate)

    def send(self, data: memoryview) -> None:
        """
        Send *data*, which does not change any more, as the next part; wait while there are enough on their way.
        """
        if len(self.sent) >= _IN_FLIGHT:
            # All before it are done, too: each was waited for in its turn.
            self.sent[-_IN_FLIGHT].result()
        self.sent.append(asyncio.run_coroutine_threadsafe(self._send(len(self.sent) + 1, data), self._loop))

    def complete(self) -> None:
        """
        Wait for all parts, and publish the object.
        """
        self._run(self._complete, [part.result() for part in self.sent])

    def abort(self) -> None:
        """
        Stop all parts, and discard them.
        """
        self._run(self._abort)

    def abandon(self) -> None:
        """
        Do so without waiting, in whatever thread this is.
        """
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_begin, self._abort)

    async def _initiate(self) -> str:
        storage, uri = self._fs.located(self._path)
        with file_errors():
            return await storage.initiate_multipart_upload(uri, options=self._options)

    async def _send(self, number: int, data: memoryview) -> Part:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            storage, uri = self._fs.located(self._path)
            with file_errors():
                return await storage.upload_part(uri, self._upload_id, number, data, options=self._options)
        finally:
            self._tasks.discard(task)

    async def _complete(self, parts: list[Part]) -> None:
        storage, uri = self._fs.located(self._path)
        with file_errors():
            await storage.complete_multipart_upload(uri, self._upload_id, parts, options=self._options)

    async def _abort(self) -> None:
        # A part that is still in flight after the abort can outlive it.
        if tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        storage, uri = self._fs.located(self._path)
        with file_errors():
            await storage.abort_multipart_upload(uri, self._upload_id)

    def _run(self, work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        done: T = sync(self._loop, work, *args)
        return done


class StreamedFile(AbstractAsyncStreamedFile):
    """
    A binary file whose methods are coroutines, except ``seek`` and ``tell``.

    An exception in the ``async with`` block publishes nothing of what was written.
    """

    def __init__(self, fs: AsyncstoreFileSystem, path: str, mode: str, opened: ObjectReader | ObjectWriter) -> None:
        # Without that of the base, which makes a cache and a buffer.
        self.fs, self.path, self.mode = fs, path, mode
        self.kwargs: dict[str, Any] = {}
        self.loc = 0
        self.size = opened.size if isinstance(opened, ObjectReader) else None
        self.closed = False
        self._opened = opened

    async def read(self, length: int = -1) -> bytes:
        """
        Return *length* bytes, fewer only at the end; the rest if it is negative.
        """
        await self._opened.seek(self.loc)
        data = await self._opened.read(length)
        self.loc += len(data)
        return data

    async def write(self, data: Any) -> int:
        """
        Write all of *data* and return its number of bytes.
        """
        with file_errors():
            written = await self._opened.write(data)
        self.loc += written
        return written

    async def flush(self, force: bool = False) -> None:
        """
        Do nothing: what was written appears when the file is closed.
        """

    async def close(self) -> None:
        """
        Publish the object that was written, or drop what was read; may be called twice.
        """
        if not self.closed:
            self.closed = True
            with file_errors():
                await self._opened.close()
            self.fs.invalidate_cache(self.path)

    async def __aexit__(self, *error: object) -> None:
        if error[0] is not None and isinstance(self._opened, ObjectWriter):
            self.closed = True
            await self._opened.abort()
        else:
            await self.close()

    def __del__(self) -> None:
        # What was opened warns itself.
        self.closed = True


def _close_reader(reader: ObjectReader, loop: asyncio.AbstractEventLoop | None) -> None:
    if loop is not None and not loop.is_closed():
        # Not waited for: it only cancels what is being fetched ahead, and this may be the thread of the loop.
        loop.call_soon_threadsafe(_begin, reader.close)


def _begin(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    task = asyncio.get_running_loop().create_task(work())
    # Until it is done: the loop itself keeps only a weak reference.
    _BEGUN.add(task)
    task.add_done_callback(_BEGUN.discard)

"""
An object as an asynchronous file that is written from the start to the end.
"""

from __future__ import annotations

import asyncio
import io
import warnings
from collections.abc import AsyncGenerator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from asyncstore._support.cleanup import CLEANUP_TIMEOUT, ended
from asyncstore.driver.body import BytesLike
from asyncstore.engine.budget import Feed
from asyncstore.engine.existing import exists
from asyncstore.engine.requests import Requests
from asyncstore.engine.upload.stream_source import flat, put_stream
from asyncstore.engine.writing import Writing
from asyncstore.errors import AlreadyExistsError, StorageError
from asyncstore.options import KiB, UploadOptions
from asyncstore.types import WriteResult
from asyncstore.uri import ObjectURI

if TYPE_CHECKING:
    # collections.abc has it since Python 3.12.
    from typing_extensions import Buffer

# Smaller writes are collected, so that each line of a text does not switch tasks.
_COLLECTED: Final = 256 * KiB


class ObjectWriter:
    """
    An object opened for writing in binary mode; it appears when the file is closed, completely or not at all.

    A task of its own writes the object, as ``put()`` writes a stream: with one request if it is short, else as a
    multipart upload. :meth:`write` waits while enough parts are in flight. An exception in the ``async with`` block,
    a cancellation too, aborts the upload and publishes nothing.

    Attributes:
        info: The object that was written; ``None`` until the file is closed.
        closed: Whether it was closed or aborted.
        interrupted: Whether a write was interrupted, so that nothing is published.
    """

    def __init__(self, requests: Requests, uri: ObjectURI, options: UploadOptions, mode: str) -> None:
        self.info: WriteResult | None = None
        self.closed = False
        self.mode = mode
        self._uri = uri
        self._collected = bytearray()
        self._position = 0
        self.interrupted = False
        # The next bytes for the upload, b"" at the end; and a future that is done once the upload has copied them.
        self._offered: asyncio.Queue[BytesLike] = asyncio.Queue()
        self._taken: asyncio.Future[None] | None = None
        self._task = asyncio.get_running_loop().create_task(self._put(requests, options))
        self._task.add_done_callback(self._ended)
        # After the task was made: it waits for the byte budget like any upload. What the caller does until the file is
        # closed does not, since the upload holds bytes meanwhile and waits for the caller.
        self._feed = Feed()
        self._pulled = self._feed.pulled()
        self._pulled.__enter__()

    @property
    def name(self) -> str:
        """The URI of the object."""
        return str(self._uri)

    def readable(self) -> bool:
        """Return ``False``."""
        return False

    def seekable(self) -> bool:
        """Return ``False``."""
        return False

    def writable(self) -> bool:
        """Return ``True``."""
        return True

    async def write(self, data: Buffer, /) -> int:
        """
        Write all of *data* and return its number of bytes.

        It may be changed as soon as this returns. A write that is cancelled while it waits may have written a part
        of *data*, so nothing is published afterwards.

        Raises:
            StorageError: The upload has failed, or an earlier write was interrupted.
            ValueError: The file is closed.
        """
        self._check()
        with memoryview(data) as view:
            size = view.nbytes
            if len(self._collected) + size < _COLLECTED:
                self._collected += flat(view)
            else:
                await self._hand_over()
                # Released, since the upload still refers to the last chunk while it waits for the next one: the caller
                # could not resize the buffer.
                with flat(view) as piece:
                    await self._offer(piece)
        self._position += size
        return size

    async def tell(self) -> int:
        """
        Return how many bytes were written.
        """
        return self._position

    async def read(self, size: int = -1, /) -> bytes:
        """
        Refuse to read.
        """
        raise io.UnsupportedOperation(f"{self._uri} is open for writing: open it with mode 'rb' to read")

    async def seek(self, offset: int, whence: int = 0, /) -> int:
        """
        Refuse to seek: objects are written from the start to the end.
        """
        raise io.UnsupportedOperation(f"{self._uri} is open for writing, and objects are written from start to end")

    async def close(self) -> WriteResult:
        """
        Publish the object and return it; may be called twice.

        A cancellation aborts the upload, unless it was completed already.

        Raises:
            AlreadyExistsError, PreconditionFailedError: A condition did not hold.
            StorageError: The upload failed, or a write was interrupted. Nothing is published.
        """
        if self.closed and self.info is not None:
            return self.info
        try:
            self._check()
            await self._hand_over()
            self._offered.put_nowait(b"")
            await asyncio.wait([self._task])
        except BaseException:
            await self.abort()
            raise
        self._leave()
        self.info = self._task.result()
        return self.info

    async def abort(self) -> None:
        """
        Close the file and publish nothing: what was sent is discarded. Does nothing after :meth:`close`.
        """
        self._leave()
        if not self._task.done():
            self._task.cancel()
            # The upload has its own time limit for cleaning up.
            interrupted = await ended(self._task, 2 * CLEANUP_TIMEOUT)
            if interrupted is not None:
                raise interrupted

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            await self.abort()
        elif not self.closed:
            await self.close()

    def __repr__(self) -> str:
        return f"<ObjectWriter {self._uri} {'closed' if self.closed else f'after {self._position} bytes'}>"

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(f"{self!r} was not closed: nothing is published", ResourceWarning, stacklevel=2, source=self)

    def _check(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self.interrupted:
            raise StorageError(
                "a write() was interrupted, so that a part of its bytes may be missing: nothing is published",
                op="write",
                uri=str(self._uri),
            )
        if self._task.done():
            self._task.result()

    async def _hand_over(self) -> None:
        if self._collected:
            collected, self._collected = self._collected, bytearray()
            await self._offer(collected)

    async def _offer(self, data: BytesLike) -> None:
        """
        Wait until the upload has copied *data*, or has failed.
        """
        self._taken = asyncio.get_running_loop().create_future()
        self._offered.put_nowait(data)
        try:
            await self._taken
        except BaseException:
            self.interrupted = True
            raise
        if self._task.done():
            self._task.result()

    async def _put(self, requests: Requests, options: UploadOptions) -> WriteResult:
        with Writing(requests, "put", self._uri) as writing:
            # No patience: a task that writes several files in turn would wait for bytes reserved for the other files.
            return writing.result(await put_stream(requests, self._uri, self._chunks(), options, patience=0))

    async def _chunks(self) -> AsyncGenerator[BytesLike, None]:
        while chunk := await self._offered.get():
            yield chunk
            # A request for the next chunk means that this one has been copied.
            self._wake()

    def _ended(self, task: asyncio.Task[WriteResult]) -> None:
        # Retrieved here, or the loop reports it as never retrieved if the file is not closed.
        if not task.cancelled():
            task.exception()
        self._wake()

    def _wake(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)

    def _leave(self) -> None:
        if not self.closed:
            self.closed = True
            self._collected = bytearray()
            self._feed.close()
            # ValueError: closed by another task than the one that opened it.
            with suppress(ValueError):
                self._pulled.__exit__(None, None, None)


async def open_writer(requests: Requests, uri: ObjectURI, options: UploadOptions, mode: str) -> ObjectWriter:
    """
    Open an object for writing.

    Raises:
        AlreadyExistsError: It exists, and the write is create-only. The write itself has the condition, which decides.
    """
    if options.if_none_match is not None:
        found = False
        with suppress(StorageError):
            found = await exists(requests, uri, options.encryption)
        if found:
            raise AlreadyExistsError(op="open", uri=str(uri), provider=requests.driver.provider)
    return ObjectWriter(requests, uri, options, mode)

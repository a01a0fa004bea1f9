"""
What blocking calls return in place of asynchronous iterators, streams and files.
"""

from __future__ import annotations

import asyncio
import io
import queue
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, AnyStr, Final, Generic, Protocol, Self, TypeVar

from asyncstore._support.awaitable_context import Opening
from asyncstore.engine.budget import Feed
from asyncstore.options import MiB
from asyncstore.protocols import ReadStream
from asyncstore.sync.background import SIGNALS, Background, Call
from asyncstore.types import Metadata

if TYPE_CHECKING:
    # collections.abc has it since Python 3.12.
    from typing_extensions import Buffer

_T = TypeVar("_T")

# Items that are fetched before they are taken: about a page of a listing.
_AHEAD: Final = 1000
_CHUNK: Final = 1 * MiB


class Items(Iterator[_T], Generic[_T]):
    """
    A blocking iterator over what an operation yields, such as a listing.

    Up to 1,000 items are fetched ahead. It ends by itself; to end it before, close it or use it as a
    context manager.
    """

    def __init__(self, background: Background, start: Callable[[], AsyncIterator[_T]]) -> None:
        self._background = background
        self._start = start
        self._items: queue.SimpleQueue[tuple[_T] | None] = queue.SimpleQueue()
        self._call: Call[None] | None = None
        self._room: asyncio.Semaphore
        self._taken = 0
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        self._background.check()
        if self._closed:
            raise StopIteration
        try:
            if self._call is None:
                self._call = Call(self._fetch)
                self._background.start(self._call)
            item = self._next()
        except BaseException:
            self.close()
            raise
        if item is None:
            self._closed = True
            self._call.wait()
            self._call.done.result()
            raise StopIteration
        self._taken += 1
        if self._taken == _AHEAD // 2:
            self._taken = 0
            self._background.soon(self._make_room)
        return item[0]

    def _next(self) -> tuple[_T] | None:
        while True:
            with suppress(queue.Empty):
                return self._items.get(timeout=SIGNALS)

    def close(self) -> None:
        """
        End the operation and wait for its clean-up; may be called twice.
        """
        self._closed = True
        if self._call is not None and not self._call.done.done():
            self._background.check()
            self._background.end(self._call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Without waiting: the garbage collector can run in any thread.
        if self._call is not None and not self._call.done.done():
            self._background.soon(self._call.cancel)

    async def _fetch(self) -> None:
        # One task for the whole iteration: cancel scopes within it must not see another one.
        self._room = asyncio.Semaphore(_AHEAD)
        items = self._start()
        try:
            async for item in items:
                await self._room.acquire()
                self._items.put((item,))
        finally:
            if (close := getattr(items, "aclose", None)) is not None:
                await close()
            self._items.put(None)

    def _make_room(self) -> None:
        for _ in range(_AHEAD // 2):
            self._room.release()


class Stream:
    """
    An object being read: the blocking form of :class:`~asyncstore.ReadStream`.

    Also a file, for whatever takes one that is only read forward.
    """

    def __init__(self, background: Background, stream: ReadStream) -> None:
        self._background = background
        self.asynchronous: Final = stream

    @property
    def info(self) -> Metadata:
        """The whole object's metadata, known before the first byte."""
        return self.asynchronous.info

    @property
    def start(self) -> int:
        """Offset of the first byte of this stream in the object."""
        return self.asynchronous.start

    @property
    def end(self) -> int:
        """Offset after the last byte of this stream in the object."""
        return self.asynchronous.end

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes, or the rest if negative; ``b""`` at the end."""
        return self._background.run(lambda: self.asynchronous.read(size))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive, in non-empty chunks of up to 1 MiB."""
        while chunk := self.read(_CHUNK):
            yield chunk


class StreamContext:
    """
    Opens a stream at the start of a ``with`` block, and releases its connection at the end.
    """

    def __init__(self, background: Background, start: Callable[[], AbstractAsyncContextManager[ReadStream]]) -> None:
        self._background = background
        self._start = start
        self._context: AbstractAsyncContextManager[ReadStream]

    def __enter__(self) -> Stream:
        async def enter() -> ReadStream:
            self._context = self._start()
            return await self._context.__aenter__()

        return Stream(self._background, self._background.run(enter))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._background.run(lambda: self._context.__aexit__(kind, error, trace))


class _AsyncFile(Protocol[AnyStr]):
    """What asynchronous files have; some have not all of it."""

    async def read(self, size: int | None = -1, /) -> AnyStr: ...

    async def readinto(self, buffer: Buffer, /) -> int: ...

    async def readline(self, size: int = -1, /) -> AnyStr: ...

    async def write(self, data: AnyStr, /) -> int: ...

    async def seek(self, offset: int, whence: int = 0, /) -> int: ...

    async def tell(self) -> int: ...


class File(Generic[AnyStr]):
    """
    An object as a blocking file, with the methods of Python's own.

    Reading: the file is always of one version of the object. Writing: the object appears, whole, when the file is
    closed; leaving the ``with`` block by an exception, or :meth:`abort`, leaves nothing.

    Attributes:
        asynchronous: The file that does the work.
    """

    def __init__(self, background: Background, opening: Opening[Any]) -> None:
        context = copy_context()

        async def opened() -> Any:
            nonlocal context
            file = await opening
            context = copy_context()
            return file

        self._background = background
        self.asynchronous: Final[Any] = background.run(opened)
        self._file: Final[_AsyncFile[AnyStr]] = self.asynchronous
        # While the file is written, what this thread does is part of its stream, as in the task of an asynchronous one.
        self._pulled = ExitStack()
        if self.writable() and (feed := Feed.of(context)) is not None:
            self._pulled.enter_context(feed.pulled())

    @property
    def name(self) -> str:
        """The URI of the object."""
        return str(self.asynchronous.name)

    @property
    def info(self) -> Any:
        """Of a file that is read, the metadata; of one that was written and closed, the result."""
        return self.asynchronous.info

    @property
    def closed(self) -> bool:
        """Whether the file was closed or aborted."""
        return bool(self.asynchronous.closed)

    def readable(self) -> bool:
        """Whether it can be read."""
        return bool(self.asynchronous.readable())

    def writable(self) -> bool:
        """Whether it can be written."""
        return bool(self.asynchronous.writable())

    def seekable(self) -> bool:
        """Whether :meth:`seek` works."""
        return bool(self.asynchronous.seekable())

    def isatty(self) -> bool:
        """Return ``False``."""
        return False

    def flush(self) -> None:
        """Do nothing: an object appears when the file is closed."""

    def read(self, size: int | None = -1, /) -> AnyStr:
        """Return up to *size* bytes or characters, or the rest."""
        return self._call(lambda: self._file.read(size))

    def readinto(self, buffer: Buffer, /) -> int:
        """Read into *buffer*, and return how many bytes."""
        return self._call(lambda: self._file.readinto(buffer))

    def readline(self, size: int | None = -1, /) -> AnyStr:
        """Return the next line, with its end; empty at the end of the file."""
        if size is None or size < 0:
            return self._call(self._file.readline)
        return self._call(lambda: self._file.readline(size))

    def readlines(self) -> list[AnyStr]:
        """Return the lines that are left."""
        return list(self)

    def write(self, data: AnyStr, /) -> int:
        """Write *data*; waits while the upload is behind."""
        return self._call(lambda: self._file.write(data))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position, and return it."""
        return self._call(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return self._call(self._file.tell)

    def close(self) -> None:
        """
        Close the file; one that was written is published now. May be called twice.
        """
        self._leave(self.asynchronous.close)

    def abort(self) -> None:
        """
        Close a file that is written without publishing it; may be called twice.
        """
        self._leave(self.asynchronous.abort)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AnyStr:
        if not (line := self.readline()):
            raise StopIteration
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(lambda: self.asynchronous.__aexit__(kind, error, trace))

    def __repr__(self) -> str:
        return f"<blocking {self.asynchronous!r}>"

    def _call(self, start: Callable[[], Awaitable[_T]]) -> _T:
        return self._background.run(start)

    def _leave(self, close: Callable[[], Awaitable[Any]]) -> None:
        try:
            self._call(close)
        finally:
            # ValueError: closed in another context than the one that opened it.
            with suppress(ValueError):
                self._pulled.close()

"""
An object as an asynchronous file: seekable, with read-ahead and a bounded cache.
"""

from __future__ import annotations

import asyncio
import io
import os
import warnings
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import anyio

from asyncstore._support.cleanup import CLEANUP_TIMEOUT, ended
from asyncstore.engine.download.read import read_part
from asyncstore.engine.download.span_cache import Piece, SpanCache
from asyncstore.engine.download.verify import pinned
from asyncstore.engine.plan import spans
from asyncstore.engine.requests import Requests
from asyncstore.engine.task_pool import for_each
from asyncstore.errors import (
    NotSupportedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    SourceChangedError,
)
from asyncstore.options import ByteRange, KiB, MiB, ReadOptions
from asyncstore.types import UNKNOWN, Metadata
from asyncstore.uri import ObjectURI

if TYPE_CHECKING:
    # collections.abc has it since Python 3.12.
    from typing_extensions import Buffer

# The first window of read-ahead; it doubles until it is as large as the caller allows.
_FIRST_WINDOW: Final = 256 * KiB

# Bytes fetched at a time for a line whose end is not known.
_LINE: Final = 64 * KiB

# A read of more bytes than this is divided into concurrent requests.
_PIECE: Final = 8 * MiB
_CONCURRENT: Final = 8


@dataclass(frozen=True, slots=True)
class _Ahead:
    """
    A span that is being fetched before anybody has asked for it.
    """

    start: int
    end: int
    task: asyncio.Task[bytes | None]


class ObjectReader:
    """
    An object opened for reading in binary mode.

    Has the methods of a binary file, as coroutines. All reads are of the version that was current when it was opened.
    Reading on from the last place fetches the next bytes in the background, twice as many each time; a read at
    any other place fetches what was asked for, and no more. What was fetched is kept in a cache, as long as
    the storage's ``max_buffer_bytes`` has room for it; it never makes another operation wait.

    A cancelled read leaves the position where it was. Tasks may share a file; they read one after the other.

    Attributes:
        info: The object's metadata.
        size: Bytes of the object.
        closed: Whether it was closed.
    """

    mode: Final = "rb"

    def __init__(
        self, requests: Requests, uri: ObjectURI, info: Metadata, options: ReadOptions, read_ahead: int, cache_size: int
    ) -> None:
        self.info = info
        self.size = info.size
        self.closed = False
        self._requests = requests
        self._uri = uri
        self._options = options
        self._cache = SpanCache(cache_size, requests.limits.bytes)
        self._widest = min(read_ahead, cache_size // 2)
        self._window = 0
        self._position = 0
        # The last span that was asked for: a read that starts in it or right after it goes on from there.
        self._last: tuple[int, int] | None = None
        self._ahead: _Ahead | None = None
        self._line: Piece | None = None
        self._turn = anyio.Lock(fast_acquire=True)

    @property
    def name(self) -> str:
        """The URI of the object."""
        return str(self._uri)

    def readable(self) -> bool:
        """Return ``True``."""
        return True

    def seekable(self) -> bool:
        """Return ``True``."""
        return True

    def writable(self) -> bool:
        """Return ``False``."""
        return False

    async def read(self, size: int | None = -1, /) -> bytes:
        """
        Return *size* bytes; fewer only at the end of the object. The rest if it is negative or ``None``.

        Raises:
            SourceChangedError: The object was replaced since it was opened.
            NotFoundError: It was deleted since.
            ValueError: The file is closed.
        """
        async with self._turn:
            start, end = self._bounds(size)
            data = _joined(await self._load(start, end), start, end)
            self._position = end
            return data

    async def readinto(self, buffer: Buffer, /) -> int:
        """
        Read bytes into *buffer*, and return how many: fewer than it has room for only at the end of the object.

        ``storage.read_into()`` reads large objects with less copying.

        Raises:
            SourceChangedError, NotFoundError, ValueError: As :meth:`read`.
        """
        async with self._turn:
            with memoryview(buffer) as view, view.cast("B") as room:
                start, end = self._bounds(len(room))
                for first, data in await self._load(start, end):
                    skip = max(0, start - first)
                    piece = memoryview(data)[skip : end - first]
                    room[first + skip - start : first + skip - start + len(piece)] = piece
                self._position = end
                return end - start

    async def readline(self, size: int | None = -1, /) -> bytes:
        """
        Return the next line with its newline, at most *size* bytes if that is not negative; ``b""`` at the end.

        Raises:
            SourceChangedError, NotFoundError, ValueError: As :meth:`read`.
        """
        async with self._turn:
            start, end = self._bounds(size)
            at, line = start, []
            while at < end:
                first, data = await self._piece_at(at)
                stop = data.find(b"\n", at - first, end - first) + 1 or min(len(data), end - first)
                line.append(data[at - first : stop])
                at = first + stop
                if line[-1].endswith(b"\n"):
                    break
            self._position = at
            return line[0] if len(line) == 1 else b"".join(line)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """
        Go to *offset* from the start, the position or the end, and return the new position. Sends nothing.

        Reading after the end returns ``b""``.

        Raises:
            ValueError: The new position is negative, *whence* is unknown, or the file is closed.
        """
        self._check_open()
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}
        if whence not in bases:
            raise ValueError(f"whence takes 0 (start), 1 (position) or 2 (end), not {whence!r}")
        position = bases[whence] + offset
        if position < 0:
            raise ValueError(f"cannot seek to {position}, before the start of the object")
        self._position = position
        return position

    async def tell(self) -> int:
        """
        Return the position.
        """
        self._check_open()
        return self._position

    async def write(self, data: object, /) -> int:
        """
        Refuse to write.
        """
        raise io.UnsupportedOperation(f"{self._uri} is open for reading: open it with mode 'wb' to write")

    async def close(self) -> None:
        """
        Cancel what is being fetched, and drop the cache; may be called twice.
        """
        if self.closed:
            return
        self.closed = True
        interrupted = None
        if (ahead := self._ahead) is not None:
            ahead.task.cancel()
            interrupted = await ended(ahead.task, CLEANUP_TIMEOUT)
            if self._ahead is not None:
                # Cancelled before it began.
                self._requests.limits.bytes.release(ahead.end - ahead.start)
        self._line = None
        self._cache.close()
        if interrupted is not None:
            raise interrupted

    aclose = close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<ObjectReader {self._uri} {'closed' if self.closed else f'at {self._position} of {self.size}'}>"

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            self._cache.close()
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _bounds(self, size: int | None) -> tuple[int, int]:
        self._check_open()
        start = self._position
        if size is None or size < 0:
            return start, max(start, self.size)
        return start, max(start, min(start + size, self.size))

    async def _piece_at(self, position: int) -> Piece:
        """
        Return a piece with the byte at *position*, for a reader of lines.
        """
        if self._line is not None and self._line[0] <= position < self._line[0] + len(self._line[1]):
            return self._line
        pieces = await self._load(position, min(position + _LINE, self.size), goes_on=True)
        # Kept also without a cache: it has many lines.
        self._line = pieces[0]
        return self._line

    async def _load(self, start: int, end: int, *, goes_on: bool = False) -> list[Piece]:
        """
        Return pieces that have all bytes from *start* up to *end*, in order, from the cache or fetched.

        Args:
            goes_on: Whether it is known that the caller reads from the start to the end.
        """
        if start >= end:
            return []
        goes_on = goes_on or (self._last is not None and self._last[0] < start <= self._last[1])
        self._last = start, end
        if goes_on:
            self._fetch_ahead(end, end - start)
        else:
            self._window = 0
        have = self._cache.pieces(start, end)
        if (ahead := self._ahead) is not None and ahead.start < end and start < ahead.end:
            await asyncio.wait([ahead.task])
            self._check_open()
            if (data := ahead.task.result()) is not None:
                have = sorted([*have, (ahead.start, data)])
        fetched: list[Piece] = []

        async def fetch(gap: tuple[int, int]) -> None:
            data = await self._fetch(*gap)
            self._cache.add(gap[0], data)
            fetched.append((gap[0], data))

        missing = [(span.start, span.end) for gap in _gaps(have, start, end) for span in spans(*gap, _PIECE)]
        if len(missing) == 1:
            await fetch(missing[0])
        elif missing:
            await for_each(missing, fetch, max_concurrency=_CONCURRENT)
        return sorted([*have, *fetched]) if fetched else have

    async def _fetch(self, start: int, end: int) -> bytes:
        options = pinned(self._options, self.info, ByteRange(start, end), self._requests.driver.capabilities)
        try:
            return await read_part(self._requests, self._uri, options, self.info)
        except (PreconditionFailedError, RangeNotSatisfiableError) as exc:
            raise SourceChangedError(
                "the object was replaced since it was opened", op="read", uri=str(self._uri), provider=exc.provider
            ) from exc

    def _fetch_ahead(self, start: int, asked: int) -> None:
        """
        Fetch the next window in the background, if half of the present one is used up and there is room for more.

        It has at least as many bytes as were *asked* for.
        """
        if self._ahead is not None or not self._widest:
            return
        first, end = self._cache.gap_after(start, min(start + self._widest, self.size))
        if first >= end or first - start > self._window // 2:
            return
        window = min(max(2 * self._window, _FIRST_WINDOW, asked), self._widest)
        end = min(end, first + window)
        if self._requests.limits.bytes.take(end - first):
            self._window = window
            task = asyncio.get_running_loop().create_task(self._keep(first, end))
            # In a loop with eager tasks it may have ended already.
            if not task.done():
                self._ahead = _Ahead(first, end, task)

    async def _keep(self, start: int, end: int) -> bytes | None:
        kept = False
        try:
            data = await self._fetch(start, end)
            self._cache.adopt(start, data)
            kept = True
        except Exception:  # noqa: BLE001 - not needed yet; a read that needs it sends the request again
            return None
        finally:
            self._ahead = None
            if not kept:
                self._requests.limits.bytes.release(end - start)
        return data


async def open_reader(
    requests: Requests, uri: ObjectURI, options: ReadOptions, read_ahead: int, cache_size: int
) -> ObjectReader:
    """
    Open an object for reading, by one request for its size and version.

    Raises:
        NotSupportedError: The service does not tell its size.
    """
    info = await requests("open", uri, requests.driver.stat, uri, options)
    if info.size == UNKNOWN:
        raise NotSupportedError(
            "the service does not tell the size of this object: read it as a stream, with get()",
            op="open",
            uri=str(uri),
            provider=requests.driver.provider,
        )
    return ObjectReader(requests, uri, info, options, read_ahead, cache_size)


def _gaps(have: list[Piece], start: int, end: int) -> list[tuple[int, int]]:
    gaps, at = [], start
    for first, data in have:
        if first > at:
            gaps.append((at, first))
        at = max(at, first + len(data))
    return [*gaps, (at, end)] if at < end else gaps


def _joined(pieces: list[Piece], start: int, end: int) -> bytes:
    if len(pieces) == 1:
        first, data = pieces[0]
        return data[start - first : end - first]
    return b"".join(memoryview(data)[max(0, start - first) : end - first] for first, data in pieces)

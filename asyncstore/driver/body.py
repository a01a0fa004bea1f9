"""
The bytes of requests and replies, between drivers and the engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from asyncstore._support.threads import in_thread
from asyncstore.checksum import COMBINABLE, Hasher, compute
from asyncstore.errors import InvalidRequestError
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata

#: Anything whose bytes can be sent without a copy.
BytesLike = bytes | bytearray | memoryview

#: Takes consecutive bytes, in a thread; the memory is reused once it returns.
Sink = Callable[[BytesLike], None]


@dataclass(frozen=True, slots=True)
class FileRange:
    """
    Bytes of an open file that the system has in memory, and can send without a copy of them in the process.

    Attributes:
        fd: The file; it stays open until the request has ended.
        start: Offset of the first byte.
        size: Bytes.
        read: Reads them, for a transport that cannot send them from the file, or failed to.
    """

    fd: int
    start: int
    size: int
    read: Callable[[], Awaitable[BytesLike]]


class MemorySink:
    """
    A sink that fills *memory*, and updates *hasher* with what it takes.

    A transport that can receive into memory calls :meth:`room`, fills what it returns and calls
    :meth:`received`. All others call the sink with bytes, which are copied.
    """

    def __init__(self, memory: memoryview, hasher: Hasher | None = None) -> None:
        self._memory = memory
        self._hasher = hasher
        self._at = 0

    def room(self, size: int) -> memoryview:
        """
        Return where the next *size* bytes belong; release it before the next call.
        """
        self._check(size)
        return self._memory[self._at : self._at + size]

    def received(self, count: int) -> None:
        """
        Take the first *count* bytes of the room.
        """
        if self._hasher is not None:
            with self.room(count) as data:
                self._hasher.update(data)
        self._at += count

    def __call__(self, data: BytesLike) -> None:
        size = len(data)
        with self.room(size) as room:
            room[:] = data
        self.received(size)

    def _check(self, size: int) -> None:
        if size > len(self._memory) - self._at:
            raise InvalidRequestError(f"the buffer has {len(self._memory)} bytes, and the object is larger")


# Bytes for which a thread switch pays off; see ReadBody.into().
_GROUP = 256 * 1024

# Bytes whose checksum is computed on the event loop: CRCs are about as fast as a thread switch.
_MAX_INLINE_DIGEST = 1024 * 1024
_MAX_INLINE_CRC = 16 * 1024 * 1024


class Body(ABC):
    """
    The body of a request: a known number of bytes, in memory or in chunks.

    The engine makes one for each object or part. A driver reads it in one way
    only: :attr:`data` if it is not ``None``, else :meth:`chunks`.

    Attributes:
        size: Bytes, always known.
        replayable: Whether the same bytes can be produced again, for a retry.
        data: All bytes, if they are in memory.
    """

    size: int
    replayable: bool = True
    data: BytesLike | None = None

    @abstractmethod
    def chunks(self) -> AsyncIterator[BytesLike]:
        """
        Produce the bytes from the start, in chunks of up to about 1 MiB.

        Each call starts at the beginning. The memory of a chunk may be reused once the
        next one is requested.

        Raises:
            SourceChangedError: The source has changed since it was opened.
        """

    def pieces(self) -> AsyncIterator[BytesLike | FileRange]:
        """
        Produce the bytes like :meth:`chunks`, for a transport that can send ranges of an open file.

        These have the bytes that the file has when they are sent: produce them only once the checksum is known.
        """
        return self.chunks()

    async def prepare(self, algorithm: ChecksumAlgorithm) -> None:  # noqa: B027 - most bodies already know it
        """
        Compute the checksum of *algorithm*, so that :meth:`checksum` returns it.

        For a provider that needs it before the first byte. May read the source an
        additional time, or into memory.
        """

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        """
        Return the checksum of all bytes, if it is already known.

        For bytes in memory it is computed on the first call, except for a digest of more than 1 MiB,
        which :meth:`prepare` computes in a thread; for a file it is known after
        :meth:`chunks` has ended, if it computes that algorithm.
        """
        return None


class BytesBody(Body):
    """
    Bytes in memory.

    Args:
        checksum: Of the bytes, if it is known already.
    """

    def __init__(self, data: BytesLike, checksum: Checksum | None = None) -> None:
        self._checksum = checksum
        self.data = self._bytes = data
        self.size = data.nbytes if isinstance(data, memoryview) else len(data)

    async def chunks(self) -> AsyncIterator[BytesLike]:
        if self.size:
            yield self._bytes

    async def prepare(self, algorithm: ChecksumAlgorithm) -> None:
        # Nothing else would run meanwhile: a MiB takes some 2 ms for a digest, and 0.1 ms for a CRC.
        if self.size > (_MAX_INLINE_CRC if algorithm in COMBINABLE else _MAX_INLINE_DIGEST):
            known = self._checksum
            if known is None or known.algorithm is not algorithm:
                self._checksum = await in_thread(compute, algorithm, self._bytes)

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        known = self._checksum
        if known is None or known.algorithm is not algorithm:
            if self.size > _MAX_INLINE_DIGEST and algorithm not in COMBINABLE:
                return None
            # Cached: the driver sends it and compares it with the reply, and the engine combines it.
            known = self._checksum = compute(algorithm, self._bytes)
        return known


class ReadBody(ABC):
    """
    The reply to a read, whose body is still to be received.

    The caller that opened it closes it, read to the end or not.

    Attributes:
        info: The whole object's metadata; ``info.size`` is the size of the
            whole object, even if only a range was requested.
        start: Offset of the first byte of the body.
        end: Offset after the last byte of the body; :data:`~asyncstore.types.UNKNOWN` until the last byte has
            arrived if the reply does not say it. A body that ends without an error is then complete.
        ignored_range: Whether the reply has all of the object, although a part of it was requested.
    """

    info: Metadata
    start: int
    end: int
    ignored_range: bool = False

    @property
    def checksum(self) -> Checksum | None:
        """
        The checksum that the body must have, if it is the whole object and the checksum is known.
        """
        known, whole = self.info.checksum, self.start == 0 and self.end == self.info.size
        return known if whole and known is not None and known.parts is None else None

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        Yield the bytes as they arrive, in chunks of any size.

        Raises:
            UnavailableError: The connection broke or stalled before the end;
                the bytes so far are valid.
        """

    async def into(self, sink: Sink, size: int) -> AsyncGenerator[int, None]:
        """
        Pass the next *size* bytes to *sink*, and yield the size of each chunk of one or a few MiB.

        *sink* is called in a thread, with consecutive bytes that are valid until it
        returns; its exceptions are raised here. Use this or ``__aiter__``, not both.

        Raises:
            UnavailableError: As ``__aiter__``, after the bytes that arrived before.
        """
        async with aclosing(self._groups()) as groups:
            async for group in groups:
                wanted = cut(group, size)
                count = await in_thread(write_to, wanted, sink)
                size -= count
                yield count
                if not size:
                    return

    async def _groups(self) -> AsyncGenerator[Sequence[BytesLike], None]:
        group: list[BytesLike] = []
        size = 0
        chunks = aiter(self)
        try:
            async for chunk in chunks:
                group.append(chunk)
                size += len(chunk)
                if size >= _GROUP:
                    yield group
                    group, size = [], 0
        except Exception:
            # The caller keeps what arrived before the error, and resumes after it.
            if group:
                yield group
            raise
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
        if group:
            yield group

    async def read(self) -> bytes:
        """
        Return all remaining bytes.
        """
        chunks: list[bytes] = []
        await self.collect(chunks)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def collect(self, chunks: list[bytes]) -> None:
        """
        Append all remaining bytes to *chunks*, which has what arrived before an error.
        """
        async for chunk in self:
            chunks.append(chunk)  # noqa: PERF401 - what arrived before an error is kept

    @abstractmethod
    async def aclose(self) -> None:
        """
        Release the connection or file; may be called twice.
        """


class EmptyBody(ReadBody):
    """
    The body of an empty range.
    """

    def __init__(self, info: Metadata, start: int) -> None:
        self.info = info
        self.start = self.end = min(start, info.size)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""

    async def aclose(self) -> None:
        """
        No connection or file is open, so nothing is closed.
        """


def cut(chunks: Iterable[BytesLike], size: int) -> list[BytesLike]:
    """
    Return the first *size* bytes of *chunks*, or fewer at the end.
    """
    wanted: list[BytesLike] = []
    for chunk in chunks:
        if size > 0:
            wanted.append(chunk if len(chunk) <= size else memoryview(chunk)[:size])
            size -= len(chunk)
    return wanted


def write_to(chunks: Iterable[BytesLike], sink: Sink) -> int:
    """
    Pass *chunks* to *sink* and return how many bytes they have; runs in a thread.
    """
    total = 0
    for chunk in chunks:
        sink(chunk)
        total += len(chunk)
    return total

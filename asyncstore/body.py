"""
The bytes of a request and of a reply, as drivers and the engine hand them on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing

from asyncstore.checksum import compute
from asyncstore.threads import in_thread
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata

#: Anything whose bytes can be sent without a copy.
BytesLike = bytes | bytearray | memoryview

#: Takes consecutive bytes, in a thread; they are overwritten once it returns.
Sink = Callable[[BytesLike], None]

# Bytes for which a thread is worth while; see ReadBody.into().
_GROUP = 1024 * 1024


class Body(ABC):
    """
    What a driver sends: a known number of bytes, in memory or in chunks.

    The engine makes one for each object or part. A driver asks for its data in
    one way only: :attr:`data` if it is not ``None``, else :meth:`chunks`.

    Attributes:
        size: Bytes, always known.
        replayable: Whether the same bytes can be produced again, for another
            attempt.
        data: All the bytes, if they are in memory.
    """

    size: int
    replayable: bool = True
    data: BytesLike | None = None

    @abstractmethod
    def chunks(self) -> AsyncIterator[BytesLike]:
        """
        Produce the bytes from the start, in chunks of up to about 1 MiB.

        Each call starts anew. A chunk may be reused once the next is asked for.

        Raises:
            SourceChangedError: The source has fewer or other bytes than it had.
        """

    async def prepare(self, algorithm: ChecksumAlgorithm) -> None:  # noqa: B027 - most know it already
        """
        Make sure that :meth:`checksum` knows *algorithm* before anything is sent.

        For a driver whose provider wants to have it in front. It may read the source
        once more, or into memory.
        """

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        """
        Return the checksum of all the bytes, if it is known by now.

        Of bytes in memory it always is (it is computed on the first call); of
        a file, once :meth:`chunks` has ended and if that algorithm was followed.
        """
        return None


class BytesBody(Body):
    """
    Bytes that are in memory already.

    Args:
        checksum: Of the bytes, if somebody has computed it already.
    """

    def __init__(self, data: BytesLike, checksum: Checksum | None = None) -> None:
        self._checksum = checksum
        self.data = self._bytes = data
        self.size = data.nbytes if isinstance(data, memoryview) else len(data)

    async def chunks(self) -> AsyncIterator[BytesLike]:
        if self.size:
            yield self._bytes

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        known = self._checksum
        if known is None or known.algorithm is not algorithm:
            # Kept: the driver sends it, and compares it with the reply; the engine combines it.
            known = self._checksum = compute(algorithm, self._bytes)
        return known


class ReadBody(ABC):
    """
    What a driver returns for a read: a reply whose body is still to come.

    Whoever opened it closes it, read to the end or not.

    Attributes:
        info: The whole object's metadata; ``info.size`` is the size of the
            whole object, also when a range was asked for.
        start: Offset of the first byte that will come.
        end: Offset after the last byte that will come.
    """

    info: Metadata
    start: int
    end: int

    @property
    def checksum(self) -> Checksum | None:
        """
        The checksum that the bytes to come must have, where all of the object comes and one is known.
        """
        known, whole = self.info.checksum, self.start == 0 and self.end == self.info.size
        return known if whole and known is not None and known.parts is None else None

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        Yield the bytes as they arrive, in chunks of any size.

        Raises:
            UnavailableError: The connection broke or stalled before the end;
                the bytes so far are good.
        """

    async def into(self, sink: Sink, size: int) -> AsyncGenerator[int, None]:
        """
        Hand the next *size* bytes to *sink*, and yield how many at each turn, of 1 MiB or a few.

        *sink* is called in a thread, with consecutive bytes that are good until it
        returns; what it raises comes out here. This or ``__aiter__``, not both.

        Raises:
            UnavailableError: As ``__aiter__`` does, after what came before.
        """
        async with aclosing(self._groups()) as groups:
            async for group in groups:
                wanted = cut(group, size)
                count = await in_thread(hand, wanted, sink)
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
        Return all the bytes that are left.
        """
        return b"".join([chunk async for chunk in self])

    @abstractmethod
    async def aclose(self) -> None:
        """
        Give the connection or file back; may be called twice.
        """


class EmptyBody(ReadBody):
    """
    The bytes of a range that has none.
    """

    def __init__(self, info: Metadata, start: int) -> None:
        self.info = info
        self.start = self.end = min(start, info.size)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""

    async def aclose(self) -> None:
        """
        Do nothing: there is nothing to give back.
        """


def cut(chunks: Iterable[BytesLike], size: int) -> list[BytesLike]:
    """
    Return the first *size* bytes of *chunks*, or all of them if they are fewer.
    """
    wanted: list[BytesLike] = []
    for chunk in chunks:
        if size > 0:
            wanted.append(chunk if len(chunk) <= size else memoryview(chunk)[:size])
            size -= len(chunk)
    return wanted


def hand(chunks: Iterable[BytesLike], sink: Sink) -> int:
    """
    Give *chunks* to *sink*, and return how many bytes they were; runs in a thread.
    """
    total = 0
    for chunk in chunks:
        sink(chunk)
        total += len(chunk)
    return total

"""
A stream of unknown length, cut into pieces that are sent as the parts of an upload.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio

from asyncstore.body import BytesBody
from asyncstore.engine.calls import Calls
from asyncstore.engine.given import StreamSource
from asyncstore.engine.multipart import MultipartSession
from asyncstore.engine.plan import check_size, stream_part_size
from asyncstore.engine.pool import single_error
from asyncstore.engine.source import CHUNK
from asyncstore.errors import InvalidRequestError
from asyncstore.options import UploadOptions
from asyncstore.types import ChecksumAlgorithm

#: Bytes in memory, and what holds their place in the budget until it is closed.
Held = tuple[bytearray, AsyncExitStack]


def piece_size(calls: Calls, number: int, options: UploadOptions) -> int:
    """
    Return the size of piece *number* (from 1): as planned, if the byte budget has that much.

    Below the provider's smallest part, and below what is read at a time anyway,
    the budget counts for nothing.
    """
    able = calls.driver.capabilities
    largest = max(calls.limits.bytes.total, able.min_part_size, CHUNK)
    return stream_part_size(number, options.part_size, able, largest)


def algorithm_of(calls: Calls, options: UploadOptions) -> ChecksumAlgorithm | None:
    """
    Return the checksum that parts are sent with.
    """
    return options.checksum or calls.driver.preferred_checksum


async def send_stream(
    calls: Calls, session: MultipartSession, source: StreamSource, first: Held, options: UploadOptions
) -> None:
    """
    Send the *first* piece, and then what else comes from *source*.
    """
    pieces = _Pieces(calls, source, first, options)
    algorithm = algorithm_of(calls, options)

    async def worker() -> None:
        while await _send_next(pieces, session, algorithm):
            pass

    with single_error():
        async with anyio.create_task_group() as group:
            for _ in range(options.max_concurrency):
                group.start_soon(worker)


async def _send_next(pieces: _Pieces, session: MultipartSession, algorithm: ChecksumAlgorithm | None) -> bool:
    async with AsyncExitStack() as held:
        number, piece = await pieces.cut(held)
        if not piece:
            return False
        await session.send(number, BytesBody(piece), algorithm)
        return True


class _Pieces:
    """
    The pieces of a stream, cut off one after another by whoever will send them.
    """

    def __init__(self, calls: Calls, source: StreamSource, first: Held, options: UploadOptions) -> None:
        self._calls = calls
        self._able = calls.driver.capabilities
        self._source = source
        self._first: Held | None = first
        self._options = options
        self._cutting = anyio.Lock()
        self._number = 0
        self._total = 0

    async def cut(self, held: AsyncExitStack) -> tuple[int, bytearray]:
        """
        Return the next piece and its number, none at the end; *held* gives its place back.
        """
        async with self._cutting:
            piece = await self._cut(held)
            if piece:
                self._number += 1
                self._total += len(piece)
                self._check()
            return self._number, piece

    async def _cut(self, held: AsyncExitStack) -> bytearray:
        if self._first is not None:
            (piece, place), self._first = self._first, None
            held.push_async_exit(place)
            return piece
        # Nothing is waited for at the end, when others may hold the whole budget.
        if await self._source.at_end():
            return bytearray()
        size = piece_size(self._calls, self._number + 1, self._options)
        await held.enter_async_context(self._calls.limits.bytes.reserve(size))
        return await self._source.take(size)

    def _check(self) -> None:
        check_size(self._total, self._able)
        if self._number > self._able.max_parts:
            raise InvalidRequestError(
                f"the stream is longer than {self._able.max_parts} parts that fit into max_buffer_bytes: "
                "raise that, or part_size, or write it to a file and upload() that"
            )

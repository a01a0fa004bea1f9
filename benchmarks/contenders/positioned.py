"""Transfers a large file as parts at offsets, for libraries that do not do this themselves."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from typing_extensions import Buffer

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT
from benchmarks.inflight import for_each


async def write_parts(path: Path, size: int, read_part: Callable[[int, int], Awaitable[Buffer]]) -> None:
    """Write *size* bytes to *path*; *read_part* is called with the start and end of each part."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:

        async def part(start: int) -> None:
            data = await read_part(start, min(start + PART_SIZE, size))
            await asyncio.to_thread(os.pwrite, file, data, start)

        await for_each(range(0, size, PART_SIZE), part, in_flight=PARTS_IN_FLIGHT)
    finally:
        os.close(file)


async def read_parts(path: Path, write_part: Callable[[int, bytes], Awaitable[None]]) -> int:
    """Call *write_part* with the number and bytes of each part of *path*; return the number of parts."""
    size = path.stat().st_size
    count = -(-size // PART_SIZE)
    file = os.open(path, os.O_RDONLY)
    try:

        async def part(number: int) -> None:
            data = await asyncio.to_thread(os.pread, file, PART_SIZE, (number - 1) * PART_SIZE)
            await write_part(number, data)

        await for_each(range(1, count + 1), part, in_flight=PARTS_IN_FLIGHT)
    finally:
        os.close(file)
    return count

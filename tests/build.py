"""
Helpers for tests of the engine and the storage.
"""

import sys
from array import array
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from asyncstore.driver.body import Body
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm, Part
from asyncstore.uri import ObjectURI, parse_uri

ROOT: ObjectURI = parse_uri("memory://bucket")
KEY: ObjectURI = ROOT / "dir/key"


class ChecksumFirst(MemoryDriver):
    """
    Memory that needs the checksum of a part before its first byte, like S3.
    """

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        await body.prepare(ChecksumAlgorithm.CRC32C)
        assert body.checksum(ChecksumAlgorithm.CRC32C) is not None
        return await super().upload_part(uri, upload_id, number, body, options)


def patterned(size: int) -> bytes:
    """
    Return bytes in which no two ranges are equal.
    """
    numbers = array("I", range(size // 4 + 1))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()[:size]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


async def stream(data: bytes, size: int = 700) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def changed(driver: FaultyDriver | MemoryDriver, **capabilities: Any) -> None:
    """
    Change *capabilities* of *driver*.
    """
    driver.capabilities = replace(driver.capabilities, **capabilities)


def at_rest(storage: Storage, faults: FaultyDriver) -> None:
    """
    Assert that no request is in progress and no limit is held.
    """
    now = storage.statistics()
    budget = storage._requests.limits.bytes
    held = {
        "requests": now.requests_in_flight,
        "waiting": now.requests_waiting + budget.waiting,
        "bytes": now.bytes_buffered,
        "in flight": faults.in_flight["all"],
        "bodies": faults.bodies_open,
    }

    assert dict.fromkeys(held, 0) == held


def open_files() -> set[str]:
    """
    Return the open files of this process.
    """
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{fd.name} {fd.readlink()}")
        except FileNotFoundError:
            continue
    return found


def counted(items: Iterable[Any], seen: Callable[[Any], None]) -> Iterable[Any]:
    for item in items:
        seen(item)
        yield item

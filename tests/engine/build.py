"""
What the tests of the engine are built from.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from asyncstore.body import Body
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm, Part
from asyncstore.uri import ObjectURI, parse_uri

ROOT: ObjectURI = parse_uri("memory://bucket")
KEY: ObjectURI = ROOT / "dir/key"


class InFront(MemoryDriver):
    """
    Memory, but wants the checksum of a part before its first byte, as S3 does.
    """

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        await body.prepare(ChecksumAlgorithm.CRC32C)
        assert body.checksum(ChecksumAlgorithm.CRC32C) is not None
        return await super().upload_part(uri, upload_id, number, body, options)


def patterned(size: int) -> bytes:
    """
    Return bytes of which no two stretches are alike.
    """
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


async def stream(data: bytes, size: int = 700) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def changed(driver: FaultyDriver | MemoryDriver, **capabilities: Any) -> None:
    """
    Give *driver* other capabilities.
    """
    driver.capabilities = replace(driver.capabilities, **capabilities)


def at_rest(storage: Storage, faults: FaultyDriver) -> None:
    """
    Nothing is under way, and nothing is held.
    """
    now = storage.statistics()
    budget = storage._calls.limits.bytes
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
    Return what this process has open.
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

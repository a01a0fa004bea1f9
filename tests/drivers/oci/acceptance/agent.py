"""
A model agent on the public interface, also run as a program that pulls and reports what it used:
``python -m tests.drivers.oci.acceptance.agent endpoint config_file uri folder part_size``.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from asyncstore import BulkOptions, Download, DownloadOptions, ObjectInfo, Storage, open_storage
from asyncstore.checksum import Hasher
from asyncstore.types import Checksum, ChecksumAlgorithm

CONCURRENCY = 4


@dataclass
class Pulled:
    """What a pull downloaded, and what was valid already."""

    moved: list[str]
    valid: list[str]


async def pull(
    storage: Storage, folder: Path, *, part_size: int, keep: Callable[[str], bool] = lambda _: True
) -> Pulled:
    """
    Download everything below the root into *folder*, except files that are valid already.

    Raises:
        ExceptionGroup: The errors of the objects that failed.
        FileNotFoundError: Nothing is below the root.
    """
    pulled = Pulled([], [])
    prefix = storage.root.key

    async def wanted() -> AsyncIterator[Download]:
        async for info in storage.list():
            name = info.key.removeprefix(prefix)
            if not keep(name):
                continue
            if await is_valid(storage, info, folder / name):
                pulled.valid.append(name)
            else:
                pulled.moved.append(name)
                yield Download(info.uri, folder / name)

    options = BulkOptions(
        max_concurrency=CONCURRENCY,
        download=DownloadOptions(part_size=part_size, max_concurrency=CONCURRENCY, sync=False),
    )
    result = await storage.bulk_download(wanted(), options=options)
    result.raise_for_failures()
    if not pulled.moved and not pulled.valid:
        raise FileNotFoundError(f"nothing to pull from {storage.root}")
    return pulled


async def is_valid(storage: Storage, info: ObjectInfo, path: Path) -> bool:
    """
    Return whether the file has the size and the checksum of the object.
    """
    try:
        size = (await asyncio.to_thread(path.stat)).st_size
    except FileNotFoundError:
        return False
    if size != info.size:
        return False
    checksum = (await storage.stat(info.uri)).checksum
    return checksum is not None and await asyncio.to_thread(checksum_of, path, checksum.algorithm) == checksum


def checksum_of(path: Path, algorithm: ChecksumAlgorithm) -> Checksum:
    """
    Return the checksum of a file.
    """
    hasher = Hasher(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            hasher.update(chunk)
    return hasher.checksum()


def peak_bytes() -> int:
    """
    Return the peak memory of this process.
    """
    # Not ru_maxrss, which includes the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


async def main(endpoint: str, config_file: str, uri: str, folder: str, part_size: str) -> None:
    async with open_storage(uri, endpoint_url=endpoint, config_file=config_file) as storage:
        pulled = await pull(storage, Path(folder), part_size=int(part_size))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    facts = {
        "moved": pulled.moved,
        "valid": pulled.valid,
        "peak_bytes": peak_bytes(),
        "cpu": usage.ru_utime + usage.ru_stime,
    }
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""
ocifs, which blocks, in as many threads as there are requests in flight.

It uses the oci SDK, with the same larger pool. It always moves a file in one thread, block after block; blocks
have 16 MiB. It looks up each object before it reads it. No checksums.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ocifs import OCIFileSystem

from benchmarks.contenders import PART_SIZE, Contender, Target
from benchmarks.contenders.oci_sdk_oci import config_of, widen_pool


async def connect(target: Target) -> "Ocifs":
    """Connect."""
    filesystem = OCIFileSystem(
        config=config_of(target),
        iam_type="api_key",
        default_block_size=PART_SIZE,
        # Data that is read once needs no cache.
        default_cache_type="none",
        config_kwargs={"service_endpoint": target.endpoint},
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    widen_pool(filesystem.oci_client, target)
    return Ocifs(target, filesystem)


class Ocifs(Contender):
    """One file system and its threads."""

    def __init__(self, target: Target, filesystem: Any) -> None:
        self._fs = filesystem
        self._root = f"{target.bucket}@{target.account}"
        self._threads = ThreadPoolExecutor(target.concurrency)

    async def get(self, key: str) -> bytes:
        data: bytes = await self._run(self._fs.cat_file, f"{self._root}/{key}")
        return data

    async def put(self, key: str, data: bytes) -> None:
        await self._run(self._fs.pipe_file, f"{self._root}/{key}", data)

    async def download(self, key: str, path: Path) -> None:
        await self._run(self._fs.get_file, f"{self._root}/{key}", str(path))

    async def upload(self, path: Path, key: str) -> None:
        await self._run(self._fs.put_file, str(path), f"{self._root}/{key}")

    async def aclose(self) -> None:
        self._threads.shutdown()

    async def _run(self, call: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

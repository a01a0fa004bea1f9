"""
s3fs, through its coroutines.

The pool is as large as the number of requests in flight. Parts have 16 MiB, 8 in flight. Block and listing caches
are off. Signing and checksums are configured as for aiobotocore, which it uses.
"""

import asyncio
from collections.abc import Callable, Sequence
from mmap import mmap
from pathlib import Path
from typing import Any

import s3fs

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Contender, Target


async def connect(target: Target) -> "S3fs":
    """Connect."""
    filesystem = s3fs.S3FileSystem(
        asynchronous=True,
        endpoint_url=target.endpoint,
        key=target.access_key,
        secret=target.secret_key,
        client_kwargs={"region_name": target.region, **({"verify": target.ca} if target.ca else {})},
        config_kwargs={
            "max_pool_connections": target.concurrency,
            "signature_version": "s3v4",
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "s3": {"addressing_style": "path", "payload_signing_enabled": False},
        },
        default_block_size=PART_SIZE,
        max_concurrency=PARTS_IN_FLIGHT,
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    return S3fs(target, filesystem, await filesystem.set_session())


class S3fs(Contender):
    """One file system."""

    def __init__(self, target: Target, filesystem: Any, session: Any) -> None:
        self._fs, self._session = filesystem, session
        self._bucket, self._concurrency = target.bucket, target.concurrency

    async def get(self, key: str) -> bytes:
        data: bytes = await self._fs._cat_file(f"{self._bucket}/{key}")
        return data

    async def put(self, key: str, data: bytes) -> None:
        await self._fs._pipe_file(f"{self._bucket}/{key}", data)

    async def download(self, key: str, path: Path) -> None:
        await self._fs._get_file(f"{self._bucket}/{key}", str(path), chunksize=PART_SIZE)

    async def upload(self, path: Path, key: str) -> None:
        await self._fs._put_file(str(path), f"{self._bucket}/{key}", chunksize=PART_SIZE)

    async def read_large(self, key: str, memory: mmap) -> memoryview:
        return memoryview(await self.get(key))

    async def read_at(self, key: str, places: Sequence[int], size: int, got: Callable[[bytes], None]) -> None:
        def read() -> None:
            # Its files cannot be read asynchronously. Without a cache it fetches what is asked for.
            filesystem = s3fs.S3FileSystem(**{**self._fs.storage_options, "asynchronous": False})
            with filesystem.open(f"{self._bucket}/{key}", "rb", cache_type="none") as file:
                for place in places:
                    file.seek(place)
                    got(file.read(size))

        await asyncio.to_thread(read)

    async def list(self, prefix: str) -> int:
        return len(await self._fs._find(f"{self._bucket}/{prefix}"))

    async def upload_many(self, items: Sequence[tuple[Path, str]]) -> None:
        sources = [str(path) for path, _ in items]
        await self._fs._put(sources, [f"{self._bucket}/{key}" for _, key in items], batch_size=self._concurrency)

    async def download_many(self, items: Sequence[tuple[str, Path]]) -> None:
        sources = [f"{self._bucket}/{key}" for key, _ in items]
        await self._fs._get(sources, [str(path) for _, path in items], batch_size=self._concurrency)

    async def aclose(self) -> None:
        await self._session.close()

"""asyncstore with the same settings as the others: 64 requests, parts of 16 MiB, 8 in flight."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from mmap import mmap
from pathlib import Path
from typing import Any

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Contender, Target

try:
    from asyncstore import BulkOptions, Download, DownloadOptions, Storage, Upload, UploadOptions, open_storage
except ImportError as exc:
    raise SystemExit(f"asyncstore cannot be measured: {exc}") from exc


async def connect(target: Target) -> "Asyncstore":
    """Connect."""
    return await connect_to(
        f"s3://{target.bucket}",
        target,
        region=target.region,
        access_key_id=target.access_key,
        secret_access_key=target.secret_key,
    )


async def connect_to(uri: str, target: Target, **settings: Any) -> "Asyncstore":
    """Connect to the storage at *uri*, on any cloud."""
    stack = AsyncExitStack()
    storage = await stack.enter_async_context(
        open_storage(uri, endpoint_url=target.endpoint, ca_file=target.ca, max_requests=target.concurrency, **settings)
    )
    return Asyncstore(target, storage, stack)


class Asyncstore(Contender):
    """One storage."""

    fills_memory = True

    def __init__(self, target: Target, storage: Storage, stack: AsyncExitStack) -> None:
        self._storage, self._stack = storage, stack
        self._upload = UploadOptions(part_size=PART_SIZE, max_concurrency=PARTS_IN_FLIGHT)
        # The other contenders do not wait for the disk either.
        self._download = DownloadOptions(part_size=PART_SIZE, max_concurrency=PARTS_IN_FLIGHT, sync=False)
        self._bulk = BulkOptions(max_concurrency=target.concurrency, stop_on_error=True, download=self._download)

    async def get(self, key: str) -> bytes:
        return await self._storage.read(self._storage.root / key)

    async def put(self, key: str, data: bytes) -> None:
        await self._storage.put(self._storage.root / key, data)

    async def download(self, key: str, path: Path) -> None:
        await self._storage.download(self._storage.root / key, path, options=self._download)

    async def upload(self, path: Path, key: str) -> None:
        await self._storage.upload(path, self._storage.root / key, options=self._upload)

    async def read_large(self, key: str, memory: mmap) -> memoryview:
        await self._storage.read_into(self._storage.root / key, memory, options=self._download)
        return memoryview(memory)

    async def read_at(self, key: str, places: Sequence[int], size: int, got: Callable[[bytes], None]) -> None:
        async with self._storage.open(self._storage.root / key) as file:
            for place in places:
                await file.seek(place)
                got(await file.read(size))

    async def list(self, prefix: str) -> int:
        # Counted one by one and not kept, like obstore's batches.
        found = 0
        async for _ in self._storage.list(self._storage.root / prefix):
            found += 1
        return found

    async def upload_many(self, items: Sequence[tuple[Path, str]]) -> None:
        root = self._storage.root
        await self._storage.bulk_upload([Upload(path, root / key) for path, key in items], options=self._bulk)

    async def download_many(self, items: Sequence[tuple[str, Path]]) -> None:
        root = self._storage.root
        await self._storage.bulk_download([Download(root / key, path) for key, path in items], options=self._bulk)

    async def aclose(self) -> None:
        await self._stack.aclose()

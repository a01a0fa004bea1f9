"""asyncstore at the settings the others are given: 64 requests, parts of 16 MiB at 8 in flight."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
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
    """Connect to the storage at *uri*, whatever its cloud."""
    stack = AsyncExitStack()
    storage = await stack.enter_async_context(
        open_storage(uri, endpoint_url=target.endpoint, ca_file=target.ca, max_requests=target.concurrency, **settings)
    )
    return Asyncstore(target, storage, stack)


class Asyncstore(Contender):
    """One storage."""

    def __init__(self, target: Target, storage: Storage, stack: AsyncExitStack) -> None:
        self._storage, self._stack = storage, stack
        self._upload = UploadOptions(part_size=PART_SIZE, max_concurrency=PARTS_IN_FLIGHT)
        # None of the others waits for the disk.
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

    async def list(self, prefix: str) -> int:
        # Looked at one by one, and kept no longer than obstore's batches are.
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

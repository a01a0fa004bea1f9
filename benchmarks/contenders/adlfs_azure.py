"""
adlfs, through its coroutines.

It uses azure-storage-blob with the account key and its own pool of 100 connections. Uploads use parts of
16 MiB, 8 in flight; downloads use the SDK's sizes, which cannot be set. No checksums.
"""

from pathlib import Path
from typing import Any

from adlfs import AzureBlobFileSystem

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Contender, Target


async def connect(target: Target) -> "Adlfs":
    """Connect."""
    scheme = target.endpoint.partition(":")[0]
    filesystem = AzureBlobFileSystem(
        connection_string=f"DefaultEndpointsProtocol={scheme};AccountName={target.access_key};"
        f"AccountKey={target.secret_key};BlobEndpoint={target.endpoint};",
        asynchronous=True,
        max_concurrency=PARTS_IN_FLIGHT,
        blocksize=PART_SIZE,
        assume_container_exists=True,
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    return Adlfs(target, filesystem)


class Adlfs(Contender):
    """One file system."""

    def __init__(self, target: Target, filesystem: Any) -> None:
        self._fs, self._bucket = filesystem, target.bucket

    async def get(self, key: str) -> bytes:
        data: bytes = await self._fs._cat_file(f"{self._bucket}/{key}")
        return data

    async def put(self, key: str, data: bytes) -> None:
        await self._fs._pipe_file(f"{self._bucket}/{key}", data)

    async def download(self, key: str, path: Path) -> None:
        await self._fs._get_file(f"{self._bucket}/{key}", str(path))

    async def upload(self, path: Path, key: str) -> None:
        await self._fs._put_file(str(path), f"{self._bucket}/{key}")

    async def aclose(self) -> None:
        await self._fs.service_client.close()

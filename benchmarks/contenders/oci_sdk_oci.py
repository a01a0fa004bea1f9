"""
The oci SDK, which blocks, in as many threads as there are requests in flight.

Its connection pool has the same size (the default is 10). Large uploads use its UploadManager,
which always sends an MD5 of every part for the service to verify. Large downloads are ranges in
threads. It compares no checksums of reads.
"""

import asyncio
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from oci._vendor.requests.adapters import HTTPAdapter
from oci.object_storage import ObjectStorageClient, UploadManager

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Contender, Target
from benchmarks.inflight import for_each


def config_of(target: Target) -> dict[str, str]:
    """Return the configuration of the SDK."""
    tenancy, user, fingerprint = target.access_key.split("/")
    return {
        "tenancy": tenancy,
        "user": user,
        "fingerprint": fingerprint,
        "key_content": target.secret_key,
        "region": "us-ashburn-1",
    }


def widen_pool(client: ObjectStorageClient, target: Target) -> None:
    """Make the pool of *client* as large as the number of requests in flight."""
    scheme = target.endpoint.partition("://")[0]
    client.base_client.session.mount(f"{scheme}://", HTTPAdapter(pool_maxsize=target.concurrency))


async def connect(target: Target) -> "OciSdk":
    """Connect."""
    client = ObjectStorageClient(config_of(target), service_endpoint=target.endpoint)
    widen_pool(client, target)
    return OciSdk(target, client)


class OciSdk(Contender):
    """One client and its threads."""

    def __init__(self, target: Target, client: ObjectStorageClient) -> None:
        self._client = client
        self._place = (target.account, target.bucket)
        self._threads = ThreadPoolExecutor(target.concurrency)

    async def get(self, key: str) -> bytes:
        data: bytes = await self._run(self._get, key)
        return data

    async def put(self, key: str, data: bytes) -> None:
        await self._run(self._client.put_object, *self._place, key, data)

    async def download(self, key: str, path: Path) -> None:
        head = await self._run(self._client.head_object, *self._place, key)
        size = int(head.headers["Content-Length"])
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:

            async def part(start: int) -> None:
                await self._run(self._get_part, key, file, start, min(start + PART_SIZE, size))

            await for_each(range(0, size, PART_SIZE), part, in_flight=PARTS_IN_FLIGHT)
        finally:
            os.close(file)

    async def upload(self, path: Path, key: str) -> None:
        manager = UploadManager(self._client, parallel_process_count=PARTS_IN_FLIGHT)
        await self._run(manager.upload_file, *self._place, key, str(path), part_size=PART_SIZE)

    async def aclose(self) -> None:
        self._threads.shutdown()

    def _get(self, key: str) -> bytes:
        data: bytes = self._client.get_object(*self._place, key).data.content
        return data

    def _get_part(self, key: str, file: int, start: int, end: int) -> None:
        reply = self._client.get_object(*self._place, key, range=f"bytes={start}-{end - 1}")
        os.pwrite(file, reply.data.content, start)

    async def _run(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, functools.partial(call, *args, **kwargs))

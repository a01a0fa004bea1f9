"""
obstore: the Rust crate object_store, through its coroutines.

Payloads are unsigned, like those of the other contenders. The unlimited pool and the retries are the default.
A large object is downloaded in parallel ranges, which is faster than its single stream
(`obstore_stream`) if a core is free.
"""

from collections.abc import Callable, Sequence
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Target
from benchmarks.contenders.files import SmallFiles
from benchmarks.contenders.positioned import write_parts

if TYPE_CHECKING:
    from obstore import Bytes
    from obstore.store import ClientConfig, ObjectStore


async def connect(target: Target) -> "Obstore":
    """Connect."""
    return Obstore(target, open_store(target))


def open_store(target: Target) -> S3Store:
    """Return the store of one bucket."""
    client: ClientConfig = {"allow_http": True}
    if target.ca:
        client["root_certificate"] = Path(target.ca).read_bytes()
    return S3Store(
        target.bucket,
        endpoint=target.endpoint,
        region=target.region,
        access_key_id=target.access_key,
        secret_access_key=target.secret_key,
        virtual_hosted_style_request=False,
        unsigned_payload=True,
        client_options=client,
    )


class Obstore(SmallFiles):
    """One store."""

    def __init__(self, target: Target, store: "ObjectStore") -> None:
        super().__init__(target.concurrency)
        self._store = store

    async def get(self, key: str) -> memoryview:
        reply = await obstore.get_async(self._store, key)
        return memoryview(await reply.bytes_async())

    async def put(self, key: str, data: bytes) -> None:
        await obstore.put_async(self._store, key, data, use_multipart=False)

    async def download(self, key: str, path: Path) -> None:
        head = await obstore.head_async(self._store, key)

        async def read_part(start: int, end: int) -> "Bytes":
            return await obstore.get_range_async(self._store, key, start=start, end=end)

        await write_parts(path, head["size"], read_part)

    async def upload(self, path: Path, key: str) -> None:
        await obstore.put_async(
            self._store, key, path, use_multipart=True, chunk_size=PART_SIZE, max_concurrency=PARTS_IN_FLIGHT
        )

    async def read_large(self, key: str, memory: mmap) -> memoryview:
        return await self.get(key)

    async def read_at(self, key: str, places: Sequence[int], size: int, got: Callable[[bytes], None]) -> None:
        # Its default buffer of 1 MiB would fetch sixteen times as much.
        file = await obstore.open_reader_async(self._store, key, buffer_size=size)
        for place in places:
            await file.seek(place)
            got(bytes(await file.read(size)))

    async def list(self, prefix: str) -> int:
        # As dictionaries, like the entries of the other contenders; Arrow batches would be cheaper.
        return sum([len(batch) async for batch in obstore.list(self._store, prefix, chunk_size=1_000)])

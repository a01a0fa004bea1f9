"""obstore, with a large object downloaded as one stream with one request."""

import asyncio
from pathlib import Path

import obstore

from benchmarks.contenders import Target
from benchmarks.contenders.obstore_ import Obstore, open_store
from benchmarks.units import MiB


async def connect(target: Target) -> "ObstoreStream":
    """Connect."""
    return ObstoreStream(target, open_store(target))


class ObstoreStream(Obstore):
    """The same store with another download."""

    async def download(self, key: str, path: Path) -> None:
        reply = await obstore.get_async(self._store, key)
        with path.open("wb", buffering=0) as file:
            async for chunk in reply.stream(min_chunk_size=8 * MiB):
                await asyncio.to_thread(file.write, chunk)

"""
gcloud-aio-storage, with a large object downloaded as one stream.

This takes less CPU than its ranges, which it returns as bytes of 16 MiB. On a real network one stream is slower.
"""

import asyncio
from pathlib import Path

from benchmarks.contenders import Target
from benchmarks.contenders.gcloud_aio_gcs import PATIENCE, GcloudAio, open_client
from benchmarks.units import MiB


async def connect(target: Target) -> "GcloudAioStream":
    """Connect."""
    return GcloudAioStream(target, *open_client(target))


class GcloudAioStream(GcloudAio):
    """The same client with another download."""

    async def download(self, key: str, path: Path) -> None:
        reply = await self._storage.download_stream(self._bucket, key, timeout=PATIENCE)
        with path.open("wb", buffering=0) as file:
            while chunk := await reply.read(8 * MiB):
                await asyncio.to_thread(file.write, chunk)

"""
gcloud-aio-storage: the most used asyncio client of GCS.

It has a fixed token, a pool as large as the number of requests in flight, and a long timeout for large transfers.
It neither sends nor compares checksums. It has no multipart transfers: downloads request ranges in
parallel (`gcloud_aio_stream` uses one stream), and an upload is one session.
"""

from pathlib import Path
from typing import Any

import aiohttp
from gcloud.aio.storage import Storage

from benchmarks.contenders import Target
from benchmarks.contenders.files import SmallFiles
from benchmarks.contenders.positioned import write_parts

PATIENCE = 600


async def connect(target: Target) -> "GcloudAio":
    """Connect."""
    return GcloudAio(target, *open_client(target))


def open_client(target: Target) -> tuple[Storage, aiohttp.ClientSession]:
    """Return a client and its session, which the caller closes."""
    # Any: the library declares its own name for the same class.
    session: Any = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=target.concurrency), cookie_jar=aiohttp.DummyCookieJar()
    )
    token: Any = FixedToken(target.secret_key)
    # With a custom endpoint it would send no token by default.
    storage = Storage(session=session, token=token, api_root=target.endpoint, api_is_dev=False)
    return storage, session


class FixedToken:
    """A token that never expires, as the library expects it."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def get(self) -> str:
        """Return the token."""
        return self._text


class GcloudAio(SmallFiles):
    """One client."""

    def __init__(self, target: Target, storage: Storage, session: aiohttp.ClientSession) -> None:
        super().__init__(target.concurrency)
        self._storage, self._session, self._bucket = storage, session, target.bucket

    async def get(self, key: str) -> bytes:
        return await self._storage.download(self._bucket, key)

    async def put(self, key: str, data: bytes) -> None:
        await self._storage.upload(self._bucket, key, data)

    async def download(self, key: str, path: Path) -> None:
        found = await self._storage.download_metadata(self._bucket, key)

        async def read_part(start: int, end: int) -> bytes:
            headers = {"Range": f"bytes={start}-{end - 1}"}
            return await self._storage.download(self._bucket, key, headers=headers, timeout=PATIENCE)

        await write_parts(path, int(found["size"]), read_part)

    async def upload(self, path: Path, key: str) -> None:
        with path.open("rb") as file:
            await self._storage.upload(self._bucket, key, file, timeout=PATIENCE)

    async def aclose(self) -> None:
        await self._session.close()

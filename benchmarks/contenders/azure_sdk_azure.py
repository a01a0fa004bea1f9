"""
azure-storage-blob, the asyncio client of Azure's own SDK, on aiohttp.

It signs with the account key and has a pool as large as the number of requests in flight. Parts have 16 MiB,
8 in flight. As by default, content is not validated: it neither sends nor compares checksums.
"""

from pathlib import Path

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Target
from benchmarks.contenders.files import SmallFiles


async def connect(target: Target) -> "AzureSdk":
    """Connect."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=target.concurrency),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
    service = BlobServiceClient(
        target.endpoint,
        credential={"account_name": target.access_key, "account_key": target.secret_key},
        transport=AioHttpTransport(session=session, session_owner=False),
        max_block_size=PART_SIZE,
        max_single_put_size=PART_SIZE,
        max_single_get_size=PART_SIZE,
        max_chunk_get_size=PART_SIZE,
    )
    return AzureSdk(target, service, session)


class AzureSdk(SmallFiles):
    """One container."""

    def __init__(self, target: Target, service: BlobServiceClient, session: aiohttp.ClientSession) -> None:
        super().__init__(target.concurrency)
        self._service, self._session = service, session
        self._container: ContainerClient = service.get_container_client(target.bucket)

    async def get(self, key: str) -> bytes:
        return await (await self._container.download_blob(key)).readall()

    async def put(self, key: str, data: bytes) -> None:
        await self._container.upload_blob(key, data, overwrite=True)

    async def download(self, key: str, path: Path) -> None:
        reply = await self._container.download_blob(key, max_concurrency=PARTS_IN_FLIGHT)
        with path.open("wb") as file:
            await reply.readinto(file)

    async def upload(self, path: Path, key: str) -> None:
        with path.open("rb") as file:
            await self._container.upload_blob(key, file, overwrite=True, max_concurrency=PARTS_IN_FLIGHT)

    async def aclose(self) -> None:
        await self._service.close()
        await self._session.close()

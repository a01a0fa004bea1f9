"""
gcsfs, through its coroutines.

The pool is as large as the number of requests in flight. Large files use its own transfers: ranges of 16 MiB, 8 in
flight, for downloads; one session in chunks for uploads, since it has no other. `consistency` stays "none", the
default, so it compares no checksums. The file system is that of gcsfs.core: the one that `gcsfs` exports asks
Google itself, over gRPC, for the type of the bucket.
"""

import datetime as dt
from pathlib import Path
from typing import Any

# Otherwise imported at the first chunk of an upload, within the measurement.
import google.cloud.storage.asyncio.async_appendable_object_writer
from aiohttp import TCPConnector
from gcsfs.core import GCSFileSystem
from google.oauth2.credentials import Credentials

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Contender, Target

assert google.cloud.storage.asyncio.async_appendable_object_writer


async def connect(target: Target) -> "Gcsfs":
    """Connect."""
    # The library uses times without a time zone.
    expiry = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(days=1)
    credentials: Any = Credentials(target.secret_key, expiry=expiry)  # type: ignore[no-untyped-call]
    filesystem = GCSFileSystem(
        asynchronous=True,
        project="bench",
        endpoint_url=target.endpoint,
        token=credentials,
        session_kwargs={"connector": TCPConnector(limit=target.concurrency)},
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    return Gcsfs(target, filesystem, await filesystem._set_session())


class Gcsfs(Contender):
    """One file system."""

    def __init__(self, target: Target, filesystem: Any, session: Any) -> None:
        self._fs, self._session, self._bucket = filesystem, session, target.bucket

    async def get(self, key: str) -> bytes:
        data: bytes = await self._fs._cat_file(f"{self._bucket}/{key}")
        return data

    async def put(self, key: str, data: bytes) -> None:
        await self._fs._pipe_file(f"{self._bucket}/{key}", data)

    async def download(self, key: str, path: Path) -> None:
        await self._fs._get_file(f"{self._bucket}/{key}", str(path), concurrency=PARTS_IN_FLIGHT, chunk_size=PART_SIZE)

    async def upload(self, path: Path, key: str) -> None:
        await self._fs._put_file(str(path), f"{self._bucket}/{key}")

    async def aclose(self) -> None:
        await self._session.close()

"""
Short calls of a driver, and bodies that misbehave.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from asyncstore.config import RetryOptions, StorageConfig
from asyncstore.driver import Driver, Pending
from asyncstore.driver.body import Body, BytesBody, BytesLike
from asyncstore.drivers import local
from asyncstore.engine.copy import copy_by_driver
from asyncstore.engine.limits import Limits
from asyncstore.engine.requests import Requests
from asyncstore.engine.retry import Retry
from asyncstore.engine.steps import result_of
from asyncstore.engine.upload.disk_journal import DiskJournal
from asyncstore.options import CopyOptions, DeleteOptions, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo, Part
from asyncstore.uri import ObjectURI

PLAIN = WriteOptions()

_T = TypeVar("_T")


class Calls:
    """Calls a driver with keys relative to a root."""

    def __init__(self, driver: Driver, root: ObjectURI) -> None:
        self.driver = driver
        self.root = root
        self.key = root / "dir/key"
        self.base = len(str(root / "x")) - 1

    async def put(self, key: str = "dir/key", data: bytes = b"data", **options: Any) -> ObjectInfo:
        return await self.driver.put(self.root / key, BytesBody(data), WriteOptions(**options))

    async def read(self, key: str = "dir/key", **options: Any) -> bytes:
        body = await self.driver.open_read(self.root / key, ReadOptions(**options))
        try:
            return await body.read()
        finally:
            await body.aclose()

    async def stat(self, key: str = "dir/key", **options: Any) -> Metadata:
        return await self.driver.stat(self.root / key, ReadOptions(**options))

    async def delete(self, key: str = "dir/key", **options: Any) -> None:
        await self.driver.delete(self.root / key, DeleteOptions(**options))

    async def page(self, prefix: str = "", token: str | None = None, **options: Any) -> tuple[list[str], str | None]:
        uri = self.root / prefix if prefix else self.root
        page = await self.driver.list_page(uri, ListOptions(**options), token)
        return [str(info.uri)[self.base :] for info in page.objects], page.next_token

    async def keys(self, prefix: str = "", **options: Any) -> list[str]:
        found, token = await self.page(prefix, **options)
        while token is not None:
            more, token = await self.page(prefix, token, **options)
            found += more
        return found

    async def objects(self) -> dict[str, bytes]:
        return {key: await self.read(key) for key in await self.keys()}

    async def uploads(self) -> dict[str, str]:
        page = await self.driver.list_multipart_uploads(self.root, None)
        return {upload.upload_id: str(upload.uri)[self.base :] for upload in page.uploads}

    async def start(self, key: str = "dir/key", **options: Any) -> str:
        return await self.driver.initiate_multipart_upload(self.root / key, WriteOptions(**options))

    async def part(self, upload_id: str, number: int, data: bytes, key: str = "dir/key", **options: Any) -> Part:
        uri = self.root / key
        return await finished(
            self.driver, self.driver.upload_part(uri, upload_id, number, BytesBody(data), WriteOptions(**options))
        )

    async def upload(self, data: Sequence[bytes], key: str = "dir/key") -> tuple[str, list[Part]]:
        """Start an upload and send its parts, the last one first."""
        upload_id = await self.start(key, content_type="a/b")
        numbered = reversed(list(enumerate(data, start=1)))
        return upload_id, [await self.part(upload_id, number, part, key) for number, part in numbered]

    async def complete(
        self,
        upload_id: str,
        parts: Sequence[Part],
        checksum: Checksum | None = None,
        key: str = "dir/key",
        **options: Any,
    ) -> ObjectInfo:
        return await finished(
            self.driver,
            self.driver.complete_multipart_upload(self.root / key, upload_id, parts, WriteOptions(**options), checksum),
        )


async def copied(driver: Driver, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
    """Copy an object with all the requests that this takes, without retries."""
    return await copy_by_driver(_requests(driver), source, target, options)


async def finished(driver: Driver, call: Awaitable[_T | Pending[_T]]) -> _T:
    """Await a call of *driver*, and send the requests that are still pending, without retries."""
    step = await call
    return await result_of(_requests(driver), "test", step.target, step) if isinstance(step, Pending) else step


def _requests(driver: Driver) -> Requests:
    return Requests(
        driver, Limits(10, 10 * MiB), Retry(RetryOptions(attempts=1)), DiskJournal(None, driver.provider, "")
    )


def opened_files(root: Path, **settings: object) -> Calls:
    """Open a directory as a storage that does not flush to disk."""
    config = StorageConfig.build(f"file://{root}", {"sync": False, **settings})
    return Calls(local.open_driver(config), config.uri)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class Broken(Body):
    """A body whose size or checksum can differ from its bytes."""

    def __init__(self, size: int = 4, data: bytes = b"data", checksum: Checksum | None = None) -> None:
        self.size = size
        self._data = data
        self._checksum = checksum

    async def chunks(self) -> AsyncIterator[BytesLike]:
        yield self._data[:1]
        yield self._data[1:]

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        return self._checksum if self._checksum and self._checksum.algorithm == algorithm else None


class Hanging(Body):
    """A body that hangs in the middle."""

    size = 10

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.closed = False

    async def chunks(self) -> AsyncIterator[BytesLike]:
        try:
            yield b"half "
            self.started.set()
            await asyncio.Event().wait()
        finally:
            self.closed = True


class Slow(Broken):
    """A body of several chunks, each after one iteration of the event loop."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data), data)

    async def chunks(self) -> AsyncIterator[BytesLike]:
        for start in range(0, self.size, 3):
            await asyncio.sleep(0)
            yield self._data[start : start + 3]


def leftovers(root: Path) -> list[str]:
    """Return the names of temporary files and unfinished uploads."""
    hidden = root / ".asyncstore"
    return [name for part in ("tmp", "uploads") if (hidden / part).exists() for name in names_in(hidden / part)]

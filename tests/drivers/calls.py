"""
Calls of a driver in few words, and bodies that misbehave.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from asyncstore.body import Body, BytesBody, BytesLike
from asyncstore.config import StorageConfig
from asyncstore.driver import Driver
from asyncstore.drivers import local
from asyncstore.options import DeleteOptions, ListOptions, ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo, Part
from asyncstore.uri import ObjectURI

PLAIN = WriteOptions()


class Calls:
    """A driver and the root that keys are joined to."""

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
        return await self.driver.upload_part(uri, upload_id, number, BytesBody(data), WriteOptions(**options))

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
        return await self.driver.complete_multipart_upload(
            self.root / key, upload_id, parts, WriteOptions(**options), checksum
        )


def opened_files(root: Path, **settings: object) -> Calls:
    """Open a directory, without flushing to the disk."""
    config = StorageConfig.build(f"file://{root}", {"sync": False, **settings})
    return Calls(local.open_driver(config), config.uri)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


class Broken(Body):
    """A body that says something else than it does."""

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
    """A body that stops in the middle for ever."""

    size = 10

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.closed = False

    async def chunks(self) -> AsyncIterator[BytesLike]:
        try:
            yield b"half "
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            self.closed = True


class Slow(Broken):
    """A body of several chunks, each of which takes a turn of the loop."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data), data)

    async def chunks(self) -> AsyncIterator[BytesLike]:
        for start in range(0, self.size, 3):
            await asyncio.sleep(0)
            yield self._data[start : start + 3]


def leftovers(root: Path) -> list[str]:
    """What is in the making, or half an upload."""
    hidden = root / ".asyncstore"
    return [name for part in ("tmp", "uploads") if (hidden / part).exists() for name in names_in(hidden / part)]

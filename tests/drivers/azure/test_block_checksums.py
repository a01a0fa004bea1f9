"""
Blobs made of blocks, whose replies have no checksum: the ids of the blocks have those of the blocks.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncstore import IntegrityError, Storage, open_storage
from asyncstore.checksum import compute
from asyncstore.drivers.azure.blocks import Block, new_upload_id
from asyncstore.options import ByteRange, DownloadOptions, MiB, ReadOptions
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import parse_uri
from tests.servers.scripted import Exchange, Scripted, reply, scripted

DATA: Final = os.urandom(3 * MiB + 7)
URI: Final = parse_uri("azure://container/key")
PARTS: Final = (2 * MiB, MiB, 7)


def ids(*, checksums: bool = True) -> list[str]:
    upload, start, names = new_upload_id(URI, 0), 0, []
    for number, size in enumerate(PARTS, 1):
        checksum = compute(ChecksumAlgorithm.CRC64NVME, DATA[start : start + size])
        names.append(Block(upload, number, checksum if checksums else None).id())
        start += size
    return names


@dataclass
class Blob:
    """
    One blob of blocks.

    Attributes:
        names: The ids of its blocks.
        sizes: Their sizes, as the list says.
        flip: The byte that arrives with a wrong bit.
        status: Of the reply to a request for the list.
        lists: Requests for the list.
    """

    names: Sequence[str]
    sizes: Sequence[int] = PARTS
    flip: int | None = None
    status: int = 200
    list_etag: str = '"0x1"'
    md5: str | None = None
    lists: list[str] = field(default_factory=list)

    async def __call__(self, exchange: Exchange) -> None:
        query = parse_qs(urlsplit(exchange.target).query)
        if "comp" in query:
            self.lists.append(exchange.target)
            await exchange.send(self._list())
            return
        data = bytearray(DATA)
        if self.flip is not None:
            data[self.flip] ^= 1
        headers = {"ETag": '"0x1"', "Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "x_ms_blob_type": "BlockBlob"}
        if (wanted := exchange.headers.get("x-ms-range")) is None:
            await exchange.send(reply(200, bytes(data), **headers))
            return
        start, _, end = wanted.removeprefix("bytes=").partition("-")
        piece = bytes(data[int(start) : int(end or len(data)) + 1])
        headers["Content_Range"] = f"bytes {start}-{int(start) + len(piece) - 1}/{len(data)}"
        await exchange.send(reply(206, piece, **headers))

    def _list(self) -> bytes:
        blocks = "".join(
            f"<Block><Name>{name}</Name><Size>{size}</Size></Block>"
            for name, size in zip(self.names, self.sizes, strict=True)
        )
        body = f"<BlockList><CommittedBlocks>{blocks}</CommittedBlocks></BlockList>".encode()
        return reply(self.status, body if self.status == 200 else b"", ETag=self.list_etag)


@asynccontextmanager
async def serving(blob: Blob, **settings: Any) -> AsyncIterator[tuple[Storage, Scripted]]:
    async with scripted(blob) as server:
        place = {"endpoint_url": f"{server.url}/acct", "account_key": "ZmFrZS1rZXk=", **settings}
        async with open_storage("azure://container", **place) as storage:
            yield storage, server


async def read_by(storage: Storage, way: str, folder: Path) -> bytes:
    target = storage.root / "key"
    if way == "read":
        return await storage.read(target)
    if way == "get":
        async with storage.get(target) as stream:
            return await stream.read()
    part_size = MiB if way == "ranges" else 16 * MiB
    await storage.download(target, folder / "file", options=DownloadOptions(part_size=part_size))
    return (folder / "file").read_bytes()


WAYS: Final = ("read", "get", "download", "ranges")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flip", [0, 2 * MiB, len(DATA) - 1])
async def test_wrong_bit(way: str, flip: int, tmp_path: Path) -> None:
    """
    A bit that arrives wrong is an error, however the blob is read, and leaves no file.
    """
    async with serving(Blob(ids(), flip=flip)) as (storage, _):
        with pytest.raises(IntegrityError):
            await read_by(storage, way, tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", WAYS)
async def test_right_bytes(way: str, tmp_path: Path) -> None:
    """
    The right bytes are returned, for one more request; with a budget of one request too.
    """
    blob = Blob(ids())
    async with serving(blob, max_requests=1) as (storage, _):
        assert await read_by(storage, way, tmp_path) == DATA

    assert blob.lists == ["/acct/container/key?blocklisttype=committed&comp=blocklist"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "blob",
    [
        Blob(["Zm9yZWlnbjE=", "Zm9yZWlnbjI=", "Zm9yZWlnbjM="]),
        Blob(ids(checksums=False)),
        Blob([], sizes=[]),
        Blob(ids(), status=403),
        Blob(ids(), status=404),
        Blob(ids(), list_etag='"0x2"'),
    ],
    ids=["foreign", "without checksums", "no blocks", "refused", "gone", "replaced"],
)
async def test_no_evidence(way: str, blob: Blob, tmp_path: Path) -> None:
    """
    A blob whose blocks say nothing, or may not be listed, is read all the same.
    """
    async with serving(blob) as (storage, _):
        assert await read_by(storage, way, tmp_path) == DATA


async def test_reads_that_need_no_list(tmp_path: Path) -> None:
    """
    Nothing more is asked for a part of a blob, or without verification.
    """
    blob = Blob(ids())
    async with serving(blob) as (storage, _):
        options = ReadOptions(range=ByteRange(0, 2 * MiB))
        assert await storage.read(storage.root / "key", options=options) == DATA[: 2 * MiB]
        assert await storage.read(storage.root / "key", options=ReadOptions(verify=False)) == DATA
        await storage.download(storage.root / "key", tmp_path / "file", options=DownloadOptions(verify=False))

    assert blob.lists == []

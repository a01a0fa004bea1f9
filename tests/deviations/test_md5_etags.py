"""
Objects without stored checksums, whose ETag is their MD5: it is compared, and what is no MD5 is not taken for one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from asyncstore import ByteRange, DownloadOptions, IntegrityError, MiB, ReadOptions, Storage
from asyncstore.config import StorageConfig
from asyncstore.drivers.s3 import open_driver
from asyncstore.types import Checksum, ChecksumAlgorithm
from tests.deviations.loose_s3 import LooseS3, loose_s3, md5

Read = Callable[[Storage, Path, ReadOptions], Awaitable[bytes]]


async def read(storage: Storage, folder: Path, options: ReadOptions) -> bytes:
    return await storage.read(storage.root / "k", options=options)


async def stream(storage: Storage, folder: Path, options: ReadOptions) -> bytes:
    async with storage.get(storage.root / "k", options=options) as opened:
        return b"".join([chunk async for chunk in opened])


async def download(storage: Storage, folder: Path, options: ReadOptions) -> bytes:
    wanted = DownloadOptions(verify=options.verify, range=options.range)
    await storage.download(storage.root / "k", folder / "file", options=wanted)
    return (folder / "file").read_bytes()


READS = [read, stream, download]


def spoilt(size: int = 1000, **deviations: object) -> LooseS3:
    """A server that sends other bytes than those that it names the MD5 of."""
    return LooseS3(checksums=False, etag=lambda _: md5(bytes(size)), objects={"k": b"x" * size}, **deviations)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("size", [1, 1000, 3 * MiB])
async def test_spoilt_bytes(how: Read, size: int, tmp_path: Path) -> None:
    """
    Every way of reading a whole object notices bytes that are not those of the ETag.
    """
    async with loose_s3(spoilt(size)) as storage:
        with pytest.raises(IntegrityError):
            await how(storage, tmp_path, ReadOptions())
        assert not (tmp_path / "file").exists()
        assert await how(storage, tmp_path, ReadOptions(verify=False)) == b"x" * size


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize(
    ("etag", "headers"),
    [
        ("0123456789abcdef0123456789abcdef-2", {}),
        ("0123456789abcdef0123456789abcdef", {"x-amz-server-side-encryption": "aws:kms"}),
        ("0123456789abcdef0123456789abcdef", {"x-amz-server-side-encryption": "aws:kms:dsse"}),
        ("0123456789abcdef0123456789abcdef", {"x-amz-server-side-encryption-customer-algorithm": "AES256"}),
        ("0123456789abcdef", {}),
        ("0123456789abcdef0123456789abcdefg", {}),
    ],
)
async def test_no_md5(how: Read, etag: str, headers: dict[str, str], tmp_path: Path) -> None:
    """
    The ETag of a multipart upload, of an encrypted object, or of another form is not compared.
    """
    server = LooseS3(checksums=False, etag=lambda _: etag, extra_headers=headers, objects={"k": b"x"})
    async with loose_s3(server) as storage:
        assert await how(storage, tmp_path, ReadOptions()) == b"x"
        assert (await storage.stat(storage.root / "k")).checksum is None


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("settings", [{"etag_is_md5": False}, {"verify_checksums": False}])
async def test_settings(how: Read, settings: dict[str, bool], tmp_path: Path) -> None:
    """
    Each of two settings turns the comparison off.
    """
    async with loose_s3(spoilt(), **settings) as storage:
        assert await how(storage, tmp_path, ReadOptions()) == b"x" * 1000


async def test_a_range_is_not_compared(tmp_path: Path) -> None:
    """
    A part of an object has no MD5.
    """
    async with loose_s3(spoilt()) as storage:
        assert await storage.read(storage.root / "k", options=ReadOptions(range=ByteRange(0, 3))) == b"xxx"


@pytest.mark.parametrize("how", READS)
async def test_stored_checksum_comes_first(how: Read, tmp_path: Path) -> None:
    """
    Where a checksum is stored, the ETag does not matter.
    """
    server = LooseS3(etag=lambda _: md5(b"other"), objects={"k": b"x"})
    async with loose_s3(server) as storage:
        assert await how(storage, tmp_path, ReadOptions()) == b"x"


async def test_metadata_has_it() -> None:
    """
    The MD5 is the checksum of an object that has no other.
    """
    async with loose_s3(LooseS3(checksums=False, objects={"k": b"x"})) as storage:
        found = (await storage.stat(storage.root / "k")).checksum
    assert found == Checksum(ChecksumAlgorithm.MD5, bytes.fromhex(md5(b"x")))


@pytest.mark.parametrize("size", [1, 2 * MiB])
async def test_other_etags_are_learnt_from_a_write(size: int) -> None:
    """
    An endpoint whose ETags only look like MD5s shows that in the reply to the first write: they are never compared.
    """
    server = LooseS3(checksums=False, etag=lambda data: md5(data + b"salt"))
    async with loose_s3(server) as storage:
        await storage.put(storage.root / "k", b"x" * size)
        assert await storage.read(storage.root / "k") == b"x" * size
        assert not storage.capabilities.etag_is_md5
        assert "ETags that are MD5s" in storage.describe()["narrowed"]


async def test_write_that_differs_later() -> None:
    """
    Once a write has shown that ETags are MD5s, another one in a later reply is an error.
    """
    server = LooseS3(checksums=False)
    async with loose_s3(server) as storage:
        await storage.put(storage.root / "k", b"x")
        server.etag = lambda _: md5(b"other")
        with pytest.raises(IntegrityError):
            await storage.put(storage.root / "k", b"x")


@pytest.mark.parametrize("bucket", ["models--use1-az4--x-s3", "lambda--ol-s3"])
def test_buckets_of_other_kinds(bucket: str) -> None:
    """
    The ETags of directory buckets, and of what an Object Lambda answers, are not MD5s.
    """
    driver = open_driver(StorageConfig.build(f"s3://{bucket}", {"anonymous": True}))
    assert not driver.capabilities.etag_is_md5

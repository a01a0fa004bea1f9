"""
Objects opened as asynchronous files.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import random
from collections.abc import Callable
from typing import Final

import pytest

from asyncstore.errors import AlreadyExistsError, NotFoundError, PermissionDeniedError, SourceChangedError
from asyncstore.options import KiB, MiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, is_idle, keys_of, requires, unfinished_uploads
from asyncstore.testing.conformance.interrupts import INTERRUPTS, Interrupt
from asyncstore.testing.conformance.payloads import SIZES, payload
from asyncstore.testing.faults import FaultyDriver

_LINES: Final = b"first\n\nthird, longer\r\nlast"

_interrupted = pytest.mark.parametrize("interrupt", INTERRUPTS.values(), ids=INTERRUPTS)


class OpenedFiles(Harness):
    """
    Files that read one version of an object, and files that write it completely or not at all.
    """

    async def test_file_reads_like_any_file(self, faulty: Storage, faults: FaultyDriver, storage: Storage) -> None:
        """
        Any sequence of reads and seeks returns what a file in memory returns.
        """
        data = payload(2 * MiB + 5)
        await storage.put(storage.root / "key", data)
        model, choose = io.BytesIO(data), random.Random(7)  # noqa: S311 - not for secrets

        async with faulty.open(faulty.root / "key", read_ahead=256 * KiB, cache_size=MiB) as file:
            assert (file.size, file.info.key) == (len(data), (storage.root / "key").key)
            for _ in range(40):
                if choose.random() < 0.4:
                    offset = choose.randrange(3 * MiB)
                    assert await file.seek(offset) == model.seek(offset)
                size = choose.choice([0, 1, 1000, 65_536, 300_000])
                assert await file.read(size) == model.read(size)
                assert await file.tell() == model.tell()
            assert await file.seek(-5, os.SEEK_END) == model.seek(-5, os.SEEK_END)
            assert await file.read() == model.read()
            assert await file.read(1) == b""

        assert is_idle(faulty, faults)

    async def test_lines_of_a_file(self, storage: Storage) -> None:
        """
        Lines keep their ends, and are the same in bytes and in text.
        """
        await storage.put(storage.root / "key", _LINES)

        async with storage.open(storage.root / "key") as file:
            assert [line async for line in file] == _LINES.splitlines(keepends=True)
        async with storage.open(storage.root / "key", "r", newline="") as text:
            assert [line async for line in text] == _LINES.decode().splitlines(keepends=True)

    async def test_empty_object_as_a_file(self, storage: Storage) -> None:
        """
        A file in which nothing is written makes an empty object.
        """
        async with storage.open(storage.root / "key", "wb"):
            pass
        async with storage.open(storage.root / "key") as file:
            assert await file.read() == b""
            assert [line async for line in file] == []

    async def test_file_of_a_missing_object(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A missing object is an error when the file is opened.
        """
        with pytest.raises(NotFoundError):
            await faulty.open(faulty.root / "missing")
        assert is_idle(faulty, faults)

    async def test_object_replaced_while_its_file_is_open(self, storage: Storage) -> None:
        """
        A file never returns bytes of two versions.
        """
        await storage.put(storage.root / "key", payload(1000))

        async with storage.open(storage.root / "key") as file:
            assert await file.read(10) == payload(1000)[:10]
            await storage.put(storage.root / "key", payload(1000, seed=1))
            with pytest.raises((SourceChangedError, NotFoundError)):
                await file.read(10)
            assert await file.tell() == 10

    @pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
    async def test_file_is_written(self, storage: Storage, size: Callable[[int], int]) -> None:
        """
        The object has what was written, in pieces of any size, and the file knows it.
        """
        data = payload(size(self.part_size(storage)))
        options = self.multipart_options(storage)

        async with storage.open(storage.root / "key", "wb", options=options) as file:
            at = 0
            for step in (1, 1000, 300_000, len(data)):
                at += await file.write(data[at : at + step])
            assert (at, await file.tell()) == (len(data), len(data))

        assert await storage.read(storage.root / "key") == data
        assert file.info is not None
        assert (file.info.size, file.info.etag) == (len(data), (await storage.stat(storage.root / "key")).etag)

    @pytest.mark.parametrize("size", ["one-byte", "two-parts-and-more"])
    async def test_exception_publishes_nothing(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, size: str
    ) -> None:
        """
        An exception in the block leaves the old object and no upload.
        """
        await storage.put(storage.root / "key", b"old")
        data = payload(SIZES[size](self.part_size(storage)))

        async def write() -> None:
            async with faulty.open(faulty.root / "key", "wb", options=self.multipart_options(storage)) as file:
                await file.write(data)
                raise KeyError("in the block")

        with pytest.raises(KeyError, match="in the block"):
            await write()

        assert await storage.read(storage.root / "key") == b"old"
        assert await unfinished_uploads(storage) == []
        assert is_idle(faulty, faults)

    @pytest.mark.parametrize("place", ["upload_part", "write", "complete_multipart_upload"])
    @requires("multipart")
    @_interrupted
    async def test_cancelled_file(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, place: str, interrupt: Interrupt
    ) -> None:
        """
        A cancellation, while the upload is under way or completes, leaves the old object and no upload.
        """
        await storage.put(storage.root / "key", b"old")
        stop = faults.hang(place)

        async def write() -> None:
            async with faulty.open(faulty.root / "key", "wb", options=self.multipart_options(storage)) as file:
                await file.write(self.two_parts(storage))

        await interrupt(write(), stop)

        assert await storage.read(storage.root / "key") == b"old"
        assert await unfinished_uploads(storage) == []
        assert is_idle(faulty, faults)

    @_interrupted
    async def test_cancelled_read_of_a_file(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        A cancelled read releases its connections, and those that read ahead.
        """
        await storage.put(storage.root / "key", payload(3 * MiB))
        stop = faults.hang("read", after=2, times=None)

        async def read() -> None:
            async with faulty.open(faulty.root / "key") as file:
                while await file.read(65_536):
                    pass

        await interrupt(read(), stop)

        assert is_idle(faulty, faults)

    async def test_upload_that_fails(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        The error of the upload is raised in the block or at its end, and nothing is published.
        """
        part = self.part_size(storage)
        faults.fail("upload_part" if storage.capabilities.multipart else "put", PermissionDeniedError("no"), times=None)

        async def write() -> None:
            async with faulty.open(faulty.root / "key", "wb", options=self.multipart_options(storage)) as file:
                for _ in range(3):
                    await file.write(payload(part))

        with pytest.raises(PermissionDeniedError):
            await write()

        assert await keys_of(storage) == []
        assert await unfinished_uploads(storage) == []
        assert is_idle(faulty, faults)

    @requires("conditional_create")
    async def test_exclusive_creation(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        ``"xb"`` creates an object, and refuses one that exists: when it is opened, or when it is closed.
        """
        async with storage.open(storage.root / "key", "xb") as file:
            await file.write(b"first")
        with pytest.raises(AlreadyExistsError):
            await faulty.open(faulty.root / "key", "xb")
        assert faults.calls["put"] == 0

        async with storage.open(storage.root / "other", "xb") as file:
            await file.write(b"second")
            await storage.put(storage.root / "other", b"faster")
            with pytest.raises(AlreadyExistsError):
                await file.close()

        assert await storage.read(storage.root / "key") == b"first"
        assert await storage.read(storage.root / "other") == b"faster"

    @requires("metadata")
    async def test_options_of_a_file(self, storage: Storage) -> None:
        """
        What is stored with an object is given as for any write.
        """
        options = UploadOptions(metadata={"owner": "ada"})
        async with storage.open(storage.root / "key", "wb", options=options) as file:
            await file.write(b"data")

        assert (await storage.stat(storage.root / "key")).metadata == {"owner": "ada"}

    @pytest.mark.parametrize("mode", ["b", "t"])
    async def test_compressed_file(self, storage: Storage, mode: str) -> None:
        """
        What is written with ``compression="gzip"`` is gzip, and is read back.
        """
        text = "zeile ä\n" * 50_000
        if mode == "t":
            async with storage.open(storage.root / "key", "w", compression="gzip") as file:
                await file.write(text)
            async with storage.open(storage.root / "key", "r", compression="gzip") as back:
                assert await back.read() == text
        else:
            async with storage.open(storage.root / "key", "wb", compression="gzip") as packed:
                await packed.write(text.encode())
            async with storage.open(storage.root / "key", "rb", compression="gzip") as unpacked:
                assert await unpacked.read() == text.encode()

        stored = await storage.read(storage.root / "key")
        assert await asyncio.to_thread(gzip.decompress, stored) == text.encode()

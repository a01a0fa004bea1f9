"""
Conditional reads, writes, copies and deletions.
"""

from __future__ import annotations

import asyncio
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from asyncstore.errors import (
    AlreadyExistsError,
    NotModifiedError,
    PreconditionFailedError,
)
from asyncstore.options import ByteRange, CopyOptions, DeleteOptions, DownloadOptions, ReadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, requires, tagged, unfinished_uploads

_HOUR: Final = timedelta(hours=1)
_OTHER: Final = "00000000000000000000000000000000"
_WAYS: Final = ("read", "get", "stat", "read_ranges", "download")


class Conditions(Harness):
    """
    If a condition does not hold, nothing changes.
    """

    @requires("conditional_read")
    @pytest.mark.parametrize("way", _WAYS)
    async def test_read_if_match(self, storage: Storage, way: str) -> None:
        """
        A read succeeds if the object still has the given ETag, and fails otherwise.
        """
        info = await storage.put(storage.root / "key", b"data")

        await self._check_read(storage, way, ReadOptions(if_match=info.etag))
        with pytest.raises(PreconditionFailedError):
            await self._check_read(storage, way, ReadOptions(if_match=_OTHER))

    @requires("conditional_read")
    @pytest.mark.parametrize("way", _WAYS)
    async def test_read_if_none_match(self, storage: Storage, way: str) -> None:
        """
        A read of an object whose ETag the caller already has raises NotModifiedError.
        """
        info = await storage.put(storage.root / "key", b"data")

        await self._check_read(storage, way, ReadOptions(if_none_match=_OTHER))
        with pytest.raises(NotModifiedError):
            await self._check_read(storage, way, ReadOptions(if_none_match=info.etag))

    @requires("conditional_read")
    @pytest.mark.parametrize("way", _WAYS)
    async def test_read_if_modified_since(self, storage: Storage, way: str) -> None:
        """
        A read succeeds if the object was modified after the given time.
        """
        await storage.put(storage.root / "key", b"data")
        written = (await storage.stat(storage.root / "key")).last_modified
        assert written is not None

        await self._check_read(storage, way, ReadOptions(if_modified_since=written - _HOUR))
        with pytest.raises(NotModifiedError):
            await self._check_read(storage, way, ReadOptions(if_modified_since=written))

    @requires("conditional_read")
    @pytest.mark.parametrize("way", _WAYS)
    async def test_read_if_unmodified_since(self, storage: Storage, way: str) -> None:
        """
        A read succeeds if the object was not modified after the given time.
        """
        await storage.put(storage.root / "key", b"data")
        written = (await storage.stat(storage.root / "key")).last_modified
        assert written is not None

        await self._check_read(storage, way, ReadOptions(if_unmodified_since=written))
        with pytest.raises(PreconditionFailedError):
            await self._check_read(storage, way, ReadOptions(if_unmodified_since=written - _HOUR))

    @requires("conditional_create")
    @pytest.mark.parametrize("multipart", [False, True], ids=["single", "multipart"])
    async def test_create_only(self, storage: Storage, multipart: bool) -> None:
        """
        A create-only write succeeds if no object exists, also after a deletion, and fails otherwise.
        """
        data = self._small_or_large(storage, multipart)
        create = self.multipart_options(storage, if_none_match="*")

        await storage.put(storage.root / "key", data, options=create)
        with pytest.raises(AlreadyExistsError):
            await storage.put(storage.root / "key", data[::-1], options=create)
        kept = await storage.read(storage.root / "key")
        await storage.delete(storage.root / "key")
        await storage.put(storage.root / "key", data[::-1], options=create)

        assert kept == data
        assert await storage.read(storage.root / "key") == data[::-1]
        assert await unfinished_uploads(storage) == []

    @requires("conditional_replace")
    @pytest.mark.parametrize("multipart", [False, True], ids=["single", "multipart"])
    async def test_compare_and_swap(self, storage: Storage, multipart: bool) -> None:
        """
        A write with the current ETag replaces the object; one with an older ETag fails.
        """
        data = self._small_or_large(storage, multipart)
        old = await storage.put(storage.root / "key", b"old")

        await storage.put(storage.root / "key", data, options=self.multipart_options(storage, if_match=old.etag))
        with pytest.raises(PreconditionFailedError) as failure:
            await storage.put(
                storage.root / "key", data[::-1], options=self.multipart_options(storage, if_match=old.etag)
            )

        assert not isinstance(failure.value, AlreadyExistsError)
        assert await storage.read(storage.root / "key") == data
        assert await unfinished_uploads(storage) == []

    @requires("conditional_replace")
    @tagged("if-match-absent")
    @pytest.mark.parametrize("multipart", [False, True], ids=["single", "multipart"])
    async def test_compare_and_swap_of_nothing(self, storage: Storage, multipart: bool) -> None:
        """
        A missing object matches no ETag, so the write fails and creates nothing.
        """
        options = self.multipart_options(storage, if_match=_OTHER)

        with pytest.raises(PreconditionFailedError):
            await storage.put(storage.root / "key", self._small_or_large(storage, multipart), options=options)

        assert not await storage.exists(storage.root / "key")
        assert await unfinished_uploads(storage) == []

    @requires("conditional_delete")
    async def test_delete_if_match(self, storage: Storage) -> None:
        """
        An object is deleted only if it still has the given ETag.
        """
        info = await storage.put(storage.root / "key", b"data")

        with pytest.raises(PreconditionFailedError):
            await storage.delete(storage.root / "key", options=DeleteOptions(if_match=_OTHER))
        kept = await storage.exists(storage.root / "key")
        await storage.delete(storage.root / "key", options=DeleteOptions(if_match=info.etag))

        assert kept
        assert not await storage.exists(storage.root / "key")

    @requires("copy", "conditional_copy")
    async def test_copy_if_none_match(self, storage: Storage) -> None:
        """
        A create-only copy does not replace an existing object, which the error names.
        """
        await storage.put(storage.root / "source", b"new")
        await storage.put(storage.root / "there", b"old")
        options = CopyOptions(if_none_match="*")

        await storage.copy(storage.root / "source", storage.root / "free", options=options)
        with pytest.raises(AlreadyExistsError) as failure:
            await storage.copy(storage.root / "source", storage.root / "there", options=options)

        assert failure.value.uri == str(storage.root / "there")
        assert await storage.read(storage.root / "free") == b"new"
        assert await storage.read(storage.root / "there") == b"old"

    @requires("copy", "conditional_copy")
    async def test_copy_if_match(self, storage: Storage) -> None:
        """
        A copy with a target ETag replaces only that version of the target.
        """
        await storage.put(storage.root / "source", b"new")
        target = await storage.put(storage.root / "target", b"old")

        with pytest.raises(PreconditionFailedError):
            await storage.copy(storage.root / "source", storage.root / "target", options=CopyOptions(if_match=_OTHER))
        kept = await storage.read(storage.root / "target")
        await storage.copy(storage.root / "source", storage.root / "target", options=CopyOptions(if_match=target.etag))

        assert kept == b"old"
        assert await storage.read(storage.root / "target") == b"new"

    @requires("copy")
    async def test_copy_if_source_matches(self, storage: Storage) -> None:
        """
        A copy with a source ETag copies only that version of the source.
        """
        source = await storage.put(storage.root / "source", b"data")

        with pytest.raises(PreconditionFailedError):
            await storage.copy(
                storage.root / "source", storage.root / "target", options=CopyOptions(source_if_match=_OTHER)
            )
        absent = not await storage.exists(storage.root / "target")
        await storage.copy(
            storage.root / "source", storage.root / "target", options=CopyOptions(source_if_match=source.etag)
        )

        assert absent
        assert await storage.read(storage.root / "target") == b"data"

    @requires("conditional_create")
    @tagged("create-only-race")
    async def test_one_of_many_creators_wins(self, storage: Storage) -> None:
        """
        Of sixteen concurrent create-only writes one succeeds, the others fail, and its bytes are stored.
        """
        create = UploadOptions(if_none_match="*")

        async def attempt(number: int) -> bytes | None:
            data = f"writer {number}".encode()
            try:
                await storage.put(storage.root / "key", data, options=create)
            except AlreadyExistsError:
                return None
            return data

        tasks = [asyncio.ensure_future(attempt(number)) for number in range(16)]
        winners = [data for data in [await task for task in tasks] if data is not None]

        assert len(winners) == 1
        assert await storage.read(storage.root / "key") == winners[0]

    @requires("conditional_replace")
    async def test_no_increment_is_lost(self, storage: Storage) -> None:
        """
        Five workers that each add one ten times by compare-and-swap reach fifty.
        """
        await storage.put(storage.root / "counter", b"0")

        async def increment() -> None:
            while True:
                async with storage.get(storage.root / "counter") as stream:
                    value = int(await stream.read())
                    options = UploadOptions(if_match=stream.info.etag)
                try:
                    await storage.put(storage.root / "counter", str(value + 1).encode(), options=options)
                except PreconditionFailedError:
                    continue
                return

        async def worker() -> None:
            for _ in range(10):
                await increment()

        for task in [asyncio.ensure_future(worker()) for _ in range(5)]:
            await task

        assert await storage.read(storage.root / "counter") == b"50"

    def _small_or_large(self, storage: Storage, multipart: bool) -> bytes:
        return self.two_parts(storage) if multipart and storage.capabilities.multipart else b"small"

    async def _check_read(self, storage: Storage, way: str, options: ReadOptions) -> None:
        target = storage.root / "key"
        if way == "stat":
            assert (await storage.stat(target, options=options)).size == 4
        elif way == "read":
            assert await storage.read(target, options=options) == b"data"
        elif way == "read_ranges":
            assert await storage.read_ranges(target, [ByteRange(0, 2), ByteRange(2)], options=options) == [b"da", b"ta"]
        elif way == "download":
            with TemporaryDirectory() as folder:
                conditions = {item.name: getattr(options, item.name) for item in fields(ReadOptions)}
                await storage.download(target, Path(folder, "file"), options=DownloadOptions(**conditions))
                assert Path(folder, "file").read_bytes() == b"data"
        else:
            async with storage.get(target, options=options) as stream:
                assert await stream.read() == b"data"

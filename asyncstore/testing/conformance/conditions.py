"""
Group F: reading, writing, copying and deleting under conditions.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import pytest

from asyncstore.errors import (
    AlreadyExistsError,
    NotModifiedError,
    PreconditionFailedError,
)
from asyncstore.options import CopyOptions, DeleteOptions, ReadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, requires, tagged, unfinished

_HOUR: Final = timedelta(hours=1)
_OTHER: Final = "00000000000000000000000000000000"
_WAYS: Final = ("read", "get", "stat")


class Conditions(Harness):
    """
    Conditions hold or nothing happens.
    """

    @requires("conditional_read")
    @pytest.mark.parametrize("way", _WAYS)
    async def test_read_if_match(self, storage: Storage, way: str) -> None:
        """
        An object is read if it still has the ETag asked for, else the read fails.
        """
        info = await storage.put(storage.root / "key", b"data")

        await self._seen(storage, way, ReadOptions(if_match=info.etag))
        with pytest.raises(PreconditionFailedError):
            await self._seen(storage, way, ReadOptions(if_match=_OTHER))

    @requires("conditional_read")
    @pytest.mark.parametrize("way", _WAYS)
    async def test_read_if_none_match(self, storage: Storage, way: str) -> None:
        """
        A caller who has the object already is told so.
        """
        info = await storage.put(storage.root / "key", b"data")

        await self._seen(storage, way, ReadOptions(if_none_match=_OTHER))
        with pytest.raises(NotModifiedError):
            await self._seen(storage, way, ReadOptions(if_none_match=info.etag))

    @requires("conditional_read")
    @pytest.mark.parametrize("way", _WAYS)
    async def test_read_if_modified_since(self, storage: Storage, way: str) -> None:
        """
        An object is read if it was written after the moment given.
        """
        await storage.put(storage.root / "key", b"data")
        written = (await storage.stat(storage.root / "key")).last_modified
        assert written is not None

        await self._seen(storage, way, ReadOptions(if_modified_since=written - _HOUR))
        with pytest.raises(NotModifiedError):
            await self._seen(storage, way, ReadOptions(if_modified_since=written))

    @requires("conditional_read")
    @pytest.mark.parametrize("way", _WAYS)
    async def test_read_if_unmodified_since(self, storage: Storage, way: str) -> None:
        """
        An object is read if it was not written after the moment given.
        """
        await storage.put(storage.root / "key", b"data")
        written = (await storage.stat(storage.root / "key")).last_modified
        assert written is not None

        await self._seen(storage, way, ReadOptions(if_unmodified_since=written))
        with pytest.raises(PreconditionFailedError):
            await self._seen(storage, way, ReadOptions(if_unmodified_since=written - _HOUR))

    @requires("conditional_create")
    @pytest.mark.parametrize("by_parts", [False, True], ids=["single", "multipart"])
    async def test_create_only(self, storage: Storage, by_parts: bool) -> None:
        """
        Creating writes where nothing is, fails where something is, and writes again after a deletion.
        """
        data = self._small_or_large(storage, by_parts)
        create = self.by_parts(storage, if_none_match="*")

        await storage.put(storage.root / "key", data, options=create)
        with pytest.raises(AlreadyExistsError):
            await storage.put(storage.root / "key", data[::-1], options=create)
        kept = await storage.read(storage.root / "key")
        await storage.delete(storage.root / "key")
        await storage.put(storage.root / "key", data[::-1], options=create)

        assert kept == data
        assert await storage.read(storage.root / "key") == data[::-1]
        assert await unfinished(storage) == []

    @requires("conditional_replace")
    @pytest.mark.parametrize("by_parts", [False, True], ids=["single", "multipart"])
    async def test_compare_and_swap(self, storage: Storage, by_parts: bool) -> None:
        """
        A write that names the ETag of the object replaces it; one that names an older one does not.
        """
        data = self._small_or_large(storage, by_parts)
        old = await storage.put(storage.root / "key", b"old")

        await storage.put(storage.root / "key", data, options=self.by_parts(storage, if_match=old.etag))
        with pytest.raises(PreconditionFailedError) as failure:
            await storage.put(storage.root / "key", data[::-1], options=self.by_parts(storage, if_match=old.etag))

        assert not isinstance(failure.value, AlreadyExistsError)
        assert await storage.read(storage.root / "key") == data
        assert await unfinished(storage) == []

    @requires("conditional_replace")
    @tagged("if-match-absent")
    @pytest.mark.parametrize("by_parts", [False, True], ids=["single", "multipart"])
    async def test_compare_and_swap_of_nothing(self, storage: Storage, by_parts: bool) -> None:
        """
        What is not there has no ETag, so the condition does not hold, and nothing is created.
        """
        options = self.by_parts(storage, if_match=_OTHER)

        with pytest.raises(PreconditionFailedError):
            await storage.put(storage.root / "key", self._small_or_large(storage, by_parts), options=options)

        assert not await storage.exists(storage.root / "key")
        assert await unfinished(storage) == []

    @requires("conditional_delete")
    async def test_delete_if_match(self, storage: Storage) -> None:
        """
        An object is deleted if it still has the ETag asked for.
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
        A copy can be told not to replace anything.
        """
        await storage.put(storage.root / "source", b"new")
        await storage.put(storage.root / "there", b"old")
        options = CopyOptions(if_none_match="*")

        await storage.copy(storage.root / "source", storage.root / "free", options=options)
        with pytest.raises(AlreadyExistsError):
            await storage.copy(storage.root / "source", storage.root / "there", options=options)

        assert await storage.read(storage.root / "free") == b"new"
        assert await storage.read(storage.root / "there") == b"old"

    @requires("copy", "conditional_copy")
    async def test_copy_if_match(self, storage: Storage) -> None:
        """
        A copy can be told to replace one version of the target only.
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
        A copy can be told to take one version of the source only.
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
    async def test_one_of_many_creates(self, storage: Storage) -> None:
        """
        Of sixteen who create at once, one wins, the others are told, and the object is the winner's.
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
        Five workers that add one ten times each, by compare-and-swap, make fifty.
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

    def _small_or_large(self, storage: Storage, by_parts: bool) -> bytes:
        return self.two_parts(storage) if by_parts and storage.capabilities.multipart else b"small"

    async def _seen(self, storage: Storage, way: str, options: ReadOptions) -> None:
        target = storage.root / "key"
        if way == "stat":
            assert (await storage.stat(target, options=options)).size == 4
        elif way == "read":
            assert await storage.read(target, options=options) == b"data"
        else:
            async with storage.get(target, options=options) as stream:
                assert await stream.read() == b"data"

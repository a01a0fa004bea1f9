"""
Writing: every type of source, and every size at which the engine changes its strategy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from asyncstore.options import MiB
from asyncstore.protocols import DataLike
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, requires, unfinished_uploads
from asyncstore.testing.conformance.payloads import (
    BROKEN,
    SHAPES,
    SIZES,
    BrokenSourceError,
    async_chunks,
    payload,
)
from asyncstore.types import ChecksumAlgorithm


class Objects(Harness):
    """
    What :meth:`Storage.put` promises.
    """

    @pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
    @pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
    async def test_put(self, storage: Storage, shape: Callable[[bytes], DataLike], size: Callable[[int], int]) -> None:
        """
        A read returns the bytes that were put, for every type and size of source.
        """
        data = payload(size(self.part_size(storage)))

        info = await storage.put(storage.root / "key", shape(data), options=self.multipart_options(storage))

        assert info.size == len(data)
        assert await storage.read(storage.root / "key") == data

    @pytest.mark.parametrize("size", ["empty", "one-byte", "two-parts-and-more"])
    async def test_reply_agrees_with_stat(self, storage: Storage, size: str) -> None:
        """
        A write returns the same size, ETag and version as a later stat.
        """
        data = payload(SIZES[size](self.part_size(storage)))

        info = await storage.put(storage.root / "key", data, options=self.multipart_options(storage))

        found = await storage.stat(storage.root / "key")
        assert (info.uri, info.size, info.etag) == (found.uri, found.size, found.etag)
        assert info.etag
        assert not info.is_prefix
        assert info.last_modified in (None, found.last_modified)
        assert info.version_id in (None, found.version_id)

    async def test_reply_agrees_with_listing(self, storage: Storage) -> None:
        """
        A listing has the same size, ETag and time as a stat.
        """
        await storage.put(storage.root / "key", b"12345")

        found = await storage.stat(storage.root / "key")
        (listed,) = [info async for info in storage.list()]

        assert (listed.uri, listed.size, listed.etag) == (found.uri, found.size, found.etag)
        assert listed.last_modified is not None
        assert found.last_modified is not None
        # HTTP headers have whole seconds, listings may have fractions.
        assert abs((listed.last_modified - found.last_modified).total_seconds()) < 1

    async def test_put_replaces(self, storage: Storage) -> None:
        """
        A second write replaces the first, with a new ETag and no earlier time.
        """
        await storage.put(storage.root / "key", b"a longer old one")
        old = await storage.stat(storage.root / "key")

        await storage.put(storage.root / "key", b"new")

        new = await storage.stat(storage.root / "key")
        assert await storage.read(storage.root / "key") == b"new"
        assert await keys_of(storage) == ["key"]
        assert new.etag != old.etag
        assert old.last_modified is not None
        assert new.last_modified is not None
        assert new.last_modified >= old.last_modified

    async def test_empty_replaces(self, storage: Storage) -> None:
        """
        An empty object can replace another, and exists.
        """
        await storage.put(storage.root / "key", b"old")
        await storage.put(storage.root / "key", b"")

        assert await storage.read(storage.root / "key") == b""
        assert await storage.exists(storage.root / "key")

    async def test_exists(self, storage: Storage) -> None:
        """
        An object exists from its write until its deletion.
        """
        before = await storage.exists(storage.root / "key")
        await storage.put(storage.root / "key", b"data")
        after = await storage.exists(storage.root / "key")
        await storage.delete(storage.root / "key")

        assert (before, after, await storage.exists(storage.root / "key")) == (False, True, False)

    @pytest.mark.parametrize(
        "data", ["text", Path("file"), None, 7, ["text"], [7]], ids=["str", "path", "none", "int", "strs", "ints"]
    )
    async def test_other_types_are_refused(self, storage: Storage, data: Any) -> None:
        """
        Text, paths and other types that are not bytes raise TypeError, and nothing is written.
        """
        with pytest.raises(TypeError):
            await storage.put(storage.root / "key", data)
        assert not await storage.exists(storage.root / "key")

    @pytest.mark.parametrize("size", ["one-byte", "two-parts-and-more"])
    @pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
    async def test_source_that_fails_writes_nothing(
        self, storage: Storage, source: Callable[[bytes], DataLike], size: str
    ) -> None:
        """
        If the caller's stream fails, its error is raised unchanged, and no object and no upload remain.
        """
        data = payload(SIZES[size](self.part_size(storage)))

        with pytest.raises(BrokenSourceError):
            await storage.put(storage.root / "key", source(data), options=self.multipart_options(storage))

        assert not await storage.exists(storage.root / "key")
        assert await unfinished_uploads(storage) == []

    @pytest.mark.parametrize("size", ["one-byte", "two-parts-and-more"])
    async def test_source_that_fails_keeps_the_old_object(self, storage: Storage, size: str) -> None:
        """
        If the caller's stream fails, the existing object is unchanged.
        """
        await storage.put(storage.root / "key", b"old")
        data = payload(SIZES[size](self.part_size(storage)))

        with pytest.raises(BrokenSourceError):
            await storage.put(
                storage.root / "key", BROKEN["async-iterator"](data), options=self.multipart_options(storage)
            )

        assert await storage.read(storage.root / "key") == b"old"

    async def test_text_in_a_stream_writes_nothing(self, storage: Storage) -> None:
        """
        A stream that yields text fails, even after it has yielded bytes.
        """
        chunks: Any = [payload(2 * MiB), "text"]

        with pytest.raises(TypeError):
            await storage.put(storage.root / "key", iter(chunks))
        assert not await storage.exists(storage.root / "key")

    async def test_source_may_be_reused_at_once(self, storage: Storage) -> None:
        """
        A buffer can be reused as soon as its write has returned.
        """
        buffer = bytearray(b"first")
        await storage.put(storage.root / "one", buffer)
        buffer[:] = b"other"
        await storage.put(storage.root / "two", buffer)

        assert await storage.read(storage.root / "one") == b"first"
        assert await storage.read(storage.root / "two") == b"other"

    @requires("multipart")
    async def test_nothing_is_seen_before_the_end(self, storage: Storage) -> None:
        """
        Until a stream is completely written, readers see the old object.
        """
        await storage.put(storage.root / "key", b"old")
        data = payload(2 * self.part_size(storage) + 7)
        seen: list[bytes] = []

        async def watched() -> AsyncGenerator[bytes, None]:
            async for chunk in async_chunks(data, (self.part_size(storage),)):
                yield chunk
                seen.append(await storage.read(storage.root / "key"))

        await storage.put(storage.root / "key", watched(), options=self.multipart_options(storage))

        assert set(seen) == {b"old"}
        assert await storage.read(storage.root / "key") == data

    @pytest.mark.parametrize("algorithm", list(ChecksumAlgorithm))
    @pytest.mark.parametrize("size", ["one-byte", "part-and-one"])
    async def test_checksum_of_choice(self, storage: Storage, algorithm: ChecksumAlgorithm, size: str) -> None:
        """
        A write can use each announced checksum algorithm.
        """
        if algorithm not in storage.capabilities.checksums:
            pytest.xfail(f"{storage.provider} does not announce {algorithm}")
        data = payload(SIZES[size](self.part_size(storage)))

        await storage.put(storage.root / "key", data, options=self.multipart_options(storage, checksum=algorithm))

        assert await storage.read(storage.root / "key") == data

    async def test_writers_of_one_key_do_not_mix(self, storage: Storage) -> None:
        """
        After concurrent writes to one key, the object is exactly one of them.
        """
        versions = [bytes([letter]) * 4096 for letter in range(8)]
        tasks = [asyncio.ensure_future(storage.put(storage.root / "key", data)) for data in versions]

        for task in tasks:
            await task

        assert await storage.read(storage.root / "key") in versions

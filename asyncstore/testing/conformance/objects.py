"""
Group C: writing, in every shape and at every size where the way of it changes.
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
from asyncstore.testing.conformance.harness import Harness, keys_of, requires, unfinished
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
        What was put is what is read, whatever its shape and size.
        """
        data = payload(size(self.part_size(storage)))

        info = await storage.put(storage.root / "key", shape(data), options=self.by_parts(storage))

        assert info.size == len(data)
        assert await storage.read(storage.root / "key") == data

    @pytest.mark.parametrize("size", ["empty", "one-byte", "two-parts-and-more"])
    async def test_reply_agrees_with_stat(self, storage: Storage, size: str) -> None:
        """
        What a write returns is what the object then says of itself.
        """
        data = payload(SIZES[size](self.part_size(storage)))

        info = await storage.put(storage.root / "key", data, options=self.by_parts(storage))

        found = await storage.stat(storage.root / "key")
        assert (info.uri, info.size, info.etag) == (found.uri, found.size, found.etag)
        assert info.etag
        assert not info.is_prefix
        assert info.last_modified in (None, found.last_modified)
        assert info.version_id in (None, found.version_id)

    async def test_reply_agrees_with_listing(self, storage: Storage) -> None:
        """
        A listing tells the same size, ETag and time as the object does.
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
        A second write takes the place of the first, with an ETag of its own, not earlier.
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
        An empty object is an object, also in the place of another.
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
        meanwhile = await storage.exists(storage.root / "key")
        await storage.delete(storage.root / "key")

        assert (before, meanwhile, await storage.exists(storage.root / "key")) == (False, True, False)

    @pytest.mark.parametrize(
        "data", ["text", Path("file"), None, 7, ["text"], [7]], ids=["str", "path", "none", "int", "strs", "ints"]
    )
    async def test_no_bytes_are_refused(self, storage: Storage, data: Any) -> None:
        """
        Text, paths and other things that are no bytes are the caller's mistake, and nothing is written.
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
        If the caller's stream fails, its error comes out as it is, and no object and no upload is left.
        """
        data = payload(SIZES[size](self.part_size(storage)))

        with pytest.raises(BrokenSourceError):
            await storage.put(storage.root / "key", source(data), options=self.by_parts(storage))

        assert not await storage.exists(storage.root / "key")
        assert await unfinished(storage) == []

    @pytest.mark.parametrize("size", ["one-byte", "two-parts-and-more"])
    async def test_source_that_fails_keeps_the_old_object(self, storage: Storage, size: str) -> None:
        """
        If the caller's stream fails, the object that was there is untouched.
        """
        await storage.put(storage.root / "key", b"old")
        data = payload(SIZES[size](self.part_size(storage)))

        with pytest.raises(BrokenSourceError):
            await storage.put(storage.root / "key", BROKEN["async-iterator"](data), options=self.by_parts(storage))

        assert await storage.read(storage.root / "key") == b"old"

    async def test_text_in_a_stream_writes_nothing(self, storage: Storage) -> None:
        """
        A stream that turns out to give text fails, after bytes too.
        """
        chunks: Any = [payload(2 * MiB), "text"]

        with pytest.raises(TypeError):
            await storage.put(storage.root / "key", iter(chunks))
        assert not await storage.exists(storage.root / "key")

    async def test_source_may_be_reused_at_once(self, storage: Storage) -> None:
        """
        A buffer may be filled anew when its write has returned.
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
        While a stream is written, readers see the old object; then the new one.
        """
        await storage.put(storage.root / "key", b"old")
        data = payload(2 * self.part_size(storage) + 7)
        seen: list[bytes] = []

        async def watched() -> AsyncGenerator[bytes, None]:
            async for chunk in async_chunks(data, (self.part_size(storage),)):
                yield chunk
                seen.append(await storage.read(storage.root / "key"))

        await storage.put(storage.root / "key", watched(), options=self.by_parts(storage))

        assert set(seen) == {b"old"}
        assert await storage.read(storage.root / "key") == data

    @pytest.mark.parametrize("algorithm", list(ChecksumAlgorithm))
    @pytest.mark.parametrize("size", ["one-byte", "part-and-one"])
    async def test_checksum_of_choice(self, storage: Storage, algorithm: ChecksumAlgorithm, size: str) -> None:
        """
        Each algorithm that is announced can be asked for.
        """
        if algorithm not in storage.capabilities.checksums:
            pytest.xfail(f"{storage.provider} does not announce {algorithm}")
        data = payload(SIZES[size](self.part_size(storage)))

        await storage.put(storage.root / "key", data, options=self.by_parts(storage, checksum=algorithm))

        assert await storage.read(storage.root / "key") == data

    async def test_writers_of_one_key_do_not_mix(self, storage: Storage) -> None:
        """
        Of several writes to one key at once, one is there in the end, whole.
        """
        versions = [bytes([letter]) * 4096 for letter in range(8)]
        tasks = [asyncio.ensure_future(storage.put(storage.root / "key", data)) for data in versions]

        for task in tasks:
            await task

        assert await storage.read(storage.root / "key") in versions

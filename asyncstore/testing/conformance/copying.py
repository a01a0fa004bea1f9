"""
Copies within one provider.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from asyncstore.errors import AlreadyExistsError, InvalidRequestError, NotFoundError, PreconditionFailedError
from asyncstore.options import CopyOptions, UploadOptions, WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, requires, tagged, unfinished_uploads
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver


class Copying(Harness):
    """
    Small and multipart copies, of one version of the source.
    """

    @requires("copy")
    async def test_copy(self, storage: Storage) -> None:
        """
        A copy has the bytes of its source, and the source is unchanged.
        """
        source = await storage.put(storage.root / "source", b"data")

        info = await storage.copy(storage.root / "source", storage.root / "a/copy")

        found = await storage.stat(storage.root / "a/copy")
        assert await storage.read(storage.root / "a/copy") == b"data"
        assert (info.uri, info.etag) == (found.uri, found.etag)
        assert (await storage.stat(storage.root / "source")).etag == source.etag

    @requires("copy")
    async def test_copy_replaces(self, storage: Storage) -> None:
        """
        A copy replaces an existing target.
        """
        await storage.put(storage.root / "source", b"new")
        await storage.put(storage.root / "target", b"a longer old one")

        await storage.copy(storage.root / "source", storage.root / "target")

        assert await storage.read(storage.root / "target") == b"new"

    @requires("copy")
    async def test_copy_of_an_empty_object(self, storage: Storage) -> None:
        """
        An empty object can be copied.
        """
        await storage.put(storage.root / "source", b"")

        await storage.copy(storage.root / "source", storage.root / "target")

        assert await storage.read(storage.root / "target") == b""

    @requires("copy")
    async def test_copy_of_nothing(self, storage: Storage) -> None:
        """
        The error names the missing source, and the target is unchanged.
        """
        await storage.put(storage.root / "target", b"old")

        with pytest.raises(NotFoundError) as failure:
            await storage.copy(storage.root / "missing", storage.root / "target")

        assert failure.value.uri == str(storage.root / "missing")
        assert await storage.read(storage.root / "target") == b"old"

    @requires("copy")
    async def test_copy_to_itself(self, storage: Storage) -> None:
        """
        A copy onto itself that changes nothing is refused, and the object stays.
        """
        await storage.put(storage.root / "key", b"data")

        with pytest.raises(InvalidRequestError):
            await storage.copy(storage.root / "key", storage.root / "key")
        assert await storage.read(storage.root / "key") == b"data"

    @requires("copy", "metadata")
    async def test_copy_to_itself_changes_attributes(self, storage: Storage) -> None:
        """
        A copy onto itself replaces the attributes of the object.
        """
        await storage.put(storage.root / "key", b"data", options=UploadOptions(metadata={"a": "1"}))
        new = CopyOptions(replace=WriteOptions(metadata={"b": "2"}))

        await storage.copy(storage.root / "key", storage.root / "key", options=new)

        assert await storage.read(storage.root / "key") == b"data"
        assert (await storage.stat(storage.root / "key")).metadata == {"b": "2"}

    @requires("copy")
    async def test_copy_of_one_version(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A copy fails if its source is replaced after it has started.
        """
        await storage.put(storage.root / "source", b"old")
        stop = faults.hang("copy")
        task = asyncio.ensure_future(faulty.copy(faulty.root / "source", faulty.root / "target"))
        await stop.reached()
        await storage.put(storage.root / "source", b"new")
        stop.release()

        with pytest.raises(PreconditionFailedError):
            await task
        assert await keys_of(storage) == ["source"]

    @requires("copy", "multipart", "copy_part", "metadata")
    async def test_large_copy(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        An object too large for one request is copied in parts, with its attributes.
        """
        part = self.part_size(storage)
        data = payload(part + 9)
        options = UploadOptions(content_type="image/png", metadata={"a": "1"})
        await storage.put(storage.root / "source", data, options=options)
        faults.capabilities = replace(faults.capabilities, max_copy_size=part)

        info = await faulty.copy(faulty.root / "source", faulty.root / "target", options=CopyOptions(part_size=part))

        found = await storage.stat(storage.root / "target")
        assert faults.calls["copy_part"] == 2
        assert await storage.read(storage.root / "target") == data
        assert (info.size, info.etag) == (len(data), found.etag)
        assert (found.content_type, found.metadata) == ("image/png", {"a": "1"})
        assert await unfinished_uploads(storage) == []

    @requires("copy", "multipart", "copy_part", "conditional_create", "conditional_copy")
    async def test_large_copy_to_an_existing_object(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver
    ) -> None:
        """
        A create-only multipart copy replaces nothing, names the target and leaves no upload.
        """
        part = self.part_size(storage)
        await storage.put(storage.root / "source", payload(part + 9))
        await storage.put(storage.root / "there", b"old")
        faults.capabilities = replace(faults.capabilities, max_copy_size=part)
        options = CopyOptions(part_size=part, if_none_match="*")

        with pytest.raises(AlreadyExistsError) as failure:
            await faulty.copy(faulty.root / "source", faulty.root / "there", options=options)

        assert failure.value.uri == str(storage.root / "there")
        assert await storage.read(storage.root / "there") == b"old"
        assert await unfinished_uploads(storage) == []

    @requires("copy", "multipart", "copy_part")
    @tagged("copy-part-condition")
    async def test_large_copy_of_one_version(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A multipart copy fails if its source is replaced between the parts, and leaves nothing.
        """
        part = self.part_size(storage)
        await storage.put(storage.root / "source", payload(part + 9))
        faults.capabilities = replace(faults.capabilities, max_copy_size=part)
        stop = faults.hang("copy_part", where=lambda call: call.number == 2)
        options = CopyOptions(part_size=part)
        task = asyncio.ensure_future(faulty.copy(faulty.root / "source", faulty.root / "target", options=options))
        await stop.reached()
        await storage.put(storage.root / "source", payload(part + 9, seed=1))
        stop.release()

        with pytest.raises(PreconditionFailedError):
            await task
        assert await keys_of(storage) == ["source"]
        assert await unfinished_uploads(storage) == []

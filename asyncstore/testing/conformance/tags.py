"""
Object tags, where the provider has them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from asyncstore.errors import InvalidRequestError, NotFoundError
from asyncstore.options import CopyOptions, WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, requires, tagged
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver

# Of the characters that every provider allows.
_ODD: Final = {"a b": "x + y", "k.e-y_1": "v=1:2/3"}


class Tags(Harness):
    """
    Tags belong to an object, and change without rewriting it.
    """

    @requires("tags")
    async def test_object_without_tags(self, storage: Storage) -> None:
        """
        A new object has no tags.
        """
        await storage.put(storage.root / "key", b"data")

        assert await storage.get_tags(storage.root / "key") == {}

    @requires("tags")
    async def test_tags_are_replaced_as_a_whole(self, storage: Storage) -> None:
        """
        A second set of tags replaces the first, and the object is unchanged.
        """
        written = await storage.put(storage.root / "key", b"data")

        await storage.set_tags(written.uri, {"team": "vision", "stage": "raw"})
        assert await storage.get_tags(written.uri) == {"team": "vision", "stage": "raw"}
        await storage.set_tags(written.uri, {"stage": "done"})

        assert await storage.get_tags(written.uri) == {"stage": "done"}
        assert await storage.read(written.uri) == b"data"
        assert (await storage.stat(written.uri)).etag == written.etag

    @requires("tags")
    async def test_tags_are_taken_away(self, storage: Storage) -> None:
        """
        Setting no tags removes all tags.
        """
        await storage.put(storage.root / "key", b"data")
        await storage.set_tags(storage.root / "key", {"stage": "raw"})

        await storage.set_tags(storage.root / "key", {})

        assert await storage.get_tags(storage.root / "key") == {}

    @requires("tags")
    async def test_tags_of_every_allowed_character(self, storage: Storage) -> None:
        """
        Spaces, punctuation and an empty value are returned unchanged.
        """
        tags = {"a b": "x + y", "k.e-y_1": "v=1:2/3", "empty": ""}
        await storage.put(storage.root / "key", b"data")

        await storage.set_tags(storage.root / "key", tags)

        assert await storage.get_tags(storage.root / "key") == tags

    @requires("tags", "copy")
    async def test_copy_keeps_tags(self, storage: Storage) -> None:
        """
        A copy has the tags of its source, if ``copy_keeps`` announces it.
        """
        if "tags" not in storage.capabilities.copy_keeps:
            pytest.xfail(f"{storage.provider} does not announce copy_keeps tags")
        await storage.put(storage.root / "key", b"data")
        await storage.set_tags(storage.root / "key", {"stage": "raw"})

        await storage.copy(storage.root / "key", storage.root / "copy")

        assert await storage.get_tags(storage.root / "copy") == {"stage": "raw"}

    @requires("tags")
    async def test_write_with_tags(self, storage: Storage) -> None:
        """
        An object can be written with tags, and another write has its own.
        """
        await storage.put("key", b"data", tags=_ODD)

        assert await storage.get_tags("key") == _ODD
        await storage.put("key", b"data", tags={"stage": "done"})
        assert await storage.get_tags("key") == {"stage": "done"}

    @requires("tags", "multipart")
    async def test_multipart_upload_with_tags(self, storage: Storage) -> None:
        """
        An object that is written in parts can have tags, too.
        """
        await storage.put("key", self.two_parts(storage), options=self.multipart_options(storage, tags=_ODD))

        assert await storage.get_tags("key") == _ODD

    @requires("tags", "copy")
    async def test_copy_with_other_tags(self, storage: Storage) -> None:
        """
        The tags of a copy can be chosen, whether its metadata is replaced or not; none is a choice, too.
        """
        await storage.put("key", b"data", metadata={"colour": "red"}, tags={"stage": "raw"})

        await storage.copy("key", "other", tags=_ODD)
        await storage.copy("key", "none", tags={})

        assert await storage.get_tags("other") == _ODD
        assert await storage.get_tags("none") == {}
        if storage.capabilities.copy_replace:
            await storage.copy("key", "replaced", tags=_ODD, replace=WriteOptions(metadata={"colour": "blue"}))
            assert await storage.get_tags("replaced") == _ODD
            assert (await storage.stat("replaced")).metadata == {"colour": "blue"}

    @requires("tags", "copy", "multipart", "copy_part")
    async def test_large_copy_with_other_tags(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        So can those of a multipart copy.
        """
        part = self.part_size(storage)
        await storage.put("key", payload(part + 9), tags={"stage": "raw"})
        faults.capabilities = replace(faults.capabilities, max_copy_size=part)

        result = await faulty.copy("key", "copy", tags=_ODD, part_size=part)

        assert result.not_kept == frozenset()
        assert await storage.get_tags("copy") == _ODD

    @requires("tags")
    async def test_too_many_tags_of_a_write(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        More tags than announced are refused before any request.
        """
        tags = {f"key{number}": "" for number in range(faulty.capabilities.tags + 1)}
        with pytest.raises(InvalidRequestError):
            await faulty.put("key", b"data", tags=tags)
        with pytest.raises(InvalidRequestError):
            await faulty.copy("key", "copy", tags=tags)
        assert not faults.calls

    @requires("tags", "copy", "multipart", "copy_part")
    async def test_large_copy_keeps_tags(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A multipart copy has the tags of its source.
        """
        part = self.part_size(storage)
        await storage.put(storage.root / "key", payload(part + 9))
        await storage.set_tags(storage.root / "key", {"stage": "raw"})
        faults.capabilities = replace(faults.capabilities, max_copy_size=part)

        result = await faulty.copy(faulty.root / "key", faulty.root / "copy", options=CopyOptions(part_size=part))

        assert result.not_kept == frozenset()
        assert await storage.get_tags(storage.root / "copy") == {"stage": "raw"}

    @requires("tags")
    @tagged("tags-until-overwritten")
    async def test_overwritten_object_has_no_tags(self, storage: Storage) -> None:
        """
        Overwriting an object removes its tags.
        """
        await storage.put(storage.root / "key", b"data")
        await storage.set_tags(storage.root / "key", {"stage": "raw"})

        await storage.put(storage.root / "key", b"other")

        assert await storage.get_tags(storage.root / "key") == {}

    @requires("tags")
    async def test_tags_of_no_object(self, storage: Storage) -> None:
        """
        Reading or setting tags of a missing object raises NotFoundError.
        """
        with pytest.raises(NotFoundError):
            await storage.get_tags(storage.root / "missing")
        with pytest.raises(NotFoundError):
            await storage.set_tags(storage.root / "missing", {"stage": "raw"})

    @requires("tags")
    async def test_tags_up_to_the_limit(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        The announced number of tags is stored; one more is refused before any request.
        """
        tags = {f"key{number}": str(number) for number in range(storage.capabilities.tags)}
        await storage.put(storage.root / "key", b"data")

        await storage.set_tags(storage.root / "key", tags)

        assert await storage.get_tags(storage.root / "key") == tags
        with pytest.raises(InvalidRequestError):
            await faulty.set_tags(storage.root / "key", {**tags, "more": "1"})
        assert not faults.calls

    @requires("tags")
    @pytest.mark.parametrize("tags", [{"": "value"}, {"key": 1}, {1: "value"}], ids=["no-key", "number", "number-key"])
    async def test_invalid_tag_is_refused(self, faulty: Storage, faults: FaultyDriver, tags: dict[str, str]) -> None:
        """
        An empty key, or a key or value that is not text, is refused before any request.
        """
        with pytest.raises(InvalidRequestError):
            await faulty.set_tags(faulty.root / "key", tags)
        assert not faults.calls

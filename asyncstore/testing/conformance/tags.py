"""
Group H, continued: tags, where objects have them.
"""

from __future__ import annotations

import pytest

from asyncstore.errors import InvalidRequestError, NotFoundError
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, requires, tagged
from asyncstore.testing.faults import FaultyDriver


class Tags(Harness):
    """
    Tags belong to an object, and are changed without writing it again.
    """

    @requires("tags")
    async def test_object_without_tags(self, storage: Storage) -> None:
        """
        An object that was given no tags has none.
        """
        await storage.put(storage.root / "key", b"data")

        assert await storage.get_tags(storage.root / "key") == {}

    @requires("tags")
    async def test_tags_are_replaced_as_a_whole(self, storage: Storage) -> None:
        """
        A second set takes the place of the first one, and the object stays as it is.
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
        The empty set leaves an object without tags.
        """
        await storage.put(storage.root / "key", b"data")
        await storage.set_tags(storage.root / "key", {"stage": "raw"})

        await storage.set_tags(storage.root / "key", {})

        assert await storage.get_tags(storage.root / "key") == {}

    @requires("tags")
    async def test_tags_of_every_allowed_character(self, storage: Storage) -> None:
        """
        Spaces, signs and an empty value come back as they were given.
        """
        tags = {"a b": "x + y", "k.e-y_1": "v=1:2/3", "empty": ""}
        await storage.put(storage.root / "key", b"data")

        await storage.set_tags(storage.root / "key", tags)

        assert await storage.get_tags(storage.root / "key") == tags

    @requires("tags")
    @tagged("tags-until-overwritten")
    async def test_overwritten_object_has_no_tags(self, storage: Storage) -> None:
        """
        A new object under the key starts without tags.
        """
        await storage.put(storage.root / "key", b"data")
        await storage.set_tags(storage.root / "key", {"stage": "raw"})

        await storage.put(storage.root / "key", b"other")

        assert await storage.get_tags(storage.root / "key") == {}

    @requires("tags")
    async def test_tags_of_no_object(self, storage: Storage) -> None:
        """
        Where there is no object, there is nothing to read or set tags of.
        """
        with pytest.raises(NotFoundError):
            await storage.get_tags(storage.root / "missing")
        with pytest.raises(NotFoundError):
            await storage.set_tags(storage.root / "missing", {"stage": "raw"})

    @requires("tags")
    async def test_tags_up_to_the_limit(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        As many as are announced are kept; one more is refused before anything is sent.
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
    async def test_tag_that_is_none_is_refused(
        self, faulty: Storage, faults: FaultyDriver, tags: dict[str, str]
    ) -> None:
        """
        A key that is empty, and what is no text, is refused before anything is sent.
        """
        with pytest.raises(InvalidRequestError):
            await faulty.set_tags(faulty.root / "key", tags)
        assert not faults.calls

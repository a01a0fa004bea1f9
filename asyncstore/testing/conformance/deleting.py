"""
Deleting one object, and many.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncstore.errors import InvalidRequestError, NotFoundError
from asyncstore.options import BulkOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, is_idle, keys_of
from asyncstore.testing.conformance.keys import KEYS
from asyncstore.testing.faults import FaultyDriver
from asyncstore.uri import ObjectURI


class Deleting(Harness):
    """
    Deletions are permanent and idempotent.
    """

    async def test_deleted_is_not_found(self, storage: Storage) -> None:
        """
        A deleted object cannot be read and is not listed.
        """
        await storage.put(storage.root / "key", b"data")

        await storage.delete(storage.root / "key")

        with pytest.raises(NotFoundError):
            await storage.read(storage.root / "key")
        assert await keys_of(storage) == []

    async def test_missing_is_no_error(self, storage: Storage) -> None:
        """
        Deleting an object twice, or one that never existed, succeeds.
        """
        await storage.put(storage.root / "key", b"data")
        await storage.delete(storage.root / "key")
        await storage.delete(storage.root / "key")
        await storage.delete(storage.root / "never/there")

    async def test_missing_is_an_error_if_asked(self, storage: Storage) -> None:
        """
        With ``missing_ok=False``, deleting a missing object raises NotFoundError.
        """
        await storage.put(storage.root / "key", b"data")
        await storage.delete(storage.root / "key", missing_ok=False)

        with pytest.raises(NotFoundError):
            await storage.delete(storage.root / "key", missing_ok=False)

    async def test_deleted_can_be_written_again(self, storage: Storage) -> None:
        """
        A deletion leaves nothing that blocks a later write.
        """
        await storage.put(storage.root / "a/b", b"old")
        await storage.delete(storage.root / "a/b")
        await storage.put(storage.root / "a", b"new")

        assert await keys_of(storage) == ["a"]

    async def test_prefix_is_not_deleted(self, storage: Storage) -> None:
        """
        Deleting ``a`` does not delete keys below ``a/`` or other keys that start with ``a``.
        """
        for key in ("a/b", "ab"):
            await storage.put(storage.root / key, b"data")

        await storage.delete(storage.root / "a")
        await storage.delete(storage.root / "a/")

        assert await keys_of(storage) == ["a/b", "ab"]

    async def test_bulk_of_none(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        Deleting no objects sends no request.
        """
        result = await faulty.bulk_delete([])

        assert (result.done, result.failed, list(result.outcomes)) == (0, 0, [])
        assert not faults.calls

    async def test_bulk_of_one(self, storage: Storage) -> None:
        """
        A bulk deletion of one object deletes it.
        """
        await storage.put(storage.root / "key", b"data")

        result = await storage.bulk_delete([storage.root / "key"])

        assert result.done == 1
        assert await keys_of(storage) == []

    async def test_bulk_of_more_than_a_batch(self, storage: Storage) -> None:
        """
        1,001 keys, most of them missing, are deleted, in several batches if needed.
        """
        for number in range(0, 1001, 50):
            await storage.put(storage.root / f"{number:04}", b"data")
        await storage.put(storage.root / "other", b"data")

        result = await storage.bulk_delete(storage.root / f"{number:04}" for number in range(1001))

        assert (result.done, result.failed) == (1001, 0)
        assert await keys_of(storage) == ["other"]

    async def test_bulk_of_awkward_keys(self, storage: Storage) -> None:
        """
        A batch takes any key: what is written in XML or JSON is read there as it was.
        """
        held = {name: key for name, key in KEYS.items() if self.holds(key)}
        keys = [key for name, key in held.items() if not any(f"[{name}]" in quirk for quirk in self.quirks)]
        for key in keys:
            await storage.put(storage.root / key, b"data")
        await storage.put(storage.root / "other", b"data")

        result = await storage.bulk_delete([storage.root / key for key in keys])

        assert result.failed == 0
        assert await keys_of(storage) == ["other"]

    async def test_bulk_of_a_key_twice(self, storage: Storage) -> None:
        """
        Each item has its own outcome, even if a key is listed twice.
        """
        await storage.put(storage.root / "key", b"data")

        result = await storage.bulk_delete([storage.root / "key", storage.root / "key"])

        assert result.done == 2

    async def test_bulk_outcomes_in_order(self, storage: Storage) -> None:
        """
        With ``max_concurrency=1``, outcomes are in the order of the items, for existing and missing keys.
        """
        await storage.put(storage.root / "b", b"data")
        keys = [storage.root / key for key in ("c", "b", "a", "z", "y")]

        result = await storage.bulk_delete(keys, options=BulkOptions(max_concurrency=1))

        assert [outcome.source for outcome in result.outcomes] == keys
        assert {outcome.status for outcome in result.outcomes} == {"done"}

    async def test_bulk_from_a_listing(self, storage: Storage) -> None:
        """
        A listing can be deleted while it is being listed.
        """
        for number in range(30):
            await storage.put(storage.root / f"{number}", b"data")

        async def found() -> AsyncIterator[ObjectURI]:
            async for info in storage.list():
                yield info.uri

        result = await storage.bulk_delete(found())

        assert result.done == 30
        assert await keys_of(storage) == []

    async def test_bulk_failure_is_an_outcome(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A failed request fails its items, each error names its object, and nothing stays in progress.
        """
        await storage.put(storage.root / "key", b"data")
        op = "delete_batch" if storage.capabilities.delete_batch_size else "delete"
        faults.fail(op, InvalidRequestError("refused"), times=None)

        result = await faulty.bulk_delete([faulty.root / "key"])

        (outcome,) = result.failures
        assert isinstance(outcome.error, InvalidRequestError)
        assert isinstance(outcome.source, ObjectURI)
        assert outcome.error.uri == str(outcome.source)
        assert await storage.exists(storage.root / "key")
        assert is_idle(faulty, faults)

    async def test_bulk_delete_stops_on_the_first_error(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        ``stop_on_error=True`` raises the first error by itself.
        """
        op = "delete_batch" if faulty.capabilities.delete_batch_size else "delete"
        faults.fail(op, InvalidRequestError("refused"), times=None)

        with pytest.raises(InvalidRequestError):
            await faulty.bulk_delete([faulty.root / "key"], options=BulkOptions(stop_on_error=True))

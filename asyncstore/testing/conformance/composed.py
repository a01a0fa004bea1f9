"""
Moving and updating.
"""

from __future__ import annotations

from typing import Final

import anyio
import pytest

from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    SourceChangedError,
)
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, is_idle, requires, tagged, together
from asyncstore.testing.conformance.interrupts import INTERRUPTS, Interrupt
from asyncstore.testing.faults import FaultyDriver

_WORKERS: Final = 5
_ROUNDS: Final = 6


def increment(count: bytes | None) -> bytes:
    """
    Return the next number.
    """
    return str(int(count or 0) + 1).encode()


class Composed(Harness):
    """
    Verbs of several requests lose nothing in between.
    """

    @requires("copy")
    async def test_move(self, storage: Storage) -> None:
        """
        The bytes and metadata are at the target, and the source is gone.
        """
        await storage.put("source", b"data", content_type="text/plain")

        result = await storage.move("source", "target")

        assert result.uri == storage.root / "target"
        assert await storage.read("target") == b"data"
        assert [info.name async for info in storage.list()] == ["target"]

    @requires("copy")
    async def test_move_replaces(self, storage: Storage) -> None:
        """
        What was at the target is replaced.
        """
        await storage.put("source", b"new")
        await storage.put("target", b"old")

        await storage.move("source", "target")

        assert await storage.read("target") == b"new"

    @requires("copy", "conditional_copy")
    async def test_move_create_only(self, storage: Storage) -> None:
        """
        With ``if_none_match`` a move replaces nothing, leaves the source and names the target.
        """
        await storage.put("source", b"new")
        await storage.put("target", b"old")

        with pytest.raises(AlreadyExistsError) as failure:
            await storage.move("source", "target", if_none_match="*")

        assert failure.value.uri == str(storage.root / "target")
        assert await storage.read("source") == b"new"
        assert await storage.read("target") == b"old"

    @requires("copy")
    async def test_move_of_nothing(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A missing source is an error, and so is an object moved to itself, before anything is sent.
        """
        with pytest.raises(NotFoundError):
            await storage.move("missing", "target")
        with pytest.raises(InvalidRequestError):
            await faulty.move("same", "same")

        assert not faults.calls
        assert not await storage.exists("target")

    @requires("copy")
    async def test_replaced_while_it_is_moved(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A source that is replaced after it was copied is not deleted.
        """
        await storage.put("source", b"old")
        stop = faults.hang("delete" if storage.capabilities.conditional_delete else "stat", after=self._looks(storage))

        async def replace_it() -> None:
            await stop.reached()
            await storage.put("source", b"newer")
            stop.release()

        with pytest.raises(SourceChangedError):
            await together(replace_it(), faulty.move("source", "target"))

        assert await storage.read("source") == b"newer"
        assert await storage.read("target") == b"old"

    @requires("copy")
    @pytest.mark.parametrize("interrupt", INTERRUPTS.values(), ids=INTERRUPTS)
    async def test_cancelled_move(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        A cancelled move leaves at least one of both objects, and no request.
        """
        await storage.put("source", b"data")
        stop = faults.hang("delete")

        await interrupt(faulty.move("source", "target"), stop)

        assert await storage.read("target") == b"data"
        assert is_idle(faulty, faults)

    @requires("conditional_create", "conditional_replace")
    async def test_update(self, storage: Storage) -> None:
        """
        The function gets the current bytes, or None, and its result is stored.
        """
        seen = []

        async def change(data: bytes | None) -> bytes:
            seen.append(data)
            return (data or b"") + b"x"

        for _ in range(2):
            await storage.update("key", change)
        info = await storage.update("key", change)

        assert seen == [None, b"x", b"xx"]
        assert await storage.read("key") == b"xxx"
        assert info.size == 3
        assert [info.name async for info in storage.list()] == ["key"]

    @requires("conditional_create", "conditional_replace")
    @tagged("create-only-race")
    async def test_updates_at_once(self, storage: Storage) -> None:
        """
        No update of several concurrent workers is lost, from the first object on.
        """

        async def work() -> None:
            for _ in range(_ROUNDS):
                await storage.update("counter", increment)

        async with anyio.create_task_group() as group:
            for _ in range(_WORKERS):
                group.start_soon(work)

        assert await storage.read("counter") == str(_WORKERS * _ROUNDS).encode()

    @requires("conditional_create", "conditional_replace")
    async def test_update_that_fails(self, storage: Storage) -> None:
        """
        An error of the function passes through unchanged, and the object stays as it is.
        """
        await storage.put("key", b"data")
        error = RuntimeError("the caller's own")

        def refuse(_data: bytes | None) -> bytes:
            raise error

        with pytest.raises(RuntimeError) as failure:
            await storage.update("key", refuse)

        assert failure.value is error
        assert await storage.read("key") == b"data"

    @requires("conditional_create", "conditional_replace")
    async def test_others_are_always_first(self, storage: Storage) -> None:
        """
        After the last attempt the condition's error is raised, and the others' bytes are there.
        """
        await storage.put("key", b"0")
        writes = 0

        async def late(_data: bytes | None) -> bytes:
            nonlocal writes
            writes += 1
            await storage.put("key", f"other {writes}".encode())
            return b"mine"

        with pytest.raises(PreconditionFailedError):
            await storage.update("key", late, attempts=2)

        assert writes == 2
        assert await storage.read("key") == b"other 2"

    def _looks(self, storage: Storage) -> int:
        # Without conditional deletions the source is looked at once more, after the copy.
        return 0 if storage.capabilities.conditional_delete else 1

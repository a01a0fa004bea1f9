"""
Moves and updates: their requests, and endpoints that ignore conditions.
"""

import asyncio
from typing import Any

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import InvalidRequestError, NotFoundError, NotSupportedError, PermissionDeniedError
from asyncstore.options import UploadOptions
from asyncstore.settings import Settings
from asyncstore.storage import Storage, open_storage
from asyncstore.testing.faults import FaultyDriver
from tests.servers.s3 import S3Server, fresh_bucket


def settings_of(server: S3Server) -> Settings:
    return {
        "endpoint_url": server.endpoint_url,
        "region": server.region,
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
    }


async def appended(data: bytes | None) -> bytes:
    return (data or b"") + b"x"


async def test_requests_of_a_move(storage: Storage, faults: FaultyDriver) -> None:
    """
    A move is one look, one copy and one deletion.
    """
    await storage.put("source", b"data")
    faults.calls.clear()

    await storage.move("source", "target")

    assert faults.calls == {"stat": 1, "copy": 1, "delete": 1}


async def test_move_without_conditional_deletions(storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
    """
    Where a deletion takes no condition, the source is looked at again before it.
    """
    memory.narrow("conditional deletions", "for this test", conditional_delete=False)
    await storage.put("source", b"data")
    faults.calls.clear()

    await storage.move("source", "target")
    assert faults.calls == {"stat": 2, "copy": 1, "delete": 1}


async def test_source_that_cannot_be_deleted(storage: Storage, faults: FaultyDriver) -> None:
    """
    The error of the deletion says that the copy is complete.
    """
    await storage.put("source", b"data")
    faults.fail("delete", PermissionDeniedError("no"))

    with pytest.raises(PermissionDeniedError) as failure:
        await storage.move("source", "target")

    assert "the copy is complete: memory://bucket/target" in "".join(failure.value.__notes__)
    assert await storage.read("source") == await storage.read("target") == b"data"


async def test_source_deleted_meanwhile(storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
    """
    A source that another program has deleted is an error that says where the copy is, whatever the deletion takes.
    """
    for conditional in (True, False):
        await storage.put("source", b"data")
        if conditional:
            faults.fail("delete", NotFoundError("gone"))
        else:
            memory.narrow("conditional deletions", "for this test", conditional_delete=False)
            # The first look is before the copy.
            faults.fail("stat", NotFoundError("gone"), after=1)

        with pytest.raises(NotFoundError, match=r"moved or deleted the object .* copied to memory://bucket/target"):
            await storage.move("source", "target")

        assert await storage.read("target") == b"data"


async def test_two_moves_of_one_object(storage: Storage) -> None:
    """
    Of two concurrent moves one succeeds; the other fails since the source is gone, not since it was replaced.
    """
    await storage.put("source", b"data")

    outcomes = await asyncio.gather(
        storage.move("source", "one"), storage.move("source", "two"), return_exceptions=True
    )

    (failure,) = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert isinstance(failure, NotFoundError)
    assert failure.uri == str(storage.root / "source")
    assert "moved or deleted" in str(failure)
    assert await storage.read("one") == await storage.read("two") == b"data"


async def test_requests_of_an_update(storage: Storage, faults: FaultyDriver) -> None:
    """
    An update is one read and one write.
    """
    await storage.update("key", appended)
    assert faults.calls["open_read"] == faults.calls["put"] == 1
    faults.calls.clear()

    await storage.update("key", appended)
    assert faults.calls["open_read"] == faults.calls["put"] == 1
    assert await storage.read("key") == b"xx"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"attempts": 0}, ValueError, "attempts must be at least 1"),
        ({"attempts": 1.5}, TypeError, "attempts takes a whole number"),
        ({"if_match": "etag"}, InvalidRequestError, "sets them itself"),
        ({"options": UploadOptions(if_none_match="*")}, InvalidRequestError, "sets them itself"),
    ],
)
async def test_arguments_of_an_update(
    storage: Storage, faults: FaultyDriver, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """
    Wrong arguments are refused before anything is sent.
    """
    with pytest.raises(error, match=message):
        await storage.update("key", appended, **arguments)
    with pytest.raises(TypeError, match="change takes a function, not bytes"):
        await storage.update("key", b"data")  # type: ignore[arg-type]

    assert not faults.calls


async def test_result_that_is_not_bytes(storage: Storage) -> None:
    """
    The function must return bytes; nothing is written otherwise.
    """
    with pytest.raises(TypeError, match="change must return bytes, not str"):
        await storage.update("key", lambda _: "text")  # type: ignore[arg-type,return-value]

    assert not await storage.exists("key")


async def test_without_conditional_writes(storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
    """
    A provider without conditional writes refuses before anything is sent.
    """
    memory.narrow("conditions", "for this test", conditional_replace=False)

    with pytest.raises(NotSupportedError, match="conditional writes, which update"):
        await storage.update("key", appended)
    assert not faults.calls


async def test_endpoint_that_ignores_conditions(rclone: S3Server) -> None:
    """
    An endpoint that ignores conditions would lose updates: it is noticed, and nothing stays behind.
    """
    bucket = fresh_bucket(rclone)
    async with open_storage(f"s3://{bucket}", **settings_of(rclone)) as storage:
        with pytest.raises(NotSupportedError, match="ignores If-None-Match on writes"):
            await storage.update("folder/key", appended)
        await storage.put("folder/key", b"data")
        with pytest.raises(NotSupportedError, match="ignores If-Match on writes"):
            await storage.update("folder/key", appended)

        assert [info.name async for info in storage.list()] == ["folder/key"]
        assert await storage.read("folder/key") == b"data"


async def test_endpoint_is_tried_once(seaweed: S3Server) -> None:
    """
    An endpoint that honours conditions is found out once, with three requests.
    """
    bucket = fresh_bucket(seaweed)
    async with open_storage(f"s3://{bucket}", **settings_of(seaweed)) as storage:
        await storage.put("key", b"")
        before = storage.statistics().requests
        await storage.update("key", appended)
        first = storage.statistics().requests - before
        await storage.update("key", appended)
        second = storage.statistics().requests - before - first

        assert (first, second) == (5, 2)
        assert [info.name async for info in storage.list()] == ["key"]

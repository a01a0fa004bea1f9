"""
Progress as server-sent events.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncstore import ProgressEvent, Storage
from asyncstore.integrations.http_serving import events
from asyncstore.options import MiB
from asyncstore.protocols import ProgressSink
from asyncstore.testing.faults import FaultyDriver
from tests.build import at_rest
from tests.integrations.web import both, client, serving, until


def parsed(text: str) -> list[tuple[str, Any]]:
    """
    Return the names and the data of events.
    """
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


@both
async def test_progress_of_a_transfer(framework: str, storage: Storage, faults: FaultyDriver) -> None:
    """
    Counts that grow, then the result; no event names the bucket.
    """

    async def upload(*, progress: ProgressSink) -> Any:
        return await storage.put("key", bytes(20 * MiB), progress=progress)

    async with serving(framework, storage, upload) as url, client() as session:
        reply = await session.post(f"{url}/transfers")
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        assert reply.headers["Cache-Control"] == "no-store"
        text = await reply.text()

    *progress, (last, result) = parsed(text)
    done = [event["bytes_done"] for _, event in progress]
    assert {name for name, _ in progress} == {"progress"}
    assert done == sorted(done)
    assert progress[-1][1]["kind"] == "done"
    assert done[-1] == 20 * MiB
    assert (last, result["name"], result["size"]) == ("done", "key", 20 * MiB)
    assert "bucket" not in text
    at_rest(storage, faults)


@both
async def test_transfer_that_fails(framework: str, storage: Storage) -> None:
    """
    The last event is its problem, without internal names.
    """

    async def read(*, progress: ProgressSink) -> Any:
        return await storage.read("secret-name", progress=progress)

    async with serving(framework, storage, read) as url, client() as session:
        text = await (await session.post(f"{url}/transfers")).text()

    name, problem = parsed(text)[-1]
    assert (name, problem["status"]) == ("error", 404)
    assert "secret-name" not in json.dumps(problem)


@both
async def test_client_that_vanishes_cancels_the_transfer(
    framework: str, storage: Storage, faults: FaultyDriver
) -> None:
    """
    Also one that makes no progress; it leaves no upload behind.
    """
    hang = faults.hang("upload_part", times=None, after=1)

    async def upload(*, progress: ProgressSink) -> Any:
        return await storage.put("key", bytes(40 * MiB), progress=progress)

    async with serving(framework, storage, upload) as url, client() as session:
        async with session.post(f"{url}/transfers") as reply:
            await hang.reached()
            reply.close()
        await until(lambda: faults.calls["abort_multipart_upload"])

    assert [upload async for upload in storage.list_multipart_uploads()] == []
    at_rest(storage, faults)


async def test_silence_is_interrupted(monkeypatch: pytest.MonkeyPatch, faults: FaultyDriver, storage: Storage) -> None:
    """
    A comment is sent while nothing happens, so that proxies keep the connection.
    """
    monkeypatch.setattr(events, "HEARTBEAT", 0.01)
    sent: list[bytes] = []
    hang = faults.hang("put")

    async def send(data: bytes) -> None:
        sent.append(data)
        if sent.count(b":\n\n") == 2:
            hang.release()

    await events.send_events(send, storage.put, ("key", b"data"), {}, None)

    assert sent.count(b":\n\n") >= 2
    assert sent[-1].startswith(b"event: done")


async def test_result_in_the_words_of_the_application(storage: Storage) -> None:
    sent: list[bytes] = []

    async def send(data: bytes) -> None:
        sent.append(data)

    await events.send_events(send, storage.put, ("key", b"data"), {}, lambda info: [info.size])

    assert parsed(b"".join(sent).decode())[-1] == ("done", [4])


async def test_results_of_bulk_operations(storage: Storage) -> None:
    await storage.put("key", b"data")

    assert events.describe(await storage.bulk_delete(["key"])) == {
        "done": 1,
        "skipped": 0,
        "failed": 0,
        "total_bytes": 0,
    }
    assert events.describe(object()) is None


async def test_own_errors_of_an_operation_are_raised() -> None:
    """
    A defect of the program is not a problem of the client.
    """

    async def broken(*, progress: ProgressSink) -> None:
        progress(ProgressEvent(kind="progress"))
        raise ZeroDivisionError

    async def send(data: bytes) -> None: ...

    with pytest.raises(ZeroDivisionError):
        await events.send_events(send, broken, (), {}, None)

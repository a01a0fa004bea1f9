"""
Unfinished uploads that nobody completes are aborted; those that someone is at are not.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import NotFoundError, NotSupportedError, PermissionDeniedError, UnavailableError
from asyncstore.options import UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import MultipartUploadPage
from tests.build import KEY, ROOT, at_rest, changed, patterned, written

NOW = timedelta(0)
WEEK = timedelta(days=7)
RESUME = UploadOptions(part_size=1000, multipart_threshold=1000, max_concurrency=1, resume="journal")


@pytest.fixture(autouse=True)
async def nothing_held(
    storage: Storage, faults: FaultyDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    at_rest(storage, faults)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "file", patterned(4500))


def records(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "state").rglob("*") if path.is_file()]


@pytest.fixture
def listed_as(faults: FaultyDriver, monkeypatch: pytest.MonkeyPatch) -> dict[str, datetime | None]:
    """
    Times of initiation to list instead of the real ones, by key.
    """
    times: dict[str, datetime | None] = {}
    fetch = faults.list_multipart_uploads

    async def altered(*arguments: object) -> MultipartUploadPage:
        page = await fetch(*arguments)  # type: ignore[arg-type]
        uploads = [replace(one, initiated=times.get(one.uri.key, one.initiated)) for one in page.uploads]
        return replace(page, uploads=uploads)

    monkeypatch.setattr(faults, "list_multipart_uploads", altered)
    return times


async def interrupted(storage: Storage, faults: FaultyDriver, path: Path) -> None:
    faults.fail("upload_part", times=None, after=2)
    with pytest.raises(UnavailableError):
        await storage.upload(path, KEY, options=RESUME)
    faults.heal()


async def test_by_age(storage: Storage, memory: MemoryDriver, listed_as: dict[str, datetime | None]) -> None:
    """
    An upload of unknown age is aborted only if the age does not matter.
    """
    for key, age in (("old", timedelta(days=8)), ("young", timedelta(days=6)), ("unknown", None)):
        await storage.initiate_multipart_upload(key)
        storage._requests.uploads.objects.clear()
        listed_as[key] = None if age is None else datetime.now(UTC) - age

    first = await storage.sweep_uploads(older_than=WEEK)
    outcomes = {str(outcome.source).rpartition("/")[2]: outcome.status for outcome in first.outcomes}
    second = await storage.sweep_uploads(older_than=NOW)

    assert {"old": "done", "young": "skipped", "unknown": "skipped"} == outcomes
    assert (1, 2, 0) == (first.done, first.skipped, first.failed)
    assert 2 == second.done
    assert {} == memory.uploads


async def test_records_go_too(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, tmp_path: Path
) -> None:
    await interrupted(storage, faults, path)
    assert 1 == len(records(tmp_path))
    result = await storage.sweep_uploads("dir", older_than=NOW)

    assert 1 == result.done
    assert [] == records(tmp_path)
    assert {} == memory.uploads


async def test_records_of_uploads_that_are_gone(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, tmp_path: Path
) -> None:
    """
    A lifecycle rule may have aborted the upload.
    """
    await interrupted(storage, faults, path)
    memory._world.uploads.clear()
    await storage.sweep_uploads("other", older_than=WEEK)
    assert 1 == len(records(tmp_path))
    await storage.sweep_uploads(older_than=WEEK)

    assert [] == records(tmp_path)


async def test_in_progress(
    storage: Storage, faults: FaultyDriver, memory: MemoryDriver, path: Path, tmp_path: Path
) -> None:
    """
    Uploads of this storage, and recorded ones of others, are left alone.
    """
    other = faults.storage(ROOT)
    stop = faults.hang("upload_part", after=2)
    task = asyncio.ensure_future(storage.upload(path, KEY, options=RESUME))
    await stop.reached()
    for sweeper in (storage, other):
        result = await sweeper.sweep_uploads(older_than=NOW)
        assert (0, 1) == (result.done, result.skipped)
    stop.release()
    await task

    assert KEY.key in memory.objects


async def test_failures_are_outcomes(storage: Storage, faults: FaultyDriver) -> None:
    """
    One upload that cannot be aborted does not keep the others.
    """
    for key in ("a", "b", "c"):
        await storage.initiate_multipart_upload(key)
    storage._requests.uploads.objects.clear()
    faults.fail("abort_multipart_upload", PermissionDeniedError("no"), where=lambda call: call.uri.key == "a")
    faults.fail("abort_multipart_upload", NotFoundError("gone"), where=lambda call: call.uri.key == "b")
    result = await storage.sweep_uploads(older_than=NOW)

    assert (2, 1) == (result.done, result.failed)
    assert "no" in str(result.failures[0].error)


async def test_arguments(storage: Storage, faults: FaultyDriver) -> None:
    """
    Nothing is sent.
    """
    with pytest.raises(ValueError, match="must not be negative"):
        await storage.sweep_uploads(older_than=-WEEK)
    with pytest.raises(TypeError, match="older_than takes a timedelta"):
        await storage.sweep_uploads(older_than=7)  # type: ignore[arg-type]
    changed(faults, multipart=False)
    with pytest.raises(NotSupportedError, match="multipart uploads"):
        await storage.sweep_uploads(older_than=WEEK)

    assert not faults.calls


async def test_cancelled(storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> None:
    for number in range(20):
        await storage.initiate_multipart_upload(f"key{number}")
    storage._requests.uploads.objects.clear()
    stop = faults.hang("abort_multipart_upload", after=5)
    task = asyncio.ensure_future(storage.sweep_uploads(older_than=NOW))
    await stop.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert 0 < len(memory.uploads) < 20

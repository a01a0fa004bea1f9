"""
Bulk operations: items drawn as workers become free, one outcome for each, shared limits.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncstore.config import StorageConfig
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import (
    InvalidRequestError,
    InvalidURIError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    StorageError,
    ThrottledError,
    UnavailableError,
)
from asyncstore.options import BulkOptions, DownloadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, Upload
from asyncstore.uri import ObjectURI
from tests.build import KEY, ROOT, at_rest, changed, patterned, written

DATA = patterned(3500)


@pytest.fixture(autouse=True)
async def nothing_held(storage: Storage, faults: FaultyDriver, memory: MemoryDriver) -> Any:
    yield
    at_rest(storage, faults)
    assert {} == memory.uploads


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "file", DATA[:10])


def uploads(file: Path, count: int) -> list[Upload]:
    return [Upload(file, ROOT / f"{number:03}") for number in range(count)]


async def test_small_files_take_one_request_each(storage: Storage, faults: FaultyDriver, file: Path) -> None:
    result = await storage.bulk_upload(uploads(file, 50))

    assert (50, 0, 0, 500) == (result.done, result.skipped, result.failed, result.total_bytes)
    assert {"put": 50} == dict(faults.calls)

    paths = [Download(ROOT / f"{number:03}", file.parent / f"{number}") for number in range(50)]
    result = await storage.bulk_download(paths)

    assert (50, 500) == (result.done, result.total_bytes)
    assert 50 == faults.calls["open_read"]

    result = await storage.bulk_delete([f"memory://bucket/{number:03}" for number in range(50)])

    assert 50 == result.done
    assert 1 == faults.calls["delete_batch"]


async def test_no_items(storage: Storage, faults: FaultyDriver) -> None:
    for result in (await storage.bulk_upload([]), await storage.bulk_download([]), await storage.bulk_delete(iter([]))):
        assert (0, []) == (result.done, list(result.outcomes))
    assert 0 == faults.calls.total()


async def test_each_item_has_its_outcome(storage: Storage, faults: FaultyDriver, file: Path) -> None:
    faults.fail("put", PermissionDeniedError("no"), where=lambda call: call.uri.key == "001")
    items = [*uploads(file, 3), Upload(file.parent / "none", ROOT / "003")]
    result = await storage.bulk_upload(items)
    failures = {str(outcome.target): outcome.error for outcome in result.failures}

    assert (2, 2) == (result.done, result.failed)
    assert {"PermissionDeniedError", "NotFoundError"} == {type(error).__name__ for error in failures.values()}
    assert isinstance(failures[str(ROOT / "003")], NotFoundError)
    with pytest.raises(ExceptionGroup) as caught:
        result.raise_for_failures()
    assert 2 == len(caught.value.exceptions)


async def test_only_failures_are_kept_if_asked(storage: Storage, file: Path) -> None:
    items = [*uploads(file, 3), Upload(file.parent / "none", ROOT / "003")]
    result = await storage.bulk_upload(items, options=BulkOptions(keep="failures"))

    assert (3, 1, 1) == (result.done, result.failed, len(result.outcomes))


async def test_the_first_failure_ends_it_if_asked(storage: Storage, faults: FaultyDriver, file: Path) -> None:
    """
    Raised alone, not in a group; running items are cancelled and no more are drawn.
    """
    faults.fail("put", InvalidRequestError("no"), after=1)
    faults.hang("put", times=None, where=lambda call: call.uri.key > "002")
    with pytest.raises(InvalidRequestError):
        await storage.bulk_upload(uploads(file, 20), options=BulkOptions(stop_on_error=True, max_concurrency=4))

    assert faults.calls["put"] <= 6


async def test_existing_targets_are_skipped(storage: Storage, file: Path) -> None:
    await storage.put(ROOT / "001", b"old")
    options = BulkOptions(upload=UploadOptions(if_none_match="*"), download=DownloadOptions(overwrite=False))
    result = await storage.bulk_upload(uploads(file, 3), options=options)

    assert (2, 1, 0) == (result.done, result.skipped, result.failed)

    items = [Download(ROOT / "000", file), Download(ROOT / "001", file.parent / "new")]
    result = await storage.bulk_download(items, options=options)

    assert (1, 1, 0) == (result.done, result.skipped, result.failed)


@pytest.mark.parametrize("key", ["k" * 1100, ""])
async def test_an_impossible_key_is_one_failure(storage: Storage, file: Path, key: str) -> None:
    bad = ROOT / key if key else ROOT
    result = await storage.bulk_upload([Upload(file, bad), *uploads(file, 2)])
    deleted = await storage.bulk_delete([bad, *[item.target for item in uploads(file, 2)]])
    fetched = await storage.bulk_download([Download(bad, file.parent / "new")])

    assert [(2, 1), (2, 1), (0, 1)] == [(r.done, r.failed) for r in (result, deleted, fetched)]
    assert isinstance(result.failures[0].error, InvalidURIError)
    assert bad == result.failures[0].target


async def test_an_invalid_uri_ends_it(storage: Storage, file: Path) -> None:
    with pytest.raises(InvalidURIError):
        await storage.bulk_upload([Upload(file, "other://bucket/key")])


class SourceError(Exception):
    """
    The exception of a caller's own generator.
    """


@pytest.mark.parametrize("good", [0, 1, 7])
async def test_a_source_that_raises_ends_it(storage: Storage, file: Path, good: int) -> None:
    def items() -> Iterator[Upload]:
        yield from uploads(file, good)
        raise SourceError

    with pytest.raises(SourceError):
        await storage.bulk_upload(items())

    async def later() -> AsyncIterator[Upload]:
        for item in uploads(file, good):
            yield item
        raise SourceError

    with pytest.raises(SourceError):
        await storage.bulk_upload(later())


async def test_items_are_drawn_as_workers_become_free(storage: Storage, faults: FaultyDriver) -> None:
    """
    Of a million items, only those in progress are drawn, with as many tasks.
    """
    drawn = 0

    def million() -> Iterator[ObjectURI]:
        nonlocal drawn
        for number in range(1_000_000):
            drawn += 1
            yield ROOT / f"{number}"

    changed(faults, delete_batch_size=0)
    stop = faults.hang("delete", times=None, after=100)
    task = asyncio.ensure_future(storage.bulk_delete(million(), options=BulkOptions(max_concurrency=10)))
    await stop.reached()
    for _ in range(100):
        await asyncio.sleep(0)

    assert drawn <= 111
    assert len(asyncio.all_tasks()) <= 10 + 2

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_many_items_take_little_memory(storage: Storage, faults: FaultyDriver) -> None:
    changed(faults, delete_batch_size=1000)
    result = await storage.bulk_delete(
        (ROOT / f"{number}" for number in range(20_000)), options=BulkOptions(keep="failures", max_concurrency=2)
    )

    assert (20_000, 0) == (result.done, len(result.outcomes))
    assert 20 == faults.calls["delete_batch"]


async def test_limits_hold_over_items_and_parts(memory: MemoryDriver, file: Path) -> None:
    faults = FaultyDriver(memory)
    storage = faults.storage(ROOT, max_requests=5)
    faults.slow("upload_part", 0.001)
    file.write_bytes(DATA)
    options = BulkOptions(max_concurrency=10, upload=UploadOptions(part_size=300, multipart_threshold=0))
    result = await storage.bulk_upload(uploads(file, 12), options=options)

    assert 12 == result.done
    assert 5 == faults.peak["all"] == storage.statistics().requests_peak
    assert {DATA} == set(memory.objects.values())


class TestDeletion:
    """
    Keys are deleted in batches, and fail one by one.
    """

    async def test_batches_are_of_one_bucket(self, storage: Storage, faults: FaultyDriver) -> None:
        changed(faults, delete_batch_size=2)
        keys = ["memory://bucket/1", "memory://bucket/2", "memory://bucket/3", "memory://other/1"]
        result = await storage.bulk_delete(keys)

        assert (4, 3) == (result.done, faults.calls["delete_batch"])

    async def test_keys_that_failed_temporarily_are_retried(self, faults: FaultyDriver, memory: MemoryDriver) -> None:
        asked: list[list[str]] = []

        async def delete_batch(uris: list[ObjectURI]) -> list[StorageError | None]:
            asked.append([uri.key for uri in uris])
            return [ThrottledError("busy") if uri.key == "1" and len(asked) < 3 else None for uri in uris]

        memory.delete_batch = delete_batch  # type: ignore[method-assign, assignment]
        storage = faults.storage(ROOT)
        result = await storage.bulk_delete([ROOT / "0", ROOT / "1", ROOT / "2"])

        assert [["0", "1", "2"], ["1"], ["1"]] == asked
        assert 3 == result.done

    async def test_keys_that_keep_failing_have_their_own_errors(
        self, faults: FaultyDriver, memory: MemoryDriver
    ) -> None:
        async def delete_batch(uris: list[ObjectURI]) -> list[StorageError | None]:
            return [ThrottledError(f"busy {uri.key}") if uri.key != "0" else None for uri in uris]

        memory.delete_batch = delete_batch  # type: ignore[method-assign, assignment]
        storage = faults.storage(ROOT, attempts=3)
        result = await storage.bulk_delete([ROOT / "0", ROOT / "1", ROOT / "2"])
        errors = [outcome.error for outcome in result.failures]

        assert ["busy 1", "busy 2"] == [error.message for error in errors if error]
        assert [str(ROOT / "1"), str(ROOT / "2")] == [error.uri for error in errors if error]
        assert [True, True] == [error.retryable for error in errors if error]
        assert 3 == faults.calls["delete_batch"]

    async def test_a_request_that_fails_fails_all_its_keys(self, faults: FaultyDriver) -> None:
        faults.fail("delete_batch", times=None)
        storage = faults.storage(ROOT, attempts=3)
        result = await storage.bulk_delete([ROOT / "0", ROOT / "1"])
        errors = [outcome.error for outcome in result.failures]

        assert [str(ROOT / "0"), str(ROOT / "1")] == [error.uri for error in errors if error]
        assert {UnavailableError} == {type(error) for error in errors}
        assert {True} == {error.retryable for error in errors if error}
        assert 3 == faults.calls["delete_batch"]

    async def test_retries_of_a_batch_do_not_multiply(self, faults: FaultyDriver, memory: MemoryDriver) -> None:
        """
        Failed requests and failed keys count as attempts of the same operation.
        """

        async def delete_batch(uris: list[ObjectURI]) -> list[StorageError | None]:
            return [ThrottledError("busy") for _ in uris]

        memory.delete_batch = delete_batch  # type: ignore[method-assign, assignment]
        faults.fail("delete_batch", times=2)
        storage = faults.storage(ROOT, attempts=4)
        result = await storage.bulk_delete([ROOT / "0", ROOT / "1"])

        assert (2, 4) == (result.failed, faults.calls["delete_batch"])

    async def test_without_batches_many_are_deleted_at_a_time(self, storage: Storage, faults: FaultyDriver) -> None:
        """
        The keys of the batches that were refused share the limit.
        """
        faults.fail("delete_batch", NotSupportedError("no batches"), times=None)
        stop = faults.hang("delete", times=None)
        keys = [f"memory://{bucket}/{number}" for bucket in ("one", "two") for number in range(20)]
        task = asyncio.ensure_future(storage.bulk_delete(keys, options=BulkOptions(max_concurrency=8)))
        await stop.reached()
        for _ in range(100):
            await asyncio.sleep(0)
        waiting = stop.waiting
        stop.release()

        assert (8, 40) == (waiting, (await task).done)

    @pytest.mark.parametrize("batch", [0, 1000])
    async def test_the_first_failure_ends_it_if_asked(self, storage: Storage, faults: FaultyDriver, batch: int) -> None:
        changed(faults, delete_batch_size=batch)
        faults.fail("delete_batch" if batch else "delete", PermissionDeniedError("no"))
        with pytest.raises(PermissionDeniedError):
            await storage.bulk_delete([ROOT / "0", ROOT / "1"], options=BulkOptions(stop_on_error=True))


@pytest.mark.parametrize("max_buffer_bytes", [1, 1024 * 1024])
async def test_one_request_and_little_memory(memory: MemoryDriver, file: Path, max_buffer_bytes: int) -> None:
    """
    Slow, but no operation deadlocks with itself or another one.
    """
    faults = FaultyDriver(memory)
    storage = faults.storage(ROOT, max_requests=1, max_buffer_bytes=max_buffer_bytes)
    data = patterned(2_500_000)
    large = written(file.parent / "large", data)
    parts = UploadOptions(part_size=600_000, multipart_threshold=600_000)
    ranges = DownloadOptions(part_size=600_000)
    bulk = BulkOptions(upload=parts, download=ranges)
    async with asyncio.timeout(50):
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(storage.upload(large, ROOT / f"file{number}", options=parts))
                group.create_task(storage.put(ROOT / f"stream{number}", chunked(data), options=parts))
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(through(storage, ROOT / f"file{number}", ROOT / f"again{number}", parts))
                group.create_task(storage.download(ROOT / f"stream{number}", file.parent / f"{number}", options=ranges))
        await storage.bulk_upload([Upload(large, ROOT / f"b{number}") for number in range(3)], options=bulk)
        await storage.bulk_download(
            [Download(ROOT / f"again{number}", file.parent / f"again{number}") for number in range(3)], options=bulk
        )
        await storage.copy(ROOT / "file0", ROOT / "copy")

    assert {data} == set(memory.objects.values())
    assert {data} == {path.read_bytes() for path in file.parent.iterdir() if path != file}
    assert 1 == faults.peak["all"]
    at_rest(storage, faults)


async def through(storage: Storage, source: ObjectURI, target: ObjectURI, options: UploadOptions) -> None:
    async with storage.get(source) as body:
        await storage.put(target, body, options=options)


async def chunked(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


async def test_failed_items_keep_no_bodies(tmp_path: Path) -> None:
    """
    The errors of a result have neither a traceback nor a cause with one.
    """

    class Broken(MemoryDriver):
        async def put(self, *args: Any) -> Any:
            try:
                raise ConnectionError("reset")
            except ConnectionError as exc:
                raise StorageError("refused") from exc

    source = tmp_path / "file"
    source.write_bytes(b"data")
    storage = Storage(Broken("bucket"), StorageConfig(uri=ROOT))
    result = await storage.bulk_upload([Upload(source, KEY)], options=BulkOptions(keep="failures"))
    (error,) = [outcome.error for outcome in result.failures]

    assert error is not None
    assert error.__cause__ is not None
    assert (None, None) == (error.__traceback__, error.__cause__.__traceback__)
    with pytest.raises(ExceptionGroup):
        result.raise_for_failures()

"""
Trees and bulk operations in worker processes and on executors: the same outcomes as in one process, whatever dies.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncstore import (
    BulkOptions,
    ConfigurationError,
    Download,
    NotFoundError,
    ProgressEvent,
    Storage,
    TreeOptions,
    Upload,
    UploadOptions,
    copy_tree,
    download_tree,
    from_environment,
    open_storage,
    sync_tree,
    throttled,
    under,
    upload_tree,
)
from asyncstore.driver import Body, ForwardingDriver
from asyncstore.engine.ceilings import ThrottledDriver
from asyncstore.options import MiB
from asyncstore.storage.shard_jobs import TreeJob
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI
from tests.servers.s3 import S3Server, fresh_bucket
from tests.storage.test_sync import make, read

TWO = BulkOptions(workers=2)
FILES = {**{f"many/{number}": f"{number}".encode() * 300 for number in range(60)}, "big": os.urandom(6 * MiB)}
PARTS = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source", FILES)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "objects").mkdir()
    return f"file://{tmp_path}/objects/"


@pytest.fixture
def bucket(seaweed: S3Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Storage]:
    """Return a function that opens a new bucket, with secrets that workers find in the environment."""
    monkeypatch.setenv("WORKERS_KEY", seaweed.secret_access_key)
    name = fresh_bucket(seaweed)
    return lambda: opened(seaweed, name)


def opened(seaweed: S3Server, name: str) -> Storage:
    """Return a storage whose secret is found in a variable."""
    return open_storage(
        f"s3://{name}/",
        endpoint_url=seaweed.endpoint_url,
        region=seaweed.region,
        access_key_id=seaweed.access_key_id,
        secret_access_key=from_environment("WORKERS_KEY"),
    )


def children() -> list[int]:
    """Return the processes that this one has started and that run our worker."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return [pid for pid in found if b"shards.worker" in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def test_there_and_back(source: Path, tmp_path: Path, bucket: Callable[[], Storage]) -> None:
    """Trees go up, to another prefix, and down in workers; a sync then finds nothing to do. No worker is left."""
    async with bucket() as storage:
        up = await upload_tree(source, storage, prefix="one/", bulk=BulkOptions(workers=2, upload=PARTS))
        assert (up.done, up.failed, up.total_bytes) == (len(FILES), 0, sum(map(len, FILES.values())))
        copied = await copy_tree(storage, storage, source_prefix="one/", target_prefix="two/", bulk=TWO)
        assert copied.done == len(FILES)
        down = await download_tree(storage, tmp_path / "back", prefix="two/", bulk=TWO)
        assert (down.done, down.failed) == (len(FILES), 0)
        again = await sync_tree(source, under(storage, "one/"), bulk=TWO)
        assert again.ok
        assert again.transferred.done == 0
    assert read(tmp_path / "back") == FILES
    assert children() == []


async def test_limits_are_those_of_all_workers(source: Path, folder: str) -> None:
    """Two workers have half of the requests and of the rates each, through wrappers, too."""
    async with open_storage(folder, sync=False, max_requests=10, requests_per_second=1000) as storage:
        confined = throttled(under(storage, "below"), bytes_per_second=2 * MiB)
        async with TreeJob(None, pickle.loads(pickle.dumps(confined)), TreeOptions()).opened(2) as work:
            job: Any = work
            job = job._job
            assert job.target.statistics().requests_ceiling == 5
            driver, rates = job.target._driver, []
            while isinstance(driver, ForwardingDriver):
                if isinstance(driver, ThrottledDriver):
                    rates.append([rate._per_second for rate in driver.ceilings._all])
                driver = driver.driver
    assert rates == [[None, 1 * MiB, None, None], [500, None, None, None]]


async def test_same_events_and_outcomes(source: Path, folder: str) -> None:
    """A bulk in workers has the outcomes of one in this process, and events whose counts grow to the same totals."""
    async with open_storage(folder, sync=False) as storage:
        items = [Upload(source / name, name) for name in FILES]
        events: list[ProgressEvent] = []
        result = await storage.bulk_upload(items, workers=2, keep="all", progress=events.append)
        here = await storage.bulk_upload(items, keep="all")

    def summary(outcomes: Any) -> set[Any]:
        return {(item.source, item.target, item.status, item.info.size) for item in outcomes}

    assert summary(result.outcomes) == summary(here.outcomes)
    counts = [(event.bytes_done, event.objects_done) for event in events]
    assert counts == sorted(counts)
    assert {event.uri for event in events if event.kind == "object_done"} == {item.target for item in here.outcomes}
    last = events[-1]
    assert (last.kind, last.objects_done, last.bytes_done) == ("done", len(FILES), here.total_bytes)
    assert [event.kind for event in events].count("done") == 1


async def test_failures_are_outcomes(folder: str, tmp_path: Path) -> None:
    """An item that fails in a worker is an outcome with its error; with stop_on_error it is raised."""
    async with open_storage(folder, sync=False) as storage:
        await storage.put("there", b"data")
        items = [Download("there", tmp_path / "there"), Download("missing", tmp_path / "missing")]
        result = await storage.bulk_download(items, workers=1)
        assert (result.done, result.failed) == (1, 1)
        assert "missing" in str(result.failures[0].error)
        with pytest.raises(NotFoundError, match="missing"):
            await storage.bulk_download(items, workers=1, stop_on_error=True)
    assert children() == []


async def told_to_go(what: str = "object") -> None:
    """Say which process writes what, and wait until the test has done its part, or for half a minute."""
    marks = Path(os.environ["WORKERS_MARKS"])
    (marks / f"{what}-{os.getpid()}").touch()
    with anyio.move_on_after(30):
        while not (marks / "go").exists():
            await anyio.sleep(0.05)


class Slow(ForwardingDriver):
    """Writes of it take so long that a test can do something meanwhile; it says which process makes one."""

    async def put(self, uri: ObjectURI, body: Body, options: Any) -> ObjectInfo:
        await told_to_go()
        return await super().put(uri, body, options)


class Deadly(ForwardingDriver):
    """The process that writes the object ``deadly`` dies."""

    async def put(self, uri: ObjectURI, body: Body, options: Any) -> ObjectInfo:
        if uri.name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().put(uri, body, options)


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv("WORKERS_MARKS", str(folder))
    return folder


async def begun(marks: Path, what: str = "*") -> int:
    """Wait until a worker writes an object or a part, and return its process."""
    with anyio.fail_after(60):
        while not (found := list(marks.glob(f"{what}-*"))):
            await anyio.sleep(0.02)
    return int(found[0].name.rpartition("-")[2])


async def test_worker_that_is_killed(source: Path, folder: str, marks: Path, tmp_path: Path) -> None:
    """A worker that is killed costs its shards only: others carry them out again, and nothing is left behind."""
    async with open_storage(folder, sync=False) as inner, inner.wrapped(Slow) as storage:
        results = []
        async with anyio.create_task_group() as group:

            async def upload() -> None:
                results.append(await upload_tree(source, storage, bulk=TWO))

            group.start_soon(upload)
            victim = await begun(marks)
            os.kill(victim, signal.SIGKILL)
            (marks / "go").touch()
    assert (results[0].done, results[0].failed) == (len(FILES), 0)
    left = read(tmp_path / "objects")
    assert {name: data for name, data in left.items() if not name.startswith(".asyncstore/")} == FILES
    assert children() == []


async def test_item_that_kills_its_workers(source: Path, folder: str) -> None:
    """A shard whose workers died three times fails, item by item; its error says why."""
    make(source, {"deadly": b"x"})
    async with open_storage(folder, sync=False) as inner, inner.wrapped(Deadly) as storage:
        result = await upload_tree(source, storage, bulk=BulkOptions(workers=1))
    assert result.failed == len(FILES) + 1
    assert "the worker process ended" in str(result.failures[0].error)
    assert str(result.failures[0].error).count(folder) == 1


async def test_uploads_of_killed_workers_are_aborted(source: Path, bucket: Callable[[], Storage], marks: Path) -> None:
    """The multipart uploads that a killed worker had begun are aborted."""
    async with bucket() as inner, inner.wrapped(SlowParts) as storage:
        async with anyio.create_task_group() as group:

            async def upload() -> None:
                bulk = BulkOptions(workers=1, upload=PARTS)
                result = await upload_tree(source, storage, bulk=bulk, include=["big"])
                assert result.done == 1

            group.start_soon(upload)
            victim = await begun(marks, "part")
            assert len([item async for item in inner.list_multipart_uploads()]) == 1
            os.kill(victim, signal.SIGKILL)
            (marks / "go").touch()
        assert [item async for item in inner.list_multipart_uploads()] == []
        assert await inner.read("big") == FILES["big"]


class SlowParts(Slow):
    """Parts of it take long, too."""

    async def upload_part(self, *args: Any) -> Any:
        await told_to_go("part")
        return await super().upload_part(*args)


async def test_cancelled(source: Path, bucket: Callable[[], Storage], marks: Path) -> None:
    """A cancelled operation ends its workers, which abort their uploads."""
    async with bucket() as inner, inner.wrapped(SlowParts) as storage:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: upload_tree(source, storage, bulk=BulkOptions(workers=2, upload=PARTS)))
            await begun(marks)
            group.cancel_scope.cancel()
        assert children() == []
        assert [item async for item in inner.list_multipart_uploads()] == []


async def test_failing_sink(source: Path, folder: str) -> None:
    """An error of the progress sink ends the operation and its workers."""

    def sink(event: ProgressEvent) -> None:
        if event.objects_done:
            raise LookupError("from the sink")

    async with open_storage(folder, sync=False) as storage:
        with pytest.raises(LookupError, match="from the sink"):
            await upload_tree(source, storage, bulk=TWO, progress=sink)
    assert children() == []


async def test_what_cannot_be_pickled(source: Path) -> None:
    """A storage whose objects no other process has is refused before any process starts."""
    for settings in ({}, {"shared": "name"}):
        async with open_storage("memory://bucket", settings=settings) as storage:
            with pytest.raises(ConfigurationError, match="other objects"):
                await upload_tree(source, storage, bulk=TWO)
    async with open_storage("s3://bucket", access_key_id="AKIAFAKE", secret_access_key="fake") as storage:
        with pytest.raises(ConfigurationError, match="secret_access_key is a secret"):
            await upload_tree(source, storage, bulk=TWO)
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        BulkOptions(workers=0)


@pytest.fixture(params=["threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "threads":
        made: Executor = ThreadPoolExecutor(2)
    else:
        made = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with made:
        yield made


async def test_what_a_worker_lacks(source: Path, bucket: Callable[[], Storage], tmp_path: Path) -> None:
    """A worker that cannot open a storage says why, in a process and on an executor."""
    async with bucket() as storage:
        os.environ.pop("WORKERS_KEY")
        with ThreadPoolExecutor(1) as executor:
            for bulk in (BulkOptions(workers=1), BulkOptions(executor=executor)):
                with pytest.raises(ConfigurationError, match="WORKERS_KEY, which is not set"):
                    await upload_tree(source, storage, bulk=bulk)
    assert children() == []


async def test_executors(executor: Executor, source: Path, tmp_path: Path, folder: str) -> None:
    """Any executor carries out shards; it stays open, and its events come when shards end."""
    events: list[ProgressEvent] = []
    bulk = BulkOptions(executor=executor, workers=2)
    async with open_storage(folder, sync=False) as storage:
        up = await upload_tree(source, storage, bulk=bulk, progress=events.append)
        down = await download_tree(storage, tmp_path / "back", bulk=bulk)
    assert (up.done, down.done) == (len(FILES), len(FILES))
    assert read(tmp_path / "back") == FILES
    assert [event.kind for event in events].count("object_done") == len(FILES)
    assert executor.submit(int).result() == 0

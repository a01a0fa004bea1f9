"""
Transfers on the workers of a Dask cluster: complete if workers are killed, and ended by a cancellation.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import distributed
import pytest

from asyncstore import BulkOptions, Storage, UploadOptions, open_storage, sync_tree, upload_tree
from asyncstore.integrations.dask import DaskExecutor
from asyncstore.options import MiB
from tests.cli.shell import invoke, records, tree
from tests.servers.s3 import S3Server, fresh_bucket
from tests.storage.test_sync import make, read
from tests.storage.test_workers import SlowParts, begun, opened

# Starting a cluster takes long on a busy machine.
pytestmark = pytest.mark.timeout(180)

FILES = {**{f"many/{number}": bytes([number]) * 1000 for number in range(40)}, "big": os.urandom(6 * MiB)}
UPLOAD = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)


@pytest.fixture(scope="module")
def environment(seaweed: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set the variables that the workers of the cluster need, and yield the folder of marks."""
    with pytest.MonkeyPatch.context() as patch:
        marks = tmp_path_factory.mktemp("marks")
        patch.setenv("WORKERS_MARKS", str(marks))
        patch.setenv("WORKERS_KEY", seaweed.secret_access_key)
        yield marks


@pytest.fixture(scope="module")
def cluster(environment: Path) -> Iterator[Any]:
    untyped: Any = distributed
    assert environment.exists()
    with (
        untyped.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        untyped.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def client(cluster: Any) -> Any:
    """Return the client when all workers are there: a test may have killed one."""
    cluster.wait_for_workers(2, timeout=60)
    return cluster


@pytest.fixture
def marks(environment: Path) -> Path:
    for mark in environment.iterdir():
        mark.unlink()
    return environment


@pytest.fixture
def storage(seaweed: S3Server) -> Storage:
    return opened(seaweed, fresh_bucket(seaweed))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source", FILES)


async def test_worker_that_is_killed(client: Any, source: Path, storage: Storage, marks: Path) -> None:
    """A killed worker costs its shards only: others carry them out again, and its multipart upload is aborted."""
    bulk = BulkOptions(executor=DaskExecutor(client), upload=UPLOAD)
    async with storage as inner, inner.wrapped(SlowParts) as slow:
        async with anyio.create_task_group() as group:

            async def upload() -> None:
                result = await upload_tree(source, slow, bulk=bulk)
                assert (result.done, result.failed) == (len(FILES), 0)

            group.start_soon(upload)
            # Initiated, and told: what is being initiated when its worker dies is not known to anybody.
            victim = await begun(marks, "part")
            os.kill(victim, signal.SIGKILL)
            (marks / "go").touch()
        assert [item async for item in inner.list_multipart_uploads()] == []
        assert {info.name async for info in inner.list()} == set(FILES)
        assert await inner.read("big") == FILES["big"]


async def test_cancelled(client: Any, source: Path, storage: Storage, marks: Path) -> None:
    """A cancelled operation ends its tasks, which abort their uploads; the client stays usable."""
    bulk = BulkOptions(executor=DaskExecutor(client), upload=UPLOAD)
    async with storage as inner, inner.wrapped(SlowParts) as slow:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: upload_tree(source, slow, bulk=bulk, include=["big"]))
            await begun(marks, "part")
            with anyio.fail_after(30):
                while not [item async for item in inner.list_multipart_uploads()]:
                    await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        assert [item async for item in inner.list_multipart_uploads()] == []
        (marks / "go").touch()
        assert (await upload_tree(source, slow, bulk=bulk)).done == len(FILES)


async def test_local_files(client: Any, source: Path, tmp_path: Path) -> None:
    """The workers of the cluster transfer; a sync afterwards finds nothing to do."""
    executor = DaskExecutor(client, retries=1)
    assert executor.workers == 2
    (tmp_path / "objects").mkdir()
    async with open_storage(f"file://{tmp_path}/objects", sync=False) as storage:
        up = await upload_tree(source, storage, bulk=BulkOptions(executor=executor))
        assert (up.done, up.total_bytes) == (len(FILES), sum(map(len, FILES.values())))
        again = await sync_tree(storage, tmp_path / "back", bulk=BulkOptions(executor=executor))
    assert again.transferred.done == len(FILES)
    assert read(tmp_path / "back") == FILES


@pytest.mark.parametrize("command", [["cp", "-r"], ["sync"]])
def test_command_line(client: Any, source: Path, tmp_path: Path, command: list[str]) -> None:
    """``--dask`` transfers on the workers of the cluster."""
    address = client.scheduler_info()["address"]
    done = invoke(*command, "--dask", address, source, f"file://{tmp_path}/objects", "--json")
    assert done.exit_code == 0, done.stderr
    assert tree(tmp_path / "objects") == FILES
    assert records(done.stdout)[-1]["done"] == len(FILES)


def test_command_line_that_makes_no_sense(source: Path, tmp_path: Path) -> None:
    """An address that is none, and two kinds of workers, are refused; nothing is written."""
    target = f"file://{tmp_path}/objects"
    nowhere = invoke("cp", "-r", "--dask", "nope://x", source, target)
    assert (nowhere.exit_code, "no Dask scheduler answers at nope://x" in nowhere.stderr) == (5, True)
    both = invoke("cp", "-r", "--dask", "tcp://x:1", "--workers", "2", source, target)
    assert (both.exit_code, "give one" in both.stderr) == (2, True)
    assert not (tmp_path / "objects").exists()

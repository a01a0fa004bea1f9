"""
Storages for the tests of your own program, as pytest fixtures.

pytest loads this plugin by itself where asyncstore is installed::

    @pytest.mark.asyncstore_faults("put", times=2)
    @pytest.mark.usefixtures("nothing_leaked")
    async def test_report_survives_a_fault(faulty_storage, storage_faults):
        await write_report(faulty_storage)
        assert storage_faults.calls["put"] == 3

No request leaves the machine, and retries do not wait. Tests run with pytest-asyncio, in either
of its modes, or with the plugin of anyio; the stand-ins of providers need the extras of their drivers.

The stand-ins are imported by the fixtures that start them. ``-p no:asyncstore`` leaves the plugin out.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

try:
    import pytest
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(f"{exc.name} is not installed: pip install 'asyncstore[testing]'") from None

if TYPE_CHECKING:
    from pytest_asyncio import fixture as _async_fixture

    from asyncstore.storage import Storage
    from asyncstore.testing.faults import FaultyDriver
    from asyncstore.testing.servers.gcs import GCSServer
    from asyncstore.testing.servers.github import GitHubServer
    from asyncstore.testing.servers.oci import OCIServer, User
    from asyncstore.testing.servers.stand_in import StandIn
else:
    try:
        # In its strict mode, pytest-asyncio runs only the fixtures that this decorator made. anyio runs all.
        from pytest_asyncio import fixture as _async_fixture
    except ModuleNotFoundError:
        _async_fixture = pytest.fixture

__all__ = [
    "faulty_storage",
    "gcs_server",
    "github_server",
    "local_storage",
    "memory_storage",
    "nothing_leaked",
    "oci_server",
    "oci_user",
    "storage_faults",
]

_ServerT = TypeVar("_ServerT", bound="StandIn")

_FAULTS: Final = "asyncstore_faults"
# The faults that need nothing of the test while it runs.
_KINDS: Final = ("corrupt", "fail", "lose_reply", "slow", "truncate")
_SERVER_FAULTS: Final = "asyncstore_server_faults"

_LEFT: Final = pytest.StashKey[list[str]]()
# The open files of this process, on Linux and macOS.
_DESCRIPTORS: Final = "/dev/fd"
# How often, and with which pause, tasks and connections that are just ending are waited for.
_LOOKS: Final = 100
_PAUSE: Final = 0.01


def pytest_configure(config: pytest.Config) -> None:
    """
    Announce the marks.
    """
    for line in (
        f"{_FAULTS}(op, ..., kind='fail'): inject a fault into faulty_storage; the other arguments are those "
        f"of the method {' or '.join(_KINDS)} of asyncstore.testing.faults.FaultyDriver",
        f"{_SERVER_FAULTS}(...): make requests to the server of the test fail; the arguments are those of "
        "asyncstore.testing.servers.faults.Fault",
    ):
        # Where conftest.py names this plugin, too, it is loaded twice.
        if line not in config.getini("markers"):
            config.addinivalue_line("markers", line)


@_async_fixture
async def memory_storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    """
    An empty bucket in memory, which is as strict as the strictest provider.
    """
    from asyncstore.storage.opening import open_storage

    async with open_storage("memory://bucket") as storage:
        yield storage
        await _note_uploads(request, storage)


@_async_fixture
async def local_storage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    """
    An empty storage of local files, in ``tmp_path / "objects"``.
    """
    from asyncstore.storage.opening import open_storage

    folder = tmp_path / "objects"
    folder.mkdir()
    async with open_storage(f"file://{folder}/", sync=False) as storage:
        yield storage
        await _note_uploads(request, storage)


@pytest.fixture
def storage_faults(request: pytest.FixtureRequest) -> FaultyDriver:
    """
    Injects faults into :func:`faulty_storage`, and counts its requests.

    ``storage_faults.driver.objects`` and ``.uploads`` are what is stored. It starts with the faults of the marks
    ``asyncstore_faults``, those of the class or module after those of the test.
    """
    from asyncstore.drivers.memory import MemoryDriver
    from asyncstore.testing.faults import FaultyDriver

    faults = FaultyDriver(MemoryDriver("bucket"))
    for mark in request.node.iter_markers(_FAULTS):
        _inject(faults, *mark.args, **mark.kwargs)
    return faults


def _inject(faults: FaultyDriver, *args: Any, kind: str = "fail", **kwargs: Any) -> None:
    if kind not in _KINDS:
        raise ValueError(f"the kind of {_FAULTS} is {', '.join(_KINDS)}, not {kind!r}")
    getattr(faults, kind)(*args, **kwargs)


@_async_fixture
async def faulty_storage(storage_faults: FaultyDriver, request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    """
    An empty bucket in memory whose requests fail on command.
    """
    async with storage_faults.storage("memory://bucket") as storage:
        yield storage
        # Not by a request, which the faults could fail.
        uploads: dict[str, str] = getattr(storage_faults.driver, "uploads", {})
        _note(request, (f"an upload of {key}" for key in sorted(uploads.values())))
        if storage_faults.bodies_open:
            _note(request, [f"{storage_faults.bodies_open} objects open for reading"])


@_async_fixture
async def nothing_leaked(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """
    Fail a test that leaves something behind.

    That is a task that runs, a connection or listening socket, an unfinished upload in one of the storages and
    servers of this plugin, an object of :func:`faulty_storage` that is open for reading, or a temporary file
    in ``tmp_path``. Those of downloads that can be resumed count too.

    Use it by ``usefixtures`` or before other fixtures: it looks after those that were set up later are closed.
    What ends within a second is waited for.
    """
    left = request.node.stash[_LEFT] = []
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    tasks, sockets = asyncio.all_tasks(), _sockets()
    yield
    running, connected = _running(tasks), _sockets() - sockets
    for _ in range(_LOOKS):
        if not running and not connected:
            break
        await asyncio.sleep(_PAUSE)
        running, connected = _running(tasks), _sockets() - sockets
    left += [f"a task that runs {task.get_coro()}" for task in running]
    left += ["a connection"] * len(connected)
    if folder is not None:
        left += _temporary_files(folder)
    if left:
        pytest.fail(f"the test left behind {', '.join(left)}", pytrace=False)


def _running(before: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]


def _sockets() -> set[tuple[int, int]]:
    found = set()
    for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - numbers, not paths
        # The one that listed them is closed by now.
        with suppress(OSError):
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode):
                found.add((int(name), status.st_ino))
    return found


def _temporary_files(folder: Path) -> list[str]:
    from asyncstore._support.temporary import is_temporary

    found = sorted(path.relative_to(folder) for path in folder.rglob(".*.part") if is_temporary(path.name))
    return [f"the temporary file {path}" for path in found]


async def _note_uploads(request: pytest.FixtureRequest, storage: Storage) -> None:
    if _LEFT in request.node.stash:
        keys = [upload.uri.key async for upload in storage.list_multipart_uploads()]
        _note(request, (f"an upload of {key.removeprefix(storage.root.key)}" for key in keys))


def _note(request: pytest.FixtureRequest, found: Iterable[str]) -> None:
    if _LEFT in request.node.stash:
        request.node.stash[_LEFT] += found


@pytest.fixture(scope="session")
def oci_user() -> User:
    """
    The user whom :func:`oci_server` authenticates, shared by all tests because its key is slow to generate.
    """
    from asyncstore.testing.servers.oci import User

    return User.generate()


@_async_fixture
async def oci_server(oci_user: User, request: pytest.FixtureRequest) -> AsyncIterator[OCIServer]:
    """
    A stand-in for OCI Object Storage, without buckets; ``requests`` has what it received.
    """
    from asyncstore.testing.servers.oci import OCIServer

    async with _serving(OCIServer(oci_user), request) as server:
        yield server
        buckets = server.store.buckets.values()
        _note(request, (f"an upload of {upload.name}" for bucket in buckets for upload in bucket.uploads.values()))


@_async_fixture
async def gcs_server(request: pytest.FixtureRequest) -> AsyncIterator[GCSServer]:
    """
    A stand-in for Google Cloud Storage, without buckets; ``requests`` has what it received.
    """
    from asyncstore.testing.servers.gcs import GCSServer

    async with _serving(GCSServer(), request) as server:
        yield server
        planned = [upload.planned for upload in server.world.multipart.values()]
        sessions = server.world.sessions.values()
        planned += [session.planned for session in sessions if session.answer is None and not session.cancelled]
        _note(request, (f"an upload of {target.name}" for target in planned))


@_async_fixture
async def github_server(request: pytest.FixtureRequest) -> AsyncIterator[GitHubServer]:
    """
    A stand-in for GitHub releases, with the repository ``octocat/hello``; ``requests`` has what it received.
    """
    from asyncstore.testing.servers.github import GitHubServer

    async with _serving(GitHubServer(), request) as server:
        yield server


@asynccontextmanager
async def _serving(server: _ServerT, request: pytest.FixtureRequest) -> AsyncIterator[_ServerT]:
    from asyncstore.testing.servers.faults import Fault

    for mark in request.node.iter_markers(_SERVER_FAULTS):
        server.inject(Fault(*mark.args, **mark.kwargs))
    async with server:
        yield server

"""
The fixtures and the suite, as users have them in their own projects.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from asyncstore.testing.conformance import StorageConformance

ROOT = Path(__file__).parents[2]

SETTINGS = "asyncio_default_fixture_loop_scope = function"
FIXTURES = """
pytest_plugins = ["asyncstore.testing.plugin"]
"""
USING_FIXTURES = """
import pytest

pytestmark = pytest.mark.asyncio

async def test_memory(memory_storage):
    await memory_storage.put(memory_storage.root / "a", b"1")
    assert await memory_storage.read(memory_storage.root / "a") == b"1"

async def test_files(local_storage):
    await local_storage.put(local_storage.root / "a", b"1")
    assert [info.uri async for info in local_storage.list()] == [local_storage.root / "a"]

async def test_faults(faulty_storage, storage_faults):
    storage_faults.fail("put", times=5)
    await faulty_storage.put(faulty_storage.root / "a", b"1")
    assert storage_faults.calls["put"] == 6
    assert storage_faults.driver.objects == {"a": b"1"}

@pytest.mark.asyncstore_faults("put", times=5)
@pytest.mark.asyncstore_faults("read", kind="truncate", after=1)
@pytest.mark.usefixtures("nothing_leaked")
async def test_marks(faulty_storage, storage_faults):
    await faulty_storage.put("a", b"data")
    assert await faulty_storage.read("a") == b"data"
    assert storage_faults.calls["put"] == 6
    assert storage_faults.calls["open_read"] == 2

async def test_gcs(gcs_server):
    from asyncstore import open_storage

    gcs_server.create_bucket("lab")
    async with open_storage("gs://lab", endpoint_url=gcs_server.url, anonymous=True) as storage:
        await storage.put("a", b"1")
    assert len(gcs_server.requests) == 1

async def test_github(github_server):
    from asyncstore import open_storage
    from asyncstore.testing.servers.github import FAKE_TOKEN

    settings = {"endpoint_url": github_server.api_url, "token": FAKE_TOKEN, "create_release": True}
    async with open_storage("github://octocat/hello/releases/v1/", **settings) as storage:
        await storage.put("a.txt", b"1")
    assert [request.method for request in github_server.requests] == ["GET", "POST", "POST"]

@pytest.mark.asyncstore_server_faults(status=503, method="POST", times=2)
async def test_server_faults(gcs_server):
    from asyncstore import open_storage

    gcs_server.create_bucket("lab")
    settings = {"endpoint_url": gcs_server.url, "anonymous": True, "initial_backoff": 0.001}
    async with open_storage("gs://lab", **settings) as storage:
        await storage.put("a", b"1")
    assert [request.method for request in gcs_server.requests] == ["POST"] * 3

async def test_oci(oci_server, oci_user):
    import asyncio
    import oci

    settings = oci_user.settings(oci_server.store.region)
    client = oci.object_storage.ObjectStorageClient(settings, service_endpoint=oci_server.url)
    assert (await asyncio.to_thread(client.get_namespace)).data == oci_server.store.namespace
    client.base_client.session.close()
"""
LEAKING = """
import asyncio
import socket

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("nothing_leaked")]
tasks, opened = [], []

async def test_task():
    tasks.append(asyncio.ensure_future(asyncio.sleep(60)))

async def test_upload(faulty_storage):
    await faulty_storage.initiate_multipart_upload("big.bin")

async def test_memory(memory_storage):
    await memory_storage.initiate_multipart_upload("memory.bin")

async def test_files(local_storage):
    await local_storage.initiate_multipart_upload("local.bin")

async def test_server(gcs_server):
    from asyncstore import open_storage

    gcs_server.create_bucket("lab")
    async with open_storage("gs://lab", endpoint_url=gcs_server.url, anonymous=True) as storage:
        await storage.initiate_multipart_upload("server.bin")

async def test_body(faulty_storage):
    await faulty_storage.put("a", b"1")
    opened.append(faulty_storage.get("a"))
    await opened[0].__aenter__()

async def test_connection():
    ours, theirs = socket.socketpair()
    opened.extend([ours, theirs])

async def test_temporary_file(tmp_path):
    (tmp_path / ".a.asyncstore-0123456789ab.part").write_bytes(b"")

async def test_nothing(memory_storage, local_storage, faulty_storage, tmp_path):
    for storage in (memory_storage, local_storage, faulty_storage):
        await storage.put("a", b"1")
        await storage.download("a", tmp_path / "file")
    tasks.append(asyncio.ensure_future(asyncio.sleep(0.1)))

@pytest.mark.asyncstore_faults("put", kind="explode")
async def test_kind(faulty_storage):
    pass
"""
ANYIO = """
import asyncio

import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
@pytest.mark.usefixtures("nothing_leaked")
async def test_anyio(memory_storage, gcs_server):
    from asyncstore import open_storage

    await memory_storage.put("a", b"1")
    gcs_server.create_bucket("lab")
    async with open_storage("gs://lab", endpoint_url=gcs_server.url, anonymous=True) as storage:
        assert [info async for info in storage.list()] == []
"""
UNUSED = """
import sys

import pytest

def test_loads_no_server(request):
    assert request.config.pluginmanager.hasplugin("asyncstore")
    assert not [name for name in sys.modules if name.startswith(("asyncstore.drivers.", "asyncstore.testing.servers"))]
    assert {name.partition(".")[0] for name in sys.modules}.isdisjoint({"aiobotocore", "azure", "cryptography", "oci"})
"""
SUBCLASS = """
import pytest_asyncio

from asyncstore import open_storage
from asyncstore.testing.conformance import StorageConformance

class TestMine(StorageConformance):
    makes_buckets = True
    quirks = {"list-order": "it sorts by weather", "[plus]": "it cannot count"}

    @pytest_asyncio.fixture
    async def storage(self):
        async with open_storage("memory://mine/here/") as storage:
            yield storage
"""


def run(folder: Path, *arguments: str, settings: str = SETTINGS) -> subprocess.CompletedProcess[str]:
    """Run pytest with the configuration of a new project."""
    (folder / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{settings}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rsx", "-p", "no:cacheprovider", *arguments]
    # The second is that of an installed package, for a test that makes one.
    environment = {"PYTHONPATH": f"{ROOT}:{folder / 'installed'}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False)


def test_fixtures(tmp_path: Path) -> None:
    """
    One line in ``conftest.py`` provides the fixtures.
    """
    (tmp_path / "conftest.py").write_text(FIXTURES)
    (tmp_path / "test_mine.py").write_text(USING_FIXTURES)

    ended = run(tmp_path)

    assert "8 passed" in ended.stdout, ended.stdout + ended.stderr


def test_leaks(tmp_path: Path) -> None:
    """
    A test that leaves something behind fails, and the report says what; so does one with a fault that does not exist.
    """
    (tmp_path / "conftest.py").write_text(FIXTURES)
    (tmp_path / "test_mine.py").write_text(LEAKING)

    ended = run(tmp_path, "--strict-markers")

    assert "9 passed, 9 errors" in ended.stdout, ended.stdout + ended.stderr
    assert "the test left behind a task that runs <coroutine object sleep" in ended.stdout
    for key in ("big.bin", "memory.bin", "local.bin", "server.bin"):
        assert f"the test left behind an upload of {key}" in ended.stdout
    assert "the test left behind 1 objects open for reading" in ended.stdout
    assert "the test left behind a connection, a connection" in ended.stdout
    assert "the test left behind the temporary file .a.asyncstore-0123456789ab.part" in ended.stdout
    assert "the kind of asyncstore_faults is corrupt, fail, lose_reply, slow, truncate, not 'explode'" in ended.stdout


def test_loaded_by_itself(tmp_path: Path) -> None:
    """
    pytest finds the plugin by its entry point, and a run that does not use it imports no stand-in, driver or SDK.
    """
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["pytest11"]
    metadata = tmp_path / "installed" / "asyncstore_entry-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: asyncstore-entry\nVersion: 1\n")
    entries = "".join(f"{name} = {module}\n" for name, module in declared.items())
    (metadata / "entry_points.txt").write_text(f"[pytest11]\n{entries}")
    (tmp_path / "test_mine.py").write_text(UNUSED)

    # The plugins of the other packages that are installed import theirs.
    ended = run(tmp_path, "-p", "no:anyio")

    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("arguments", "settings"), [(["-p", "no:asyncio"], ""), ([], SETTINGS)], ids=["alone", "beside-pytest-asyncio"]
)
def test_with_anyio(tmp_path: Path, arguments: list[str], settings: str) -> None:
    """
    The fixtures also work in tests that the plugin of anyio runs.
    """
    (tmp_path / "conftest.py").write_text(FIXTURES)
    (tmp_path / "test_mine.py").write_text(ANYIO)

    ended = run(tmp_path, *arguments, settings=settings)

    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr


def test_suite_in_strict_mode(tmp_path: Path) -> None:
    """
    A subclass of a few lines is a test file, also in pytest-asyncio's strict mode.
    """
    (tmp_path / "test_mine.py").write_text(SUBCLASS)

    ended = run(tmp_path, "-k", "exists or byte_order or (key_is_deleted and plus) or missing_bucket_refuses")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "list-order: it sorts by weather" in ended.stdout
    assert "[plus]: it cannot count" in ended.stdout
    assert "creates missing buckets on a write" in ended.stdout


def test_unknown_quirk_is_refused() -> None:
    """
    A quirk that names no test and no tag is an error.
    """
    with pytest.raises(TypeError, match="test_no_such"):
        type("TestWrong", (StorageConformance,), {"quirks": {"test_no_such": "it is not there"}})


def test_groups_share_no_names() -> None:
    """
    No test or helper of one group overrides that of another.
    """
    groups = [kind for kind in StorageConformance.__mro__ if kind not in (StorageConformance, object)]
    names = Counter(name for kind in groups for name in vars(kind) if not name.startswith("__"))

    assert [name for name, count in names.items() if count > 1] == []


def test_every_test_states_its_promise() -> None:
    """
    Every test of the suite has a docstring that states the contract.
    """
    tests = [name for name in dir(StorageConformance) if name.startswith("test_")]

    assert [name for name in tests if not getattr(StorageConformance, name).__doc__] == []

"""
What users get: the fixtures, and the suite in a project of their own.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from asyncstore.testing.conformance import StorageConformance

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

async def test_oci(oci_server, oci_user):
    import asyncio
    import oci

    settings = oci_user.settings(oci_server.store.region)
    client = oci.object_storage.ObjectStorageClient(settings, service_endpoint=oci_server.url)
    assert (await asyncio.to_thread(client.get_namespace)).data == oci_server.store.namespace
    client.base_client.session.close()
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


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a user does who has set nothing."""
    (folder / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-rsx", "-p", "no:cacheprovider", *arguments]
    root = Path(__file__).parents[2]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=50, check=False
    )


def test_fixtures(tmp_path: Path) -> None:
    """
    One line in a conftest gives a program storages for its tests.
    """
    (tmp_path / "conftest.py").write_text(FIXTURES)
    (tmp_path / "test_mine.py").write_text(USING_FIXTURES)

    ended = run(tmp_path)

    assert "4 passed" in ended.stdout, ended.stdout + ended.stderr


def test_suite_in_strict_mode(tmp_path: Path) -> None:
    """
    A subclass of a few lines is a test file, also where pytest-asyncio is left in its strict mode.
    """
    (tmp_path / "test_mine.py").write_text(SUBCLASS)

    ended = run(tmp_path, "-k", "exists or byte_order or (key_is_deleted and plus) or missing_bucket_takes")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "list-order: it sorts by weather" in ended.stdout
    assert "[plus]: it cannot count" in ended.stdout
    assert "makes buckets as they are used" in ended.stdout


def test_unknown_quirk_is_refused() -> None:
    """
    An excuse for a test that does not exist is a mistake.
    """
    with pytest.raises(TypeError, match="test_no_such"):
        type("TestWrong", (StorageConformance,), {"quirks": {"test_no_such": "it is not there"}})


def test_no_test_hides_another() -> None:
    """
    Every group's tests have names of their own, or one would take the place of the other.
    """
    groups = [kind for kind in StorageConformance.__mro__ if kind is not StorageConformance]
    names = Counter(name for kind in groups for name in vars(kind) if name.startswith("test_"))

    assert [name for name, count in names.items() if count > 1] == []


def test_every_test_states_its_promise() -> None:
    """
    A third party reads the suite as the contract.
    """
    tests = [name for name in dir(StorageConformance) if name.startswith("test_")]

    assert [name for name in tests if not getattr(StorageConformance, name).__doc__] == []

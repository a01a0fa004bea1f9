"""
Storages for the tests of your own program, as pytest fixtures.

In your ``conftest.py``::

    pytest_plugins = ["asyncstore.testing.plugin"]

and in a test::

    async def test_report_survives_a_fault(faulty_storage, storage_faults):
        storage_faults.fail("put", times=2)
        await write_report(faulty_storage)
        assert storage_faults.calls["put"] == 3

Nothing leaves the process, and no test waits between two attempts. It needs
pytest and pytest-asyncio, in either of its modes; the stand-ins of providers need
what their drivers do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.registry import open_storage
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver

if TYPE_CHECKING:
    from asyncstore.testing.servers.oci import OCIServer, User


@pytest_asyncio.fixture
async def memory_storage() -> AsyncIterator[Storage]:
    """
    An empty bucket in memory, with the semantics of the strictest cloud.
    """
    async with open_storage("memory://bucket") as storage:
        yield storage


@pytest_asyncio.fixture
async def local_storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """
    An empty directory of files, ``objects`` below ``tmp_path``.
    """
    folder = tmp_path / "objects"
    folder.mkdir()
    async with open_storage(f"file://{folder}/", sync=False) as storage:
        yield storage


@pytest.fixture
def storage_faults() -> FaultyDriver:
    """
    Faults on command and counts of requests, for :func:`faulty_storage`.

    ``storage_faults.driver.objects`` and ``.uploads`` show what is stored.
    """
    return FaultyDriver(MemoryDriver("bucket"))


@pytest_asyncio.fixture
async def faulty_storage(storage_faults: FaultyDriver) -> AsyncIterator[Storage]:
    """
    An empty bucket in memory whose requests fail as a test asks for.
    """
    async with storage_faults.storage("memory://bucket") as storage:
        yield storage


@pytest.fixture(scope="session")
def oci_user() -> User:
    """
    Whom :func:`oci_server` lets in. There is one for all tests, for it takes long to make a key.
    """
    from asyncstore.testing.servers.oci import User

    return User.generate()


@pytest_asyncio.fixture
async def oci_server(oci_user: User) -> AsyncIterator[OCIServer]:
    """
    A server that stands in for OCI Object Storage, without buckets.
    """
    from asyncstore.testing.servers.oci import OCIServer

    async with OCIServer(oci_user) as server:
        yield server

"""
Repositories that were renamed or moved to another owner: their old names go on working.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncstore import NotFoundError, Storage
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.github import GitHubServer
from tests.drivers.github.fixtures import opened


@pytest.fixture
async def server() -> AsyncIterator[GitHubServer]:
    async with GitHubServer(base_path="/api/v3") as running:
        async with opened(running) as storage:
            await storage.put(storage.root / "a", b"hello")
        running.rename_repository("octocat/hello", "octocat/goodbye")
        running.requests.clear()
        yield running


@pytest.fixture
async def storage(server: GitHubServer) -> AsyncIterator[Storage]:
    async with opened(server) as storage:
        yield storage


def paths(server: GitHubServer) -> list[str]:
    return [request.path.partition("?")[0].removeprefix("/api/v3") for request in server.requests]


async def test_read(server: GitHubServer, storage: Storage) -> None:
    """The redirect is followed once; later requests go to the present address."""
    assert await storage.read(storage.root / "a") == b"hello"
    assert (await storage.stat(storage.root / "a")).size == 5

    number = server.repository("octocat/goodbye").id
    old, new, asset, again = paths(server)
    assert old == "/repos/octocat/hello/releases/tags/v1"
    assert new == again == f"/repositories/{number}/releases/tags/v1"
    assert asset.startswith(f"/repositories/{number}/releases/assets/")


async def test_listing(storage: Storage) -> None:
    """Listings across releases are redirected too, with their query."""
    everything = storage.root.with_key("")

    assert [info.key async for info in storage.list(everything)] == ["v1/a"]


@pytest.mark.parametrize("data", [b"replaced", b"x" * 100_000])
async def test_write(server: GitHubServer, storage: Storage, data: bytes) -> None:
    """Writes and deletions go to the address that a read has found; the old name gets one request."""
    await storage.put(storage.root / "a", data)
    await storage.put(storage.root / "b", b"new")
    await storage.delete(storage.root / "b")

    assert await storage.read(storage.root / "a") == data
    assert len([path for path in paths(server) if path.startswith("/repos/octocat/hello/")]) == 1


async def test_new_release(storage: Storage) -> None:
    """A release is created in the renamed repository."""
    uri = storage.root.with_key("v2/a")
    await storage.put(uri, b"second")

    assert await storage.read(uri) == b"second"


async def test_circle(server: GitHubServer, storage: Storage) -> None:
    """A redirect to the same place is an error, not a loop."""
    path = "/api/v3/repos/octocat/hello/releases/tags/v1"
    server.inject(Fault(status=301, headers={"Location": path}, times=None))

    with pytest.raises(NotFoundError, match="cannot be followed"):
        await storage.read(storage.root / "a")
    assert len(server.requests) == 1


async def test_renamed_again(server: GitHubServer, storage: Storage) -> None:
    """A repository that is renamed while the storage is open is found."""
    await storage.read(storage.root / "a")
    server.rename_repository("octocat/goodbye", "hubot/third")

    assert await storage.read(storage.root / "a") == b"hello"

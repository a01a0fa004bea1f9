"""
An asset is replaced whole or not at all, whatever is lost on the way or cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx

from asyncstore import Storage
from asyncstore.body import Body
from asyncstore.errors import (
    InvalidRequestError,
    PermissionDeniedError,
    SourceChangedError,
    StorageError,
    ThrottledError,
    UnavailableError,
)
from asyncstore.options import MiB, WriteOptions
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults_proxy import DelayReply, FaultProxy, StallRequest, When
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.github import GitHubServer
from tests.drivers.github import assets, calls, driver_of, opened, planted, release, releases

OLD, NEW = b"the old bytes", b"the new bytes, which are more"


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    with blockbuster_ctx("asyncstore"):
        yield


@pytest.fixture
async def server() -> AsyncIterator[GitHubServer]:
    async with GitHubServer() as server:
        yield server


async def with_old(storage: Storage, server: GitHubServer) -> None:
    await storage.put(storage.root / "a.txt", OLD)
    server.requests.clear()


async def test_requests_for_a_replacement(server: GitHubServer) -> None:
    """The new one is there before the old one goes, and then gets its name."""
    async with opened(server) as storage:
        await with_old(storage, server)
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

    assert calls(server.requests)[:4] == ["GET v1", "POST assets", "DELETE ID", "PATCH ID"]
    assert ".asyncstore-" in server.requests[1].path
    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("status", [500, 502, 422, 403, 401, None])
async def test_upload_that_fails_keeps_the_old(server: GitHubServer, status: int | None) -> None:
    """Until all of the new one has arrived, nothing happens to the old one."""
    async with opened(server) as storage:
        await with_old(storage, server)
        server.inject(Fault(status=status, method="POST"))
        with pytest.raises(StorageError):
            await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == OLD

    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("replaced", [False, True])
async def test_upload_whose_reply_is_lost(server: GitHubServer, replaced: bool) -> None:
    """What has arrived under a temporary name is taken away; what has its name already is the object."""
    async with opened(server) as storage:
        await release(server, "v1")
        if replaced:
            await with_old(storage, server)
        server.inject(Fault(status=None, method="POST", after_work=True))
        with pytest.raises(UnavailableError):
            await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == (OLD if replaced else NEW)

    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("status", [403, 422])
async def test_old_one_that_cannot_be_deleted(server: GitHubServer, status: int) -> None:
    """It stays, and the new one goes."""
    async with opened(server) as storage:
        await with_old(storage, server)
        server.inject(Fault(status=status, method="DELETE"))
        with pytest.raises((PermissionDeniedError, InvalidRequestError)):
            await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == OLD

    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize(("method", "after_work"), [("DELETE", False), ("DELETE", True), ("PATCH", True)])
async def test_swap_without_an_answer(server: GitHubServer, method: str, after_work: bool) -> None:
    """Whether a step took place is seen, not guessed; the swap goes on."""
    async with opened(server) as storage:
        await with_old(storage, server)
        fault = server.inject(Fault(status=502, method=method, after_work=after_work))
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

    assert fault.met == 1
    assert assets(server) == {"a.txt": "uploaded"}


async def test_swap_that_fails(server: GitHubServer) -> None:
    """If the new one cannot get its name, it is said where it is; the next write cleans up."""
    async with opened(server) as storage:
        await with_old(storage, server)
        server.inject(Fault(status=502, method="PATCH"))
        with pytest.raises(UnavailableError) as failure:
            await storage.put(storage.root / "a.txt", NEW)
        (name,) = assets(server)
        assert name in "".join(failure.value.__notes__)
        assert await storage.read(storage.root / name) == NEW

        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW
    assert assets(server) == {"a.txt": "uploaded"}


async def test_engine_tries_again(server: GitHubServer) -> None:
    """With retries, one failure of each step is not noticed."""
    async with opened(server, attempts=6) as storage:
        await with_old(storage, server)
        for method in ("GET", "POST", "DELETE", "PATCH"):
            server.inject(Fault(status=502, method=method))
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("replaced", [False, True])
async def test_starter_is_taken_away(server: GitHubServer, replaced: bool) -> None:
    """ "This may leave an empty asset with a state of starter. It can be safely deleted." """
    async with opened(server) as storage:
        await with_old(storage, server)
        if not replaced:
            (found,) = releases(server)[0].assets.values()
            found.state = "starter"
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_at_every_request(server: GitHubServer, method: str, times: int) -> None:
    """Whenever a replacement is cancelled there is one asset of the name, old or new, and no other."""
    async with opened(server) as storage:
        await with_old(storage, server)
    async with FaultProxy("127.0.0.1", server.port) as proxy, opened(server, url=proxy.url) as storage:
        rule = proxy.add(DelayReply(0.2), when=When(method=method))
        task = asyncio.get_running_loop().create_task(storage.put(storage.root / "a.txt", NEW))
        while not rule.fired:
            await asyncio.sleep(0.001)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
    async with opened(server) as storage:
        assert await storage.read(storage.root / "a.txt") == (OLD if method in ("GET", "POST") else NEW)

    assert assets(server) == {"a.txt": "uploaded"}


async def test_cancelled_and_failed(server: GitHubServer, caplog: pytest.LogCaptureFixture) -> None:
    """If the last step fails behind the back of who was cancelled, it is logged where the bytes are."""
    async with opened(server) as storage:
        await with_old(storage, server)
        fault = server.inject(Fault(status=502, method="PATCH", delay=0.1))
        task = asyncio.get_running_loop().create_task(storage.put(storage.root / "a.txt", NEW))
        while not fault.met:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    (name,) = assets(server)
    assert f"the new bytes are in the asset {name}" in caplog.text


@pytest.mark.parametrize("replaced", [False, True])
async def test_cancelled_within_the_bytes(server: GitHubServer, tmp_path: Path, replaced: bool) -> None:
    """An upload that is given up half-way leaves no trace."""
    (tmp_path / "file").write_bytes(payload(4 * MiB))
    await release(server, "v1")
    async with FaultProxy("127.0.0.1", server.port) as proxy, opened(server, url=proxy.url) as storage:
        if replaced:
            await with_old(storage, server)
        rule = proxy.add(StallRequest(MiB), when=When(method="POST"))
        with anyio.move_on_after(0.3) as scope:
            await storage.upload(tmp_path / "file", storage.root / "a.txt")
        assert scope.cancelled_caught
        assert rule.fired == 1

    assert assets(server) == ({"a.txt": "uploaded"} if replaced else {})


async def test_limit_within_the_swap(server: GitHubServer) -> None:
    """If GitHub wants no more requests before the old one is gone, it stays; the next write cleans up."""
    async with opened(server) as storage:
        await with_old(storage, server)
        server.inject(Fault(status=429, method="DELETE", headers={"Retry-After": "60"}))
        with pytest.raises(ThrottledError) as failure:
            await storage.put(storage.root / "a.txt", NEW)
        assert "could not clean up" in "".join(failure.value.__notes__)
        assert len(assets(server)) == 2

        driver_of(storage)._wire._held_until = 0.0
        assert await storage.read(storage.root / "a.txt") == OLD
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW
    assert assets(server) == {"a.txt": "uploaded"}


class Changing(Body):
    """
    A file that is found to have changed when half of it is sent.
    """

    size = 2 * MiB

    async def chunks(self) -> AsyncIterator[bytes]:
        yield bytes(MiB)
        raise SourceChangedError("it changed")


@pytest.mark.parametrize("replaced", [False, True])
async def test_source_that_fails(server: GitHubServer, replaced: bool) -> None:
    """A source that fails half-way leaves what was there, and nothing else."""
    await release(server, "v1")
    async with opened(server) as storage:
        if replaced:
            await with_old(storage, server)
        with pytest.raises(SourceChangedError):
            await driver_of(storage).put(storage.root / "a.txt", Changing(), WriteOptions())

    assert assets(server) == ({"a.txt": "uploaded"} if replaced else {})


class Racing(GitHubServer):
    """
    GitHub, with somebody else who takes the name just before a request of *method* arrives.
    """

    method = ""
    raced = False

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == self.method and not self.raced and "assets" in request.path:
            self.raced = True
            await planted(self, "a.txt", b"of others")
        return await super().answer(request)


async def test_name_taken_before_the_upload() -> None:
    """Somebody who was quicker is replaced: the last one wins."""
    async with Racing() as server, opened(server) as storage:
        await release(server, "v1")
        server.method = "POST"
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

        assert server.raced
        assert assets(server) == {"a.txt": "uploaded"}


async def test_name_taken_during_the_swap() -> None:
    """So is somebody who takes the name between the old and the new one."""
    async with Racing() as server, opened(server) as storage:
        await with_old(storage, server)
        server.method = "PATCH"
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

        assert server.raced
        assert assets(server) == {"a.txt": "uploaded"}

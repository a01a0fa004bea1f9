"""
An asset is replaced completely or not at all, whatever fails, is lost or is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from asyncstore import Storage
from asyncstore.driver.body import Body
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
from tests.drivers.github.fixtures import assets, calls, driver_of, opened, planted, release, releases

OLD, NEW = b"the old bytes", b"the new bytes, which are more"


async def with_old(storage: Storage, server: GitHubServer) -> None:
    await storage.put(storage.root / "a.txt", OLD)
    server.requests.clear()


async def test_requests_for_a_replacement(server: GitHubServer) -> None:
    """The new asset is uploaded before the old one is deleted, and then renamed."""
    async with opened(server) as storage:
        await with_old(storage, server)
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

    assert calls(server.requests)[:4] == ["GET v1", "POST assets", "DELETE ID", "PATCH ID"]
    assert ".asyncstore-" in server.requests[1].path
    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("status", [500, 502, 422, 403, 401, None])
async def test_upload_that_fails_keeps_the_old(server: GitHubServer, status: int | None) -> None:
    """The old asset stays unchanged until the new one is complete."""
    async with opened(server) as storage:
        await with_old(storage, server)
        server.inject(Fault(status=status, method="POST"))
        with pytest.raises(StorageError):
            await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == OLD

    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("replaced", [False, True])
async def test_upload_whose_reply_is_lost(server: GitHubServer, replaced: bool) -> None:
    """If the reply is lost, a temporary asset is deleted; one that already has the final name is the object."""
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
    """If the old asset cannot be deleted it stays, and the new one is removed."""
    async with opened(server) as storage:
        await with_old(storage, server)
        server.inject(Fault(status=status, method="DELETE"))
        with pytest.raises((PermissionDeniedError, InvalidRequestError)):
            await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == OLD

    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize(("method", "after_work"), [("DELETE", False), ("DELETE", True), ("PATCH", True)])
async def test_swap_whose_reply_is_lost(server: GitHubServer, method: str, after_work: bool) -> None:
    """After a lost reply the server is asked whether the step took place, and the swap continues."""
    async with opened(server) as storage:
        await with_old(storage, server)
        fault = server.inject(Fault(status=502, method=method, after_work=after_work))
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

    assert fault.met == 1
    assert assets(server) == {"a.txt": "uploaded"}


async def test_swap_that_fails(server: GitHubServer) -> None:
    """If the new asset cannot be renamed, the error names the temporary asset; the next write cleans up."""
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


async def test_engine_retries(server: GitHubServer) -> None:
    """With retries, one failure of each step does not fail the write."""
    async with opened(server, attempts=6) as storage:
        await with_old(storage, server)
        for method in ("GET", "POST", "DELETE", "PATCH"):
            server.inject(Fault(status=502, method=method))
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("replaced", [False, True])
async def test_starter_is_deleted(server: GitHubServer, replaced: bool) -> None:
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
    """Whenever a replacement is cancelled, exactly one asset exists: the old or the new one."""
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
    """If the last step fails after the caller was cancelled, a log message names the temporary asset."""
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
    """An upload that is cancelled while sending leaves nothing behind."""
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
    """If a rate limit stops the swap before the delete, the old asset stays; the next write cleans up."""
    async with opened(server) as storage:
        await with_old(storage, server)
        server.inject(Fault(status=429, method="DELETE", headers={"Retry-After": "60"}))
        with pytest.raises(ThrottledError) as failure:
            await storage.put(storage.root / "a.txt", NEW)
        assert "cleanup failed" in "".join(failure.value.__notes__)
        assert len(assets(server)) == 2

        driver_of(storage)._wire._held_until = 0.0
        assert await storage.read(storage.root / "a.txt") == OLD
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW
    assert assets(server) == {"a.txt": "uploaded"}


class Changing(Body):
    """
    A file that changes after half of it was sent.
    """

    size = 2 * MiB

    async def chunks(self) -> AsyncIterator[bytes]:
        yield bytes(MiB)
        raise SourceChangedError("it changed")


@pytest.mark.parametrize("replaced", [False, True])
async def test_source_that_fails(server: GitHubServer, replaced: bool) -> None:
    """If the source fails while sending, the old asset stays and nothing else is left."""
    await release(server, "v1")
    async with opened(server) as storage:
        if replaced:
            await with_old(storage, server)
        with pytest.raises(SourceChangedError):
            await driver_of(storage).put(storage.root / "a.txt", Changing(), WriteOptions())

    assert assets(server) == ({"a.txt": "uploaded"} if replaced else {})


class Racing(GitHubServer):
    """
    A server where another client uploads the same name just before a request with *method* arrives.
    """

    method = ""
    raced = False

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == self.method and not self.raced and "assets" in request.path:
            self.raced = True
            await planted(self, "a.txt", b"of others")
        return await super().answer(request)


async def test_name_taken_before_the_upload() -> None:
    """Another client's asset that came first is replaced: the last writer wins."""
    async with Racing() as server, opened(server, attempts=2) as storage:
        await release(server, "v1")
        server.method = "POST"
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

        assert server.raced
        assert assets(server) == {"a.txt": "uploaded"}


async def test_name_that_is_taken_each_time() -> None:
    """The bytes are sent as often as ``attempts`` says, and no oftener."""
    refused = b'{"message": "Validation Failed", "errors": [{"resource": "ReleaseAsset", "code": "already_exists"}]}'
    async with GitHubServer() as server, opened(server, attempts=3) as storage:
        await with_old(storage, server)
        sent = len(server.requests)
        server.inject(Fault(status=422, method="POST", times=None, body=refused))
        with pytest.raises(UnavailableError, match="another writer"):
            await storage.put(storage.root / "a.txt", NEW)

        assert 3 == sum(request.method == "POST" for request in server.requests[sent:])


async def test_name_taken_during_the_swap() -> None:
    """The same holds for an asset created between the delete and the rename."""
    async with Racing() as server, opened(server) as storage:
        await with_old(storage, server)
        server.method = "PATCH"
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

        assert server.raced
        assert assets(server) == {"a.txt": "uploaded"}

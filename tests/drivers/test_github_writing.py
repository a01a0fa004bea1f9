"""
What is written, under which release, and what is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from blockbuster import blockbuster_ctx

from asyncstore import Storage
from asyncstore.errors import (
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PreconditionFailedError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.options import DeleteOptions, GiB, MiB, UploadOptions
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer
from tests.drivers.github import REPOSITORY, ROOT, assets, calls, opened, release, releases

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


async def test_release_is_made_if_asked(server: GitHubServer) -> None:
    """Without the setting a tag without a release takes nothing, and the error says what would help."""
    async with opened(server, create_release=False) as storage:
        with pytest.raises(NotFoundError) as failure:
            await storage.put(storage.root / "a.txt", NEW)
        assert "create_release" in "".join(failure.value.__notes__)
        assert releases(server) == []

        await release(server, "v1")
        await storage.put(storage.root / "a.txt", NEW)
    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("settings", [{}, {"draft": True}, {"prerelease": True}, {"target_commitish": "dev"}])
async def test_release_that_is_made(server: GitHubServer, settings: dict[str, Any]) -> None:
    """It is as the settings say."""
    async with opened(server, **settings) as storage:
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

    (made,) = releases(server)
    assert {"draft": made.draft, "prerelease": made.prerelease, "target_commitish": made.target} == {
        "draft": False,
        "prerelease": False,
        "target_commitish": "main",
        **settings,
    }


@pytest.mark.parametrize("draft", [False, True])
async def test_many_writers_make_one_release(server: GitHubServer, draft: bool) -> None:
    """However many assets are written at once to a tag that has no release, it gets one."""
    async with opened(server, draft=draft) as storage, anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(storage.put, storage.root / f"{number}.txt", NEW)

    assert len(releases(server)) == 1
    assert len(assets(server)) == 20


async def test_latest_is_not_made(server: GitHubServer) -> None:
    """Where there is no latest release, none is made under that name."""
    async with opened(server, f"github://{REPOSITORY}/releases/latest/") as storage:
        with pytest.raises(NotFoundError):
            await storage.put(storage.root / "a.txt", NEW)
        await release(server, "v7")
        await storage.put(storage.root / "a.txt", NEW)

    assert assets(server, "v7") == {"a.txt": "uploaded"}


async def test_requests_for_a_new_asset(server: GitHubServer) -> None:
    """One look, one upload: as it is, with its type and length."""
    await release(server, "v1")
    server.requests.clear()
    async with opened(server) as storage:
        info = await storage.put(storage.root / "a.txt", NEW, options=UploadOptions(content_type="text/x-new"))

    assert calls(server.requests) == ["GET v1", "POST assets"]
    sent = server.requests[-1].headers
    assert (sent["content-type"], sent["content-length"]) == ("text/x-new", str(len(NEW)))
    assert info.checksum is not None
    assert info.checksum.value == hashlib.sha256(NEW).digest()


async def test_large_file_is_streamed(server: GitHubServer, tmp_path: Path) -> None:
    """A large file is sent as it is read, and what arrived is compared with what was read."""
    data = payload(20 * MiB)
    (tmp_path / "file").write_bytes(data)
    async with opened(server) as storage:
        info = await storage.upload(tmp_path / "file", storage.root / "a.bin")
        assert storage.statistics().bytes_peak <= 2 * MiB

    assert info.checksum is not None
    assert info.checksum.value == hashlib.sha256(data).digest()


async def test_too_large(server: GitHubServer, tmp_path: Path) -> None:
    """2 GiB are one byte too many, and that is told before anything is sent."""
    with (tmp_path / "file").open("wb") as file:
        file.truncate(2 * GiB)
    async with opened(server) as storage:
        with pytest.raises(InvalidRequestError, match="2147483648"):
            await storage.upload(tmp_path / "file", storage.root / "a.bin")

    assert server.requests == []


@pytest.mark.parametrize("options", [{"if_none_match": "*"}, {"if_match": "1"}, {"metadata": {"a": "b"}}])
async def test_what_github_cannot(server: GitHubServer, options: dict[str, object]) -> None:
    """Conditional writes and metadata are refused before anything is sent."""
    async with opened(server) as storage:
        with pytest.raises(NotSupportedError):
            await storage.put(storage.root / "a.txt", NEW, options=UploadOptions(**options))  # type: ignore[arg-type]
        with pytest.raises(NotSupportedError):
            await storage.copy(storage.root / "a.txt", storage.root / "b.txt")

    assert server.requests == []


async def test_token_goes_to_no_other_upload_host(server: GitHubServer) -> None:
    """An upload URL of another origin gets neither the token nor the bytes."""
    made = await release(server, "v1")
    async with GitHubServer() as other:
        body = json.dumps({**made, "upload_url": f"{other.url}/api/uploads/x{{?name}}"}).encode()
        server.inject(Fault(status=200, body=body, path="/tags/v1"))
        async with opened(server) as storage:
            with pytest.raises(UnavailableError, match="upload host"):
                await storage.put(storage.root / "a.txt", NEW)

        assert other.requests == []


async def test_delete(server: GitHubServer) -> None:
    """One asset goes; one that is not there is no error, nor is a release or repository that is not."""
    async with opened(server) as storage:
        await with_old(storage, server)
        await storage.put(storage.root / "b.txt", NEW)
        for where in (
            storage.root / "a.txt",
            storage.root / "a.txt",
            f"{ROOT}none/a.txt",
            "github://o/none/releases/v1/a",
        ):
            await storage.delete(where)

    assert assets(server) == {"b.txt": "uploaded"}


async def test_delete_if_match(server: GitHubServer) -> None:
    """Only the one that was meant goes."""
    async with opened(server) as storage:
        await with_old(storage, server)
        info = await storage.stat(storage.root / "a.txt")
        await storage.put(storage.root / "a.txt", NEW)
        with pytest.raises(PreconditionFailedError):
            await storage.delete(storage.root / "a.txt", options=DeleteOptions(if_match=info.etag))
        now = await storage.stat(storage.root / "a.txt")
        server.inject(Fault(status=404, method="DELETE"))
        with pytest.raises(PreconditionFailedError, match="meanwhile"):
            await storage.delete(storage.root / "a.txt", options=DeleteOptions(if_match=now.etag))
        await storage.delete(storage.root / "a.txt", options=DeleteOptions(if_match=now.etag))

    assert assets(server) == {}


async def test_anonymous_writes_nothing(server: GitHubServer) -> None:
    """To write needs a token."""
    await release(server, "v1")
    async with opened(server, token=None, anonymous=True) as storage:
        with pytest.raises(UnauthenticatedError):
            await storage.put(storage.root / "a.txt", NEW)


async def test_token_is_renewed_once(server: GitHubServer) -> None:
    """A token that GitHub refuses is asked for again, and the upload is sent again with it."""
    tokens = iter(["fake-stale", FAKE_TOKEN])
    async with opened(server, token=lambda: next(tokens)) as storage:
        await storage.put(storage.root / "a.txt", NEW)

    assert assets(server) == {"a.txt": "uploaded"}
    assert sum("fake-stale" in request.headers["authorization"] for request in server.requests) == 1


async def test_token_that_stays_refused(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not change is not shown twice."""
    monkeypatch.setenv("GH_TOKEN", "fake-stale")
    async with opened(server, token=None) as storage:
        with pytest.raises(UnauthenticatedError):
            await storage.put(storage.root / "a.txt", NEW)

    assert len(server.requests) == 1

"""
Writes and deletions: releases that are created, requests that are sent, writes that are refused.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import anyio
import pytest

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
from tests.drivers.github.fixtures import REPOSITORY, ROOT, assets, calls, opened, release, releases

OLD, NEW = b"the old bytes", b"the new bytes, which are more"


async def with_old(storage: Storage, server: GitHubServer) -> None:
    await storage.put(storage.root / "a.txt", OLD)
    server.requests.clear()


async def test_release_is_created_if_asked(server: GitHubServer) -> None:
    """Without create_release, writing to a tag without a release fails, and the error names the setting."""
    async with opened(server, create_release=False) as storage:
        with pytest.raises(NotFoundError) as failure:
            await storage.put(storage.root / "a.txt", NEW)
        assert "create_release" in "".join(failure.value.__notes__)
        assert releases(server) == []

        await release(server, "v1")
        await storage.put(storage.root / "a.txt", NEW)
    assert assets(server) == {"a.txt": "uploaded"}


@pytest.mark.parametrize("settings", [{}, {"draft": True}, {"prerelease": True}, {"target_commitish": "dev"}])
async def test_fields_of_a_created_release(server: GitHubServer, settings: dict[str, Any]) -> None:
    """A created release has the fields from the settings."""
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
async def test_concurrent_writers_create_one_release(server: GitHubServer, draft: bool) -> None:
    """Concurrent writes to a tag without a release create one release."""
    async with opened(server, draft=draft) as storage, anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(storage.put, storage.root / f"{number}.txt", NEW)

    assert len(releases(server)) == 1
    assert len(assets(server)) == 20


async def test_latest_is_not_created(server: GitHubServer) -> None:
    """If the repository has no latest release, a release named ``latest`` is not created."""
    async with opened(server, f"github://{REPOSITORY}/releases/latest/") as storage:
        with pytest.raises(NotFoundError):
            await storage.put(storage.root / "a.txt", NEW)
        await release(server, "v7")
        await storage.put(storage.root / "a.txt", NEW)

    assert assets(server, "v7") == {"a.txt": "uploaded"}


async def test_requests_for_a_new_asset(server: GitHubServer) -> None:
    """A new asset takes one lookup and one upload, with its content type and length."""
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
    """A large file is streamed, and GitHub's digest is compared with that of the bytes sent."""
    data = payload(20 * MiB)
    (tmp_path / "file").write_bytes(data)
    async with opened(server) as storage:
        info = await storage.upload(tmp_path / "file", storage.root / "a.bin")
        assert storage.statistics().bytes_peak <= 2 * MiB

    assert info.checksum is not None
    assert info.checksum.value == hashlib.sha256(data).digest()


async def test_too_large(server: GitHubServer, tmp_path: Path) -> None:
    """2 GiB is one byte too many, which is refused before any request."""
    with (tmp_path / "file").open("wb") as file:
        file.truncate(2 * GiB)
    async with opened(server) as storage:
        with pytest.raises(InvalidRequestError, match="2147483648"):
            await storage.upload(tmp_path / "file", storage.root / "a.bin")

    assert server.requests == []


@pytest.mark.parametrize("options", [{"if_none_match": "*"}, {"if_match": "1"}, {"metadata": {"a": "b"}}])
async def test_unsupported_writes(server: GitHubServer, options: dict[str, object]) -> None:
    """Conditional writes, metadata and copies are refused before any request."""
    async with opened(server) as storage:
        with pytest.raises(NotSupportedError):
            await storage.put(storage.root / "a.txt", NEW, options=UploadOptions(**options))  # type: ignore[arg-type]
        with pytest.raises(NotSupportedError):
            await storage.copy(storage.root / "a.txt", storage.root / "b.txt")

    assert server.requests == []


async def test_token_goes_to_no_other_upload_host(server: GitHubServer) -> None:
    """An upload URL on another host receives neither the token nor the bytes."""
    made = await release(server, "v1")
    async with GitHubServer() as other:
        body = json.dumps({**made, "upload_url": f"{other.url}/api/uploads/x{{?name}}"}).encode()
        server.inject(Fault(status=200, body=body, path="/tags/v1"))
        async with opened(server) as storage:
            with pytest.raises(UnavailableError, match="upload host"):
                await storage.put(storage.root / "a.txt", NEW)

        assert other.requests == []


async def test_delete(server: GitHubServer) -> None:
    """One asset is deleted; a missing asset, release or repository is not an error."""
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
    """A conditional delete removes only the version it names."""
    async with opened(server) as storage:
        await with_old(storage, server)
        info = await storage.stat(storage.root / "a.txt")
        await storage.put(storage.root / "a.txt", NEW)
        with pytest.raises(PreconditionFailedError):
            await storage.delete(storage.root / "a.txt", options=DeleteOptions(if_match=info.etag))
        now = await storage.stat(storage.root / "a.txt")
        server.inject(Fault(status=404, method="DELETE"))
        with pytest.raises(PreconditionFailedError, match="by another writer"):
            await storage.delete(storage.root / "a.txt", options=DeleteOptions(if_match=now.etag))
        await storage.delete(storage.root / "a.txt", options=DeleteOptions(if_match=now.etag))

    assert assets(server) == {}


async def test_anonymous_writes_nothing(server: GitHubServer) -> None:
    """Anonymous writes are refused."""
    await release(server, "v1")
    async with opened(server, token=None, anonymous=True) as storage:
        with pytest.raises(UnauthenticatedError):
            await storage.put(storage.root / "a.txt", NEW)


async def test_token_is_refreshed_once(server: GitHubServer) -> None:
    """A rejected token is refreshed once, and the upload is sent again with the new one."""
    tokens = iter(["fake-stale", FAKE_TOKEN])
    async with opened(server, token=lambda: next(tokens)) as storage:
        await storage.put(storage.root / "a.txt", NEW)

    assert assets(server) == {"a.txt": "uploaded"}
    assert sum("fake-stale" in request.headers["authorization"] for request in server.requests) == 1


async def test_rejected_token_is_not_sent_twice(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a refresh returns the same token, the request is not sent again."""
    monkeypatch.setenv("GH_TOKEN", "fake-stale")
    async with opened(server, token=None) as storage:
        with pytest.raises(UnauthenticatedError):
            await storage.put(storage.root / "a.txt", NEW)

    assert len(server.requests) == 1


def taken(**more: Any) -> Fault:
    """The refusal of a name that another asset has."""
    error = {"resource": "ReleaseAsset", "code": "already_exists", "field": "name"}
    return Fault(status=422, body=json.dumps({"message": "Validation Failed", "errors": [error]}).encode(), **more)


async def test_name_taken_by_an_asset_that_is_not_listed(server: GitHubServer) -> None:
    """After two uploads the error says what holds the name and what to do; nothing is retried."""
    async with opened(server, attempts=4) as storage:
        await storage.put(storage.root / "b.txt", OLD)
        refusal = server.inject(taken(method="POST", path=r"/assets\?name=a\.txt", times=None))
        with pytest.raises(InvalidRequestError, match=r"'a\.txt' is taken, but lists no asset .* page of the release"):
            await storage.put(storage.root / "a.txt", NEW)

    assert refusal.met == 2
    assert assets(server) == {"b.txt": "uploaded"}


async def test_new_name_taken_by_an_asset_that_is_not_listed(server: GitHubServer) -> None:
    """A replacement whose last step finds its name taken says so, and which asset has the new bytes."""
    async with opened(server) as storage:
        await with_old(storage, server)
        refusal = server.inject(taken(method="PATCH", times=None))
        with pytest.raises(InvalidRequestError, match=r"'a\.txt' is taken") as failure:
            await storage.put(storage.root / "a.txt", NEW)
        (left,) = assets(server)
        assert left in "".join(failure.value.__notes__)
        refusal.times = 0
        await storage.put(storage.root / "a.txt", NEW)

    assert refusal.met == 2
    assert assets(server) == {"a.txt": "uploaded"}


async def test_name_that_was_taken_for_a_moment(server: GitHubServer) -> None:
    """A writer that created the name and deleted it again does no harm."""
    async with opened(server) as storage:
        await storage.put(storage.root / "b.txt", OLD)
        server.inject(taken(method="POST", path=r"/assets\?name=a\.txt"))
        await storage.put(storage.root / "a.txt", NEW)
        assert await storage.read(storage.root / "a.txt") == NEW

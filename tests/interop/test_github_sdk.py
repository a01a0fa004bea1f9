"""
PyGithub reads what the driver writes, and the other way round.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from github import UnknownObjectException

from asyncstore import MiB, Storage, UploadOptions, open_storage
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer
from tests.servers.github import REPOSITORY, download, make, send, with_sdk

NAMES = ["plain.txt", "with-dash_and.dots.tar.gz", "plus+sign", "at@sign", "UPPER"]


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GitHubServer]:
    resolve = socket.getaddrinfo

    def local(host: Any, *rest: Any, **named: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith("localhost") else host, *rest, **named)

    # PyGithub compares origins by host name, and not every machine resolves names below localhost.
    monkeypatch.setattr(socket, "getaddrinfo", local)
    async with GitHubServer(host="localhost", asset_host="assets.localhost") as server:
        yield server


@pytest.fixture
async def storage(server: GitHubServer) -> AsyncIterator[Storage]:
    settings: dict[str, Any] = {"endpoint_url": server.api_url, "token": FAKE_TOKEN, "create_release": True}
    async with open_storage(f"github://{REPOSITORY}/releases/v1/", **settings) as storage:
        yield storage


@pytest.mark.parametrize("name", NAMES)
async def test_ours_is_read(server: GitHubServer, storage: Storage, name: str) -> None:
    """PyGithub reads the name, type, size, digest and bytes of an asset that the driver wrote."""
    data = payload(100_000)
    await storage.put(storage.root / name, data, options=UploadOptions(content_type="text/x-test"))

    def look(client: Any) -> tuple[Any, ...]:
        found = client.get_repo(REPOSITORY).get_release("v1")
        (asset,) = found.get_assets()
        return asset.name, asset.content_type, asset.size, asset.digest, asset.state, download(asset), found.name

    assert await with_sdk(server, look) == (
        name,
        "text/x-test",
        len(data),
        "sha256:" + hashlib.sha256(data).hexdigest(),
        "uploaded",
        data,
        "v1",
    )


@pytest.mark.parametrize("name", NAMES)
async def test_theirs_is_read(server: GitHubServer, storage: Storage, tmp_path: Path, name: str) -> None:
    """The driver lists, stats, reads and downloads an asset that PyGithub published."""
    data = payload(3 * MiB)
    await with_sdk(server, lambda client: send(make(client), name, data))

    (info,) = [info async for info in storage.list()]
    await storage.download(storage.root / name, tmp_path / "file")

    assert (info.key, info.size) == (f"v1/{name}", len(data))
    assert info.checksum is not None
    assert info.checksum.value == hashlib.sha256(data).digest()
    assert (await storage.stat(storage.root / name)).etag == info.etag
    assert await storage.read(storage.root / name) == data == (tmp_path / "file").read_bytes()


async def test_driver_and_sdk_change_the_same_asset(server: GitHubServer, storage: Storage) -> None:
    """The driver replaces an asset of PyGithub, and PyGithub deletes an asset of the driver."""
    await with_sdk(server, lambda client: send(make(client), "a.txt", b"theirs"))
    await storage.put(storage.root / "a.txt", b"ours")

    def work(client: Any) -> bytes:
        (asset,) = client.get_repo(REPOSITORY).get_release("v1").get_assets()
        data = download(asset)
        asset.delete_asset()
        return data

    assert await with_sdk(server, work) == b"ours"
    assert not await storage.exists(storage.root / "a.txt")


async def test_sdk_publishes_our_draft(server: GitHubServer) -> None:
    """The driver uploads assets into a draft, and PyGithub publishes it."""
    settings: dict[str, Any] = {
        "endpoint_url": server.api_url,
        "token": FAKE_TOKEN,
        "create_release": True,
        "draft": True,
    }
    root = f"github://{REPOSITORY}/releases/v1/"
    async with open_storage(root, **settings) as storage:
        for name in NAMES:
            await storage.put(storage.root / name, name.encode())

    def publish(client: Any) -> list[str]:
        repository = client.get_repo(REPOSITORY)
        with pytest.raises(UnknownObjectException):
            repository.get_release("v1")
        (draft,) = repository.get_releases()
        return [item.name for item in draft.update_release("v1", "", draft=False).get_assets()]

    assert sorted(await with_sdk(server, publish)) == sorted(NAMES)
    async with open_storage(root, endpoint_url=server.api_url, anonymous=True) as storage:
        assert sorted([info.key async for info in storage.list()]) == sorted(f"v1/{name}" for name in NAMES)
        assert await storage.read(storage.root / NAMES[0]) == NAMES[0].encode()


async def test_asset_that_github_renamed(server: GitHubServer, storage: Storage) -> None:
    """An asset of PyGithub that GitHub renames is listed under its new name."""
    await with_sdk(server, lambda client: send(make(client), "my file (1).txt", b"data"))

    assert [info.key async for info in storage.list()] == ["v1/my.file.1.txt"]

"""
Storages on the GitHub test server, and the requests it received.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from asyncstore import Storage, open_storage
from asyncstore.drivers.github import GitHubDriver
from asyncstore.testing.servers.faults import Received
from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer
from asyncstore.testing.servers.github.store import Asset, Content, Release, now

REPOSITORY = "octocat/hello"
ROOT = f"github://{REPOSITORY}/releases/v1/"


@asynccontextmanager
async def opened(
    server: GitHubServer, root: str = ROOT, *, url: str | None = None, **settings: Any
) -> AsyncIterator[Storage]:
    """
    Open a storage that creates releases and does not retry. *url* replaces the server's URL, for a proxy.
    """
    merged = {"token": FAKE_TOKEN, "create_release": True, "attempts": 1, "initial_backoff": 0.0, **settings}
    async with open_storage(root, endpoint_url=url or server.api_url, **merged) as storage:
        yield storage


def driver_of(storage: Storage) -> GitHubDriver:
    driver = storage._driver
    assert isinstance(driver, GitHubDriver)
    return driver


def releases(server: GitHubServer) -> list[Release]:
    return list(server.repository(REPOSITORY).releases.values())


def assets(server: GitHubServer, tag: str = "v1") -> dict[str, str]:
    """
    Return the state of each asset of a release, by name.
    """
    return {
        asset.name: asset.state
        for release in releases(server)
        if release.tag == tag
        for asset in release.assets.values()
    }


def calls(requests: Iterable[Received]) -> list[str]:
    """
    Return the method and the last path segment of each request; numeric ids become ``ID``.
    """
    found = []
    for request in requests:
        last = request.path.partition("?")[0].rpartition("/")[2]
        found.append(f"{request.method} {'ID' if last.isdecimal() else last}")
    return found


async def ask(server: GitHubServer, method: str, path: str, **arguments: Any) -> Any:
    """
    Send a request as another client, and return the JSON of its reply.
    """
    headers = {"Authorization": f"Bearer {FAKE_TOKEN}", **arguments.pop("headers", {})}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.api_url + path, headers=headers, **arguments) as reply,
    ):
        reply.raise_for_status()
        return await reply.json() if reply.status != 204 else None


async def release(server: GitHubServer, tag: str, **fields: Any) -> Any:
    """
    Create a release as another client.
    """
    return await ask(server, "POST", f"/repos/{REPOSITORY}/releases", json={"tag_name": tag, **fields})


async def asset(server: GitHubServer, made: Any, name: str, data: bytes) -> Any:
    """
    Upload an asset as another client.
    """
    path = made["upload_url"].partition("{")[0].removeprefix(server.api_url)
    return await ask(server, "POST", path, params={"name": name}, data=io.BytesIO(data))


async def planted(server: GitHubServer, name: str, data: bytes, tag: str = "v1") -> None:
    """
    Store an asset in the server's state, without a request.
    """
    (made,) = [item for item in releases(server) if item.tag == tag]
    content = Content()
    await content.append(data)
    made.assets[1] = Asset(
        id=1,
        name=name,
        label="",
        content_type="text/plain",
        uploader="other",
        content=content,
        created_at=now(),
        updated_at=now(),
        state="uploaded",
    )

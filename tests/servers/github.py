"""
PyGithub as a client of our stand-in for GitHub.
"""

from __future__ import annotations

import io
from asyncio import to_thread
from collections.abc import Callable
from typing import Any

from github import Auth, Github
from github.GitRelease import GitRelease

from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer

REPOSITORY = "octocat/hello"


def sdk(server: GitHubServer, token: str | None = FAKE_TOKEN) -> Github:
    auth = Auth.Token(token) if token else None
    return Github(base_url=server.api_url, auth=auth, retry=None, seconds_between_requests=0, seconds_between_writes=0)


async def with_sdk(server: GitHubServer, work: Callable[[Github], Any], token: str | None = FAKE_TOKEN) -> Any:
    """
    Call *work* with a client in a thread, since PyGithub blocks.
    """

    def run() -> Any:
        client = sdk(server, token)
        try:
            return work(client)
        finally:
            client.close()

    return await to_thread(run)


def send(release: GitRelease, name: str, data: bytes) -> Any:
    return release.upload_asset_from_memory(io.BytesIO(data), len(data), name)


def download(asset: Any) -> bytes:
    _, _, chunks = asset.download_asset(chunk_size=65_536)
    return b"".join(chunks)


def make(client: Github, tag: str = "v1", **settings: Any) -> GitRelease:
    return client.get_repo(REPOSITORY).create_git_release(tag, settings.pop("name", tag), "", **settings)

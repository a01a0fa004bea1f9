"""
Local servers, and an environment without the user's own credentials.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.blocking import no_blocking

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]

#: Fake secrets that are searched for in all that is printed.
FAKE_SECRET = "FAKE0secret0access0key0for0tests0only"
FAKE_TOKEN = "FAKE0session0token0for0tests0only"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """
    Start a local server with one handler for all paths; returns its URL.
    """
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        server = TestServer(app)
        servers.append(server)
        await server.start_server()
        return str(server.make_url("/")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    """
    Our code never blocks the event loop.
    """
    with no_blocking():
        yield


@pytest.fixture(autouse=True)
def aws_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """
    Remove all AWS settings of this machine; AWS files are read from the directory returned.
    """
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path

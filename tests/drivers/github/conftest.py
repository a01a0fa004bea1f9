"""
The GitHub test server, and a loop that nothing blocks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from asyncstore.testing.servers.github import GitHubServer
from tests.blocking import no_blocking


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[None]:
    with no_blocking():
        yield


@pytest.fixture
async def server() -> AsyncIterator[GitHubServer]:
    async with GitHubServer() as server:
        yield server

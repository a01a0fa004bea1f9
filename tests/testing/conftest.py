"""
A fault proxy between a real server and a client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from asyncstore.testing.faults_proxy import FaultProxy
from tests import blocking
from tests.servers.origin import Origin, RawClient, raw_client, running_origin


@pytest.fixture
def no_blocking() -> Iterator[None]:
    with blocking.no_blocking(None):
        yield


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with running_origin() as running:
        yield running


@pytest.fixture
async def proxy(origin: Origin, no_blocking: None) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", origin.port) as running:
        yield running


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[RawClient]:
    async with raw_client(proxy.port) as connected:
        yield connected

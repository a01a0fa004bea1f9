"""
The shared contract, on OCI: the stand-in, which checks every signature and keeps the service's limits.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from tests.servers.oci import RunningOCI, running_oci

_numbers = itertools.count(1)

_LINES = "An object's name has no line feed, no carriage return and no NUL (OCI's own rule)."


@pytest.fixture(scope="module")
def server() -> Iterator[RunningOCI]:
    with running_oci() as server:
        yield server


@pytest.fixture(scope="class")
def bucket(server: RunningOCI) -> str:
    return server.fresh_bucket()


class TestOCI(StorageConformance):
    """
    A bucket for the class, a prefix for each test.
    """

    quirks: ClassVar[Mapping[str, str]] = {"[newline]": _LINES}
    own_settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    async def storage(self, server: RunningOCI, bucket: str) -> AsyncIterator[Storage]:
        settings = {"endpoint_url": server.server.url, **server.user.settings(server.region), **self.own_settings}
        async with open_storage(f"oci://{server.namespace}/{bucket}/{next(_numbers)}/", **settings) as storage:
            yield storage

"""
The conformance suite on OCI: the stand-in, which checks every signature and enforces the service's limits.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from tests.servers.oci import RunningOCI, running_oci
from tests.servers.quirks import NO_LINES, OCI_SMALL_PARTS, SENTENCES

_numbers = itertools.count(1)

_QUIRKS = {
    "test_url_to_delete": "OCI has no pre-authenticated requests that delete.",
    "[newline]": SENTENCES[NO_LINES],
    "[ascii-1-15]": SENTENCES[NO_LINES],
    "test_bulk_of_awkward_keys": SENTENCES[NO_LINES],
    "test_small_part_in_the_middle_is_refused": SENTENCES[OCI_SMALL_PARTS],
}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningOCI]:
    with running_oci() as server:
        yield server


@pytest.fixture(scope="class")
def bucket(server: RunningOCI) -> str:
    return server.fresh_bucket()


@pytest.fixture(scope="class")
def versioned_bucket(server: RunningOCI) -> str:
    return server.fresh_bucket(versioning="Enabled")


class TestOCI(StorageConformance):
    """
    A bucket for the class, and a prefix for each test.
    """

    storage_class: ClassVar[str | None] = "InfrequentAccess"

    quirks: ClassVar[Mapping[str, str]] = _QUIRKS
    own_settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    async def storage(self, server: RunningOCI, bucket: str) -> AsyncIterator[Storage]:
        settings = {"endpoint_url": server.server.url, **server.user.settings(server.region), **self.own_settings}
        async with open_storage(f"oci://{server.namespace}/{bucket}/{next(_numbers)}/", **settings) as storage:
            yield storage

    @pytest.fixture
    async def versioned(self, server: RunningOCI, versioned_bucket: str) -> AsyncIterator[Storage]:
        settings = {"endpoint_url": server.server.url, **server.user.settings(server.region), **self.own_settings}
        async with open_storage(
            f"oci://{server.namespace}/{versioned_bucket}/{next(_numbers)}/", **settings
        ) as storage:
            yield storage

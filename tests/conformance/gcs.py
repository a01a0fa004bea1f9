"""
The shared contract on GCS: a server in the test's own process, a prefix for each test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from asyncstore.testing.servers.gcs import GCSServer


class GCSConformance(StorageConformance):
    """
    All of the contract.

    Attributes:
        own_settings: Further settings of the storage.
    """

    own_settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with GCSServer(buckets=["bucket"]) as server:
            place = {"endpoint_url": server.url, "anonymous": True}
            async with open_storage("gs://bucket/prefix/", **place, **self.own_settings) as storage:
                yield storage

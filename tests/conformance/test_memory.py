"""
The conformance suite in memory: without limits, and with limits like those of S3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from tests.conformance.gcs import NAMES

_REFUSED = "memory refuses what GCS refuses"


class TestMemory(StorageConformance):
    """
    A whole bucket, with every capability and parts of any size.
    """

    storage_class: ClassVar[str | None] = "COLD"

    makes_buckets: ClassVar[bool] = True
    quirks: ClassVar[Mapping[str, str]] = dict.fromkeys(NAMES, _REFUSED)

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with open_storage("memory://bucket", min_part_size=1) as storage:
            yield storage

    @pytest.fixture
    async def versioned(self) -> AsyncIterator[Storage]:
        async with open_storage("memory://bucket", versioning=True) as storage:
            yield storage

    @pytest.fixture
    async def lockable(self, storage: Storage) -> Storage:
        return storage


class TestMemoryUnderAPrefix(StorageConformance):
    """
    A prefix as root, parts of at least 5 MiB and short pages.
    """

    storage_class: ClassVar[str | None] = "COLD"

    makes_buckets: ClassVar[bool] = True
    quirks: ClassVar[Mapping[str, str]] = dict.fromkeys(NAMES, _REFUSED)

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with open_storage("memory://bucket/some/prefix/", list_page_size=7) as storage:
            yield storage

    @pytest.fixture
    async def versioned(self) -> AsyncIterator[Storage]:
        async with open_storage("memory://bucket/some/prefix/", versioning=True, list_page_size=7) as storage:
            yield storage

    @pytest.fixture
    async def lockable(self, versioned: Storage) -> Storage:
        return versioned

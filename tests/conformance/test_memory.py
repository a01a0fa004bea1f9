"""
The shared contract, in memory: as it is, and with the limits of S3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from asyncstore import MiB, Storage, open_storage
from asyncstore.testing.conformance import StorageConformance


class TestMemory(StorageConformance):
    """
    Every capability, parts of any size.
    """

    makes_buckets: ClassVar[bool] = True

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with open_storage("memory://bucket") as storage:
            yield storage


class TestMemoryUnderAPrefix(StorageConformance):
    """
    The same with a root that is no bucket, parts of 5 MiB and short pages.
    """

    makes_buckets: ClassVar[bool] = True

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with open_storage("memory://bucket/some/prefix/", min_part_size=5 * MiB, list_page_size=7) as storage:
            yield storage

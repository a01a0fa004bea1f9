"""
The conformance suite on local files.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance


class TestLocal(StorageConformance):
    """
    A directory for each test.
    """

    makes_buckets: ClassVar[bool] = True

    @pytest.fixture
    async def storage(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storage]:
        folder: Path = tmp_path_factory.mktemp("root")
        async with open_storage(f"file://{folder}/", sync=False) as storage:
            yield storage


class TestLocalBelowARoot(StorageConformance):
    """
    A directory below one that has been written to as a root, and so has the metadata.
    """

    @pytest.fixture
    async def storage(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storage]:
        folder: Path = tmp_path_factory.mktemp("root")
        async with open_storage(f"file://{folder}/", sync=False) as outer:
            await outer.put("beside", b"data")
        async with open_storage(f"file://{folder}/below", sync=False) as storage:
            yield storage

"""
The shared contract, in files.
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
    Every test in a directory of its own.
    """

    makes_buckets: ClassVar[bool] = True

    @pytest.fixture
    async def storage(self, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storage]:
        folder: Path = tmp_path_factory.mktemp("root")
        async with open_storage(f"file://{folder}/", sync=False) as storage:
            yield storage

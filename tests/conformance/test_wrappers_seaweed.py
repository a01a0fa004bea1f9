"""
The conformance suite on SeaweedFS, read through a cache in a directory.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import ClassVar

import pytest

from asyncstore import Storage, cached, open_storage
from asyncstore.options import MiB
from tests.conformance.s3 import S3Conformance, settings
from tests.conformance.test_s3_seaweed import QUIRKS
from tests.servers.s3 import S3Server

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(seaweed: S3Server) -> S3Server:
    return seaweed


class TestCachedOnSeaweed(S3Conformance):
    """
    With a bound that evicts.
    """

    quirks: ClassVar[Mapping[str, str]] = QUIRKS

    @pytest.fixture
    async def storage(
        self, server: S3Server, bucket: str, tmp_path_factory: pytest.TempPathFactory
    ) -> AsyncIterator[Storage]:
        async with open_storage(f"s3://{bucket}/{next(_numbers)}/", **settings(server)) as storage:
            yield cached(storage, directory=tmp_path_factory.mktemp("cache"), max_bytes=20 * MiB)

    @pytest.fixture
    async def versioned(self, server: S3Server, versioned_bucket: str) -> AsyncIterator[Storage]:
        async with open_storage(f"s3://{versioned_bucket}/{next(_numbers)}/", **settings(server)) as storage:
            yield cached(storage, max_bytes=20 * MiB)

"""
The conformance suite on an S3 server: a bucket for each class, a prefix for each test.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from asyncstore.testing.conformance.harness import Harness
from tests.servers.s3 import S3Server

_numbers = itertools.count(1)


def settings(server: S3Server) -> dict[str, Any]:
    """
    Return the settings of a storage on *server*.
    """
    return {
        "endpoint_url": server.endpoint_url,
        "region": server.region,
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
        "ca_file": server.ca_file,
    }


class S3Harness(Harness):
    """
    Opens the storage of each test on the ``server`` of its module.

    Attributes:
        own_settings: Further settings of the storage.
    """

    storage_class: ClassVar[str | None] = "STANDARD_IA"

    own_settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    async def storage(self, server: S3Server, bucket: str) -> AsyncIterator[Storage]:
        async with open_storage(f"s3://{bucket}/{next(_numbers)}/", **settings(server), **self.own_settings) as storage:
            yield storage

    @pytest.fixture
    async def versioned(self, server: S3Server, versioned_bucket: str) -> AsyncIterator[Storage]:
        root = f"s3://{versioned_bucket}/{next(_numbers)}/"
        async with open_storage(root, **settings(server), **self.own_settings) as storage:
            yield storage

    @pytest.fixture
    async def lockable(self, server: S3Server, locked_bucket: str) -> AsyncIterator[Storage]:
        root = f"s3://{locked_bucket}/{next(_numbers)}/"
        async with open_storage(root, **settings(server), **self.own_settings) as storage:
            yield storage


class S3Conformance(S3Harness, StorageConformance):
    """
    The whole suite.
    """

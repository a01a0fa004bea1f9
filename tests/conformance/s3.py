"""
The shared contract on an S3 server: a bucket for each class, a prefix for each test.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Final

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from asyncstore.testing.conformance.harness import Harness
from tests.servers.s3 import S3Server, fresh_bucket

_numbers = itertools.count(1)
_MISSING: Final = "the test class names the fixture of its server"


def settings(server: S3Server) -> dict[str, Any]:
    """
    Return what opens a storage on *server*.
    """
    return {
        "endpoint_url": server.endpoint_url,
        "region": server.region,
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
        "ca_file": server.ca_file,
    }


class S3Places(Harness):
    """
    Where the tests find their storage.

    Attributes:
        server_fixture: The fixture of `tests.servers` to run against.
    """

    server_fixture: ClassVar[str] = ""

    @pytest.fixture(scope="class")
    def server(self, request: pytest.FixtureRequest) -> S3Server:
        assert self.server_fixture, _MISSING
        found = request.getfixturevalue(self.server_fixture)
        assert isinstance(found, S3Server)
        return found

    @pytest.fixture(scope="class")
    def bucket(self, server: S3Server) -> str:
        return fresh_bucket(server)

    @pytest.fixture
    async def storage(self, server: S3Server, bucket: str) -> AsyncIterator[Storage]:
        async with open_storage(f"s3://{bucket}/{next(_numbers)}/", **settings(server)) as storage:
            yield storage


class S3Conformance(S3Places, StorageConformance):
    """
    All of it.
    """

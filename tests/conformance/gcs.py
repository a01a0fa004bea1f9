"""
The conformance suite on the GCS stand-in, which runs in the test's process; one server for each test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Final

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from asyncstore.testing.servers.gcs import GCSServer, HmacKey, Settings

_TOKEN: Final = "fake-token-for-tests"
_HMAC: Final = HmacKey("GOOGFAKEFORTESTS", "fake-secret-for-tests")
_SERVER: Final = Settings(tokens=[_TOKEN], hmac_keys=[_HMAC])
_CREDENTIALS: Final = {"token": _TOKEN, "hmac_access_id": _HMAC.access_id, "hmac_secret": _HMAC.secret}

# https://cloud.google.com/storage/docs/objects#naming
_INVALID: Final = "GCS does not allow this name, so the driver refuses it before anything is sent"
NAMES: Final = dict.fromkeys(
    (
        "[newline]",
        "[ascii-1-15]",
        "test_first_in_the_bucket[only-dot]",
        "test_first_in_the_bucket[only-dotdot]",
        "test_bulk_of_awkward_keys",
    ),
    _INVALID,
)


class GCSConformance(StorageConformance):
    """
    The whole suite.

    Attributes:
        own_settings: More settings of the storage.
    """

    storage_class: ClassVar[str | None] = "NEARLINE"

    own_settings: ClassVar[Mapping[str, Any]] = {}
    quirks: ClassVar[Mapping[str, str]] = NAMES

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with GCSServer(buckets=["bucket"], settings=_SERVER) as server:
            settings = {**_CREDENTIALS, **self.own_settings}
            async with open_storage("gs://bucket/prefix/", endpoint_url=server.url, **settings) as storage:
                yield storage

    @pytest.fixture
    async def lockable(self) -> AsyncIterator[Storage]:
        async with GCSServer(settings=_SERVER) as server:
            server.create_bucket("bucket", objectRetention={"mode": "Enabled"})
            settings = {**_CREDENTIALS, **self.own_settings}
            async with open_storage("gs://bucket/prefix/", endpoint_url=server.url, **settings) as storage:
                yield storage

    @pytest.fixture
    async def versioned(self) -> AsyncIterator[Storage]:
        async with GCSServer(settings=_SERVER) as server:
            server.create_bucket("bucket", versioning={"enabled": True})
            settings = {**_CREDENTIALS, **self.own_settings}
            async with open_storage("gs://bucket/prefix/", endpoint_url=server.url, **settings) as storage:
                yield storage

"""
fsspec's own suites, on a server of each kind.
"""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Final

import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from asyncstore.integrations.fsspec import (
    AsyncstoreFileSystem,
    AzureFileSystem,
    GCSFileSystem,
    MemoryFileSystem,
    S3FileSystem,
)
from tests.conformance.s3 import settings
from tests.servers import gcs as gcs_server
from tests.servers.azure import AzureServer, fresh_container
from tests.servers.gcs import GCSEndpoint
from tests.servers.quirks import GHOST_PREFIX, SENTENCES
from tests.servers.s3 import S3Server, fresh_bucket

Opened = tuple[AsyncstoreFileSystem, str]


@pytest.fixture(scope="module")
def on_memory() -> Opened:
    return MemoryFileSystem(shared="abstract"), "bucket"


@pytest.fixture(scope="module")
def on_seaweed(seaweed: S3Server) -> Opened:
    return S3FileSystem(**settings(seaweed)), fresh_bucket(seaweed)


@pytest.fixture(scope="module")
def on_ministack(ministack: S3Server) -> Opened:
    return S3FileSystem(**settings(ministack)), fresh_bucket(ministack)


@pytest.fixture(scope="module")
def on_gcs(gcs_endpoint: GCSEndpoint) -> Opened:
    return GCSFileSystem(endpoint_url=gcs_endpoint.url, anonymous=True), gcs_server.fresh_bucket(gcs_endpoint)


@pytest.fixture(scope="module")
def on_azurite(azurite: AzureServer) -> Opened:
    return AzureFileSystem(**azurite.settings), fresh_container(azurite)


class Abstract(
    AbstractCopyTests, AbstractGetTests, AbstractOpenTests, AbstractPipeTests, AbstractPutTests, AbstractFixtures
):
    """
    All of them, each in a directory of its own.

    Attributes:
        on: The fixture with the file system, and the bucket.
    """

    on: ClassVar[str]

    @pytest.fixture
    def opened(self, request: pytest.FixtureRequest) -> Opened:
        opened: Opened = request.getfixturevalue(self.on)
        return opened

    @pytest.fixture
    def fs(self, opened: Opened) -> AsyncstoreFileSystem:
        return opened[0]

    @pytest.fixture
    def fs_path(self, opened: Opened) -> str:
        return f"{opened[1]}/{uuid.uuid4().hex}"

    @pytest.fixture
    def fs_join(self) -> Any:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestMemory(Abstract):
    on = "on_memory"


class TestSeaweed(Abstract):
    on = "on_seaweed"

    @pytest.fixture(autouse=True)
    def quirk(self, request: pytest.FixtureRequest) -> None:
        if request.node.name in _GHOSTS:
            reason = SENTENCES[GHOST_PREFIX]
            request.node.add_marker(pytest.mark.xfail(reason=reason))


class TestMinistack(AbstractFixtures):
    """
    The tests in which SeaweedFS differs from S3.
    """

    test_copy_directory_to_existing_directory = AbstractCopyTests.test_copy_directory_to_existing_directory
    test_copy_directory_to_new_directory = AbstractCopyTests.test_copy_directory_to_new_directory
    test_copy_glob_to_existing_directory = AbstractCopyTests.test_copy_glob_to_existing_directory
    test_put_directory_to_existing_directory = AbstractPutTests.test_put_directory_to_existing_directory
    test_put_directory_to_new_directory = AbstractPutTests.test_put_directory_to_new_directory
    test_put_glob_to_existing_directory = AbstractPutTests.test_put_glob_to_existing_directory

    opened, fs, fs_path, fs_join = Abstract.opened, Abstract.fs, Abstract.fs_path, Abstract.fs_join
    supports_empty_directories = Abstract.supports_empty_directories
    on = "on_ministack"


_GHOSTS: Final = frozenset(name for name in vars(TestMinistack) if name.startswith("test_"))


class Shorter(Abstract):
    """
    Without those about patterns, which fsspec resolves from listings that the others compare.
    """

    test_copy_glob_edge_cases = None
    test_get_glob_edge_cases = None
    test_put_glob_edge_cases = None


class TestGCS(Shorter):
    on = "on_gcs"


class TestAzurite(Shorter):
    on = "on_azurite"

"""
The servers as fixtures: started when a test first asks, kept for the session.

Under pytest-xdist each worker has its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import azurite as azurite_server
from tests.servers import fake_gcs as fake_gcs_server
from tests.servers import gcp_emulator as gcp_emulator_server
from tests.servers import gcs as gcs_server
from tests.servers import ministack as ministack_server
from tests.servers import moto as moto_server
from tests.servers import seaweed as seaweed_server
from tests.servers.azure import AzureServer
from tests.servers.gcs import GCSEndpoint
from tests.servers.install import program
from tests.servers.moto import Moto
from tests.servers.process import ServerProcess
from tests.servers.s3 import S3Server
from tests.servers.tls import ThrowawayCA, make_ca

_TOOL_OF_FIXTURE = {
    "seaweed": "seaweedfs",
    "seaweed_tls": "seaweedfs",
    "ministack": "ministack",
    "ministack_tls": "ministack",
    "moto": "moto",
    "azurite": "azurite",
    "azurite_tls": "azurite",
    "fake_gcs": "fake-gcs-server",
    "gcp_emulator": "gcp-storage-emulator",
}


def pytest_collection_finish(session: pytest.Session) -> None:
    """
    Fetch what the chosen tests need before the first starts: no test's timeout is long enough.
    """
    if session.config.option.collectonly:
        return
    asked: set[object] = set()
    for item in session.items:
        asked.update(getattr(item, "fixturenames", ()))
        # Names of fixtures are parameters too, for `request.getfixturevalue`.
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            asked.update(value for value in item.callspec.params.values() if isinstance(value, str))
    for tool in sorted({tool for name, tool in _TOOL_OF_FIXTURE.items() if name in asked}):
        program(tool)


@pytest.fixture(scope="session")
def tls_ca(tmp_path_factory: pytest.TempPathFactory) -> ThrowawayCA:
    """A certificate authority for this session, and a certificate for loopback."""
    return make_ca(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def seaweed_process(tls_ca: ThrowawayCA) -> Iterator[ServerProcess]:
    """The one process behind `seaweed` and `seaweed_tls`."""
    process = seaweed_server.start_seaweed(tls_ca)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def seaweed(seaweed_process: ServerProcess) -> S3Server:
    """SeaweedFS over http."""
    return seaweed_server.over_http(seaweed_process)


@pytest.fixture(scope="session")
def seaweed_tls(seaweed_process: ServerProcess, tls_ca: ThrowawayCA) -> S3Server:
    """The same SeaweedFS, with the same buckets, over TLS."""
    return seaweed_server.over_tls(seaweed_process, tls_ca)


@pytest.fixture(scope="session")
def ministack() -> Iterator[S3Server]:
    """Ministack over http."""
    process = ministack_server.start_ministack()
    try:
        yield ministack_server.with_users("ministack", process)
    finally:
        process.stop()


@pytest.fixture(scope="session")
def ministack_tls(tls_ca: ThrowawayCA) -> Iterator[S3Server]:
    """Another ministack, over TLS."""
    process = ministack_server.start_ministack(tls_ca)
    try:
        yield ministack_server.with_users("ministack_tls", process)
    finally:
        process.stop()


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """Moto with a user and roles, over http."""
    process = moto_server.start_moto()
    try:
        yield moto_server.with_roles(process)
    finally:
        process.stop()


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzureServer]:
    """Azurite over http."""
    process = azurite_server.start_azurite()
    try:
        yield azurite_server.server_of("azurite", process)
    finally:
        process.stop()


@pytest.fixture(scope="session")
def azurite_tls(tls_ca: ThrowawayCA) -> Iterator[AzureServer]:
    """Another Azurite, over TLS, which takes tokens too."""
    process = azurite_server.start_azurite(tls_ca)
    try:
        yield azurite_server.server_of("azurite_tls", process)
    finally:
        process.stop()


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[GCSEndpoint]:
    """The stand-in for Google Cloud Storage, in a process of its own."""
    process = gcs_server.start_gcs()
    try:
        yield gcs_server.endpoint(process)
    finally:
        process.stop()


@pytest.fixture(scope="session")
def gcp_emulator() -> Iterator[GCSEndpoint]:
    """gcp-storage-emulator, which does resumable sessions right."""
    process = gcp_emulator_server.start_gcp_emulator()
    try:
        yield gcp_emulator_server.endpoint(process)
    finally:
        process.stop()


@pytest.fixture(scope="session")
def fake_gcs() -> Iterator[GCSEndpoint]:
    """fake-gcs-server, which keeps objects in memory and checks no credentials."""
    process = fake_gcs_server.start_fake_gcs()
    try:
        yield fake_gcs_server.endpoint(process)
    finally:
        process.stop()

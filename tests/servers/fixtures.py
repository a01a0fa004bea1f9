"""
The servers as fixtures: started on first use, kept for the session.

Under pytest-xdist each worker starts its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from tests.servers import azurite as azurite_server
from tests.servers import chromium as chromium_browser
from tests.servers import fake_gcs as fake_gcs_server
from tests.servers import gcp_emulator as gcp_emulator_server
from tests.servers import gcs as gcs_server
from tests.servers import look_alikes
from tests.servers import ministack as ministack_server
from tests.servers import moto as moto_server
from tests.servers import seaweed as seaweed_server
from tests.servers import wsgidav as wsgidav_server
from tests.servers.azure import AzureServer
from tests.servers.gcs import GCSEndpoint
from tests.servers.install import InstallError, node, program
from tests.servers.moto import Moto
from tests.servers.process import ServerProcess
from tests.servers.s3 import S3Server
from tests.servers.tls import ThrowawayCA, make_ca
from tests.servers.wsgidav import WsgiDAV

_DOWNLOADS: Mapping[str, Sequence[str]] = {
    "seaweed": ("seaweedfs",),
    "seaweed_tls": ("seaweedfs",),
    "ministack": ("ministack",),
    "ministack_tls": ("ministack",),
    "moto": ("moto",),
    "moto_s3": ("moto",),
    "rclone": ("rclone",),
    "rclone_program": ("rclone",),
    "aws_program": ("awscli",),
    "s5cmd_program": ("s5cmd",),
    "s3rver": ("s3rver", "node"),
    "nanio": ("nanio",),
    "wsgidav": ("wsgidav",),
    "azurite": ("azurite", "node"),
    "azurite_tls": ("azurite", "node"),
    "fake_gcs": ("fake-gcs-server",),
    "gcp_emulator": ("gcp-storage-emulator",),
}


def pytest_collection_finish(session: pytest.Session) -> None:
    """
    Download what the chosen tests need before the first one starts: no test's timeout is long enough.

    A download that fails is reported by the fixtures that need it.
    """
    if session.config.option.collectonly:
        return
    asked: set[object] = set()
    for item in session.items:
        asked.update(getattr(item, "fixturenames", ()))
        # Names of fixtures are parameters too, for `request.getfixturevalue`.
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            asked.update(value for value in item.callspec.params.values() if isinstance(value, str))
    names = {name for fixture, needed in _DOWNLOADS.items() if fixture in asked for name in needed}
    capture = session.config.pluginmanager.getplugin("capturemanager")

    def announce(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            sys.stderr.write(f"{line}\n")

    for name in sorted(names):
        with suppress(InstallError):
            node(announce=announce) if name == "node" else program(name, announce=announce)


@contextmanager
def _running(start: Callable[[], ServerProcess]) -> Iterator[ServerProcess]:
    failure = None
    try:
        process = start()
    except InstallError as error:
        failure = str(error)
    if failure:
        # Outside the block above: the report is this line, without a traceback.
        pytest.fail(failure, pytrace=False)
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="session")
def tls_ca(tmp_path_factory: pytest.TempPathFactory) -> ThrowawayCA:
    """A certificate authority for this session, and a certificate for loopback."""
    return make_ca(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def seaweed_process(tls_ca: ThrowawayCA) -> Iterator[ServerProcess]:
    """The one process behind `seaweed` and `seaweed_tls`."""
    with _running(lambda: seaweed_server.start_seaweed(tls_ca)) as process:
        yield process


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
    with _running(ministack_server.start_ministack) as process:
        yield ministack_server.with_users("ministack", process)


@pytest.fixture(scope="session")
def ministack_tls(tls_ca: ThrowawayCA) -> Iterator[S3Server]:
    """Another ministack, over TLS."""
    with _running(lambda: ministack_server.start_ministack(tls_ca)) as process:
        yield ministack_server.with_users("ministack_tls", process)


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """Moto with a user and roles, over http."""
    with _running(moto_server.start_moto) as process:
        yield moto_server.with_roles(process)


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[S3Server]:
    """Another moto, which checks no signatures."""
    with _running(look_alikes.start_moto_s3) as process:
        yield look_alikes.look_alike(process)


@pytest.fixture(scope="session")
def rclone() -> Iterator[S3Server]:
    """`rclone serve s3` on a folder."""
    with _running(look_alikes.start_rclone) as process:
        yield look_alikes.look_alike(process)


@pytest.fixture(scope="session")
def s3rver() -> Iterator[S3Server]:
    """s3rver on a folder."""
    with _running(look_alikes.start_s3rver) as process:
        yield look_alikes.look_alike(process)


@pytest.fixture(scope="session")
def nanio() -> Iterator[S3Server]:
    """Nanio on a folder."""
    with _running(look_alikes.start_nanio) as process:
        yield look_alikes.look_alike(process)


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzureServer]:
    """Azurite over http."""
    with _running(azurite_server.start_azurite) as process:
        yield azurite_server.server_of("azurite", process)


@pytest.fixture(scope="session")
def azurite_tls(tls_ca: ThrowawayCA) -> Iterator[AzureServer]:
    """Another Azurite, over TLS, which accepts tokens too."""
    with _running(lambda: azurite_server.start_azurite(tls_ca)) as process:
        yield azurite_server.server_of("azurite_tls", process)


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[GCSEndpoint]:
    """Our stand-in for Google Cloud Storage, in a process of its own."""
    with _running(gcs_server.start_gcs) as process:
        yield gcs_server.endpoint(process)


@pytest.fixture(scope="session")
def gcp_emulator() -> Iterator[GCSEndpoint]:
    """gcp-storage-emulator, which implements resumable sessions correctly."""
    with _running(gcp_emulator_server.start_gcp_emulator) as process:
        yield gcp_emulator_server.endpoint(process)


@pytest.fixture(scope="session")
def fake_gcs() -> Iterator[GCSEndpoint]:
    """fake-gcs-server, which keeps objects in memory and checks no credentials."""
    with _running(fake_gcs_server.start_fake_gcs) as process:
        yield fake_gcs_server.endpoint(process)


@pytest.fixture(scope="session")
def chromium() -> Iterator[ServerProcess]:
    """Headless Chromium, for `tests.servers.chromium.new_page`; where there is none, the test is skipped."""
    with _running(chromium_browser.start_chromium) as process:
        yield process


@pytest.fixture(scope="session")
def wsgidav() -> Iterator[WsgiDAV]:
    """WsgiDAV over http, with basic authentication."""
    with _running(wsgidav_server.start_wsgidav) as process:
        yield wsgidav_server.server_of(process)


def _program(name: str) -> Path:
    try:
        return program(name)
    except InstallError as error:
        failure = str(error)
    pytest.fail(failure, pytrace=False)


@pytest.fixture(scope="session")
def rclone_program() -> Path:
    """rclone, to read what we write, and the other way round."""
    return _program("rclone")


@pytest.fixture(scope="session")
def aws_program() -> Path:
    """The command line of AWS, in a virtual environment of its own: it needs another botocore."""
    return _program("awscli")


@pytest.fixture(scope="session")
def s5cmd_program() -> Path:
    """s5cmd, a command line for S3."""
    return _program("s5cmd")

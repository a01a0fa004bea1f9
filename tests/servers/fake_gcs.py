"""
fake-gcs-server: an emulator of GCS with exact object names and few conditions.
"""

from __future__ import annotations

from pathlib import Path

from tests.servers.gcs import GCSEndpoint
from tests.servers.install import program
from tests.servers.process import Launch, ServerProcess, free_ports, start

_HEALTH = "/_internal/healthcheck"


def start_fake_gcs() -> ServerProcess:
    """Start the server with objects in memory: its file backend treats names as paths."""
    executable = program("fake-gcs-server")
    return start("fake_gcs", lambda folder: _plan(executable, folder))


def endpoint(process: ServerProcess) -> GCSEndpoint:
    """Return the address of a server that `start_fake_gcs` started."""
    return GCSEndpoint(process.launch.ready_url.removesuffix(_HEALTH))


def _plan(executable: Path, folder: Path) -> Launch:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    return Launch(
        command=[
            str(executable),
            *("-scheme", "http", "-backend", "memory", "-log-level", "error"),
            # The default is every interface.
            *("-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}", "-external-url", url),
        ],
        ports={"gcs": port},
        ready_url=f"{url}{_HEALTH}",
    )

"""
gcp-storage-emulator: an emulator of GCS that serves one connection at a time.

Its resumable sessions are right: status, offsets and partial chunks. It has no conditions, pages,
versions or ids in batches.
"""

from __future__ import annotations

from pathlib import Path

from tests.servers.gcs import GCSEndpoint
from tests.servers.install import program
from tests.servers.process import Launch, ServerProcess, free_ports, start


def start_gcp_emulator() -> ServerProcess:
    """Start the server with objects in memory."""
    executable = program("gcp-storage-emulator")
    return start("gcp_emulator", lambda folder: _plan(executable, folder))


def endpoint(process: ServerProcess) -> GCSEndpoint:
    """Return the address of a server that `start_gcp_emulator` started."""
    return GCSEndpoint(f"http://127.0.0.1:{process.launch.ports['gcs']}")


def _plan(executable: Path, folder: Path) -> Launch:
    (port,) = free_ports(1)
    return Launch(
        command=[str(executable), "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"],
        ports={"gcs": port},
        ready_url=f"http://127.0.0.1:{port}/",
    )

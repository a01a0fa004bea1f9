"""
Our stand-in for Google Cloud Storage, in a process of its own.
"""

from __future__ import annotations

import json
import sys
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.servers.process import Launch, ServerProcess, free_ports, start

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class GCSEndpoint:
    """
    A running server that accepts every request without credentials.
    """

    url: str


def start_gcs() -> ServerProcess:
    """Start the stand-in; `endpoint` returns its address."""
    return start("gcs", _plan)


def endpoint(process: ServerProcess) -> GCSEndpoint:
    """Return the address of a server that `start_gcs` started."""
    return GCSEndpoint(f"http://127.0.0.1:{process.launch.ports['gcs']}")


def fresh_bucket(server: GCSEndpoint, **resource: object) -> str:
    """
    Create an empty bucket and return its name.

    Args:
        resource: Settings of the bucket, named as in the JSON API.
    """
    return create_bucket(server, f"test-{uuid.uuid4().hex}", **resource)


def create_bucket(server: GCSEndpoint, name: str, **resource: object) -> str:
    """
    Create an empty bucket that is called *name*, and return that.
    """
    body = json.dumps({"name": name, **resource}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/storage/v1/b?project=test", body, headers)
    # No proxy from the environment: the server is on this machine.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as reply:
        assert reply.status == 200
    return name


def _plan(folder: Path) -> Launch:
    (port,) = free_ports(1)
    return Launch(
        command=[sys.executable, "-m", "asyncstore.testing.servers", "gcs", "--port", str(port)],
        ports={"gcs": port},
        # If the package is not installed, it is imported from the folder above the tests.
        environment={"PYTHONPATH": str(_ROOT)},
        ready_url=f"http://127.0.0.1:{port}/",
    )

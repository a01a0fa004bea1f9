"""
WsgiDAV: a WebDAV server for a directory, with basic authentication.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.servers.install import program
from tests.servers.process import Launch, ServerProcess, free_ports, start

USERNAME = "user"
PASSWORD = "fake-password"

_DATA = "data"


@dataclass(frozen=True, slots=True)
class WsgiDAV:
    """A running server, and the directory that it serves."""

    endpoint_url: str
    folder: Path

    def create_bucket(self) -> str:
        """Create an empty collection below the root and return its name."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        (self.folder / name).mkdir()
        return name


def start_wsgidav() -> ServerProcess:
    """Start the server."""
    executable = program("wsgidav")
    return start("wsgidav", lambda folder: _plan(executable, folder))


def server_of(process: ServerProcess) -> WsgiDAV:
    """Return what a test needs to use the server."""
    return WsgiDAV(process.launch.ready_url.removesuffix("/"), process.folder / _DATA)


def _plan(executable: Path, folder: Path) -> Launch:
    (port,) = free_ports(1)
    (folder / _DATA).mkdir(exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "provider_mapping": {"/": str(folder / _DATA)},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "simple_dc": {"user_mapping": {"*": {USERNAME: {"password": PASSWORD}}}},
        # Tests hold many connections open at once.
        "server_args": {"numthreads": 40},
        "verbose": 2,
    }
    (folder / "wsgidav.json").write_text(json.dumps(settings), "utf-8")
    return Launch(
        command=[str(executable), "--config", str(folder / "wsgidav.json")],
        ports={"dav": port},
        ready_url=f"http://127.0.0.1:{port}/",
        ready_status=401,
    )

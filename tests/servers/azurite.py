"""
Azurite: Microsoft's own emulator, in memory.

It checks shared keys, signatures and checksums; tokens only over TLS, and of those
what they say, not who signed them. See `azure_quirks` for what it does not do as the service does.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from asyncstore.auth.azure_account import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.servers import azure_quirks
from tests.servers.azure import AzureServer
from tests.servers.install import InstallError, program
from tests.servers.process import Launch, ServerProcess, free_ports, start
from tests.servers.tls import ThrowawayCA

# MiB that blobs may take together.
_MEMORY = 4096


def start_azurite(tls: ThrowawayCA | None = None) -> ServerProcess:
    """Start Azurite, over TLS and with tokens if there is a certificate; `server_of` says how to reach it."""
    script = program("azurite")
    node = shutil.which("node")
    if node is None:
        raise InstallError("node is not installed")
    return start("Azurite", lambda _: _plan(node, script, tls))


def server_of(name: str, process: ServerProcess) -> AzureServer:
    """Return how to reach a server that was started."""
    launch = process.launch
    scheme = "https" if launch.ca_file else "http"
    return AzureServer(
        name=name,
        endpoint_url=f"{scheme}://127.0.0.1:{launch.ports['blob']}/{DEVELOPMENT_ACCOUNT}",
        account_name=DEVELOPMENT_ACCOUNT,
        account_key=DEVELOPMENT_KEY,
        ca_file=launch.ca_file,
        quirks=azure_quirks.AZURITE,
    )


def _plan(node: str, script: Path, tls: ThrowawayCA | None) -> Launch:
    (port,) = free_ports(1)
    options = [
        "--blobHost=127.0.0.1",
        f"--blobPort={port}",
        "--inMemoryPersistence",
        f"--extentMemoryLimit={_MEMORY}",
        "--silent",
        "--disableTelemetry",
        # Newer SDKs speak newer versions than it knows.
        "--skipApiVersionCheck",
        "--blobKeepAliveTimeout=60",
    ]
    if tls:
        options += [f"--cert={tls.cert_file}", f"--key={tls.key_file}", "--oauth=basic"]
    return Launch(
        command=[node, str(script), *options],
        ports={"blob": port},
        ready_url=f"{'https' if tls else 'http'}://127.0.0.1:{port}/",
        ready_status=400,
        ca_file=tls.ca_file if tls else None,
    )

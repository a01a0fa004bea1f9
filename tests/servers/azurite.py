"""
Azurite, Microsoft's emulator of Azure Storage, in memory.

It checks shared keys, signatures and checksums. It accepts tokens only over TLS, and checks their claims but not
their signatures. `azure_quirks` lists how it differs from the service.
"""

from __future__ import annotations

from pathlib import Path

from asyncstore.auth.azure.account import DEVELOPMENT_ACCOUNT, DEVELOPMENT_KEY
from tests.servers import azure_quirks
from tests.servers.azure import AzureServer
from tests.servers.install import node, program
from tests.servers.process import Launch, ServerProcess, free_ports, start
from tests.servers.tls import ThrowawayCA

# MiB that all blobs together may use.
_MEMORY = 4096


def start_azurite(tls: ThrowawayCA | None = None) -> ServerProcess:
    """Start Azurite; with a certificate, over TLS and accepting tokens. `server_of` returns its address."""
    script, runtime = program("azurite"), node()
    return start("Azurite", lambda _: _plan(runtime, script, tls))


def server_of(name: str, process: ServerProcess) -> AzureServer:
    """Return the address and credentials of a started server."""
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


def _plan(runtime: Path, script: Path, tls: ThrowawayCA | None) -> Launch:
    (port,) = free_ports(1)
    options = [
        "--blobHost=127.0.0.1",
        f"--blobPort={port}",
        "--inMemoryPersistence",
        f"--extentMemoryLimit={_MEMORY}",
        "--silent",
        "--disableTelemetry",
        # SDKs can use newer API versions than it knows.
        "--skipApiVersionCheck",
        "--blobKeepAliveTimeout=60",
    ]
    if tls:
        options += [f"--cert={tls.cert_file}", f"--key={tls.key_file}", "--oauth=basic"]
    return Launch(
        command=[str(runtime), str(script), *options],
        ports={"blob": port},
        ready_url=f"{'https' if tls else 'http'}://127.0.0.1:{port}/",
        ready_status=400,
        ca_file=tls.ca_file if tls else None,
    )

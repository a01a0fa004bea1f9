"""
SeaweedFS: one process that serves S3 over http and over TLS.

The stricter of the two S3 servers: it checks the signatures of all keys, part sizes and
all checksums. `quirks` lists how it differs from S3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.servers import quirks
from tests.servers.install import program
from tests.servers.process import GRPC_OFFSET, Launch, ServerProcess, free_ports, start
from tests.servers.s3 import Keys, S3Server
from tests.servers.tls import ThrowawayCA

_ADMIN = Keys("AKIAFAKESEAWEEDADMIN", "fake-secret-of-the-seaweed-admin")
_READONLY = Keys("AKIAFAKESEAWEEDREADS", "fake-secret-of-the-seaweed-reader")
# Without a key-encryption key, SSE-S3 is answered with 500.
_FAKE_SSE_KEY = "00112233445566778899aabbccddeeff" * 2
_PORT_NAMES = ("s3", "s3_tls", "master", "volume", "filer", "admin")


def start_seaweed(tls: ThrowawayCA) -> ServerProcess:
    """Start SeaweedFS; `over_http` and `over_tls` return its addresses."""
    weed = program("seaweedfs")
    return start("SeaweedFS", lambda folder: _plan(weed, folder, tls))


def over_http(process: ServerProcess) -> S3Server:
    """Return the server's http endpoint."""
    return _server("seaweed", f"http://127.0.0.1:{process.launch.ports['s3']}", None)


def over_tls(process: ServerProcess, tls: ThrowawayCA) -> S3Server:
    """Return the same server's TLS endpoint."""
    return _server("seaweed_tls", f"https://127.0.0.1:{process.launch.ports['s3_tls']}", tls.ca_file)


def _server(name: str, endpoint_url: str, ca_file: Path | None) -> S3Server:
    return S3Server(
        name=name,
        endpoint_url=endpoint_url,
        access_key_id=_ADMIN.access_key_id,
        secret_access_key=_ADMIN.secret_access_key,
        ca_file=ca_file,
        readonly=_READONLY,
        quirks=quirks.SEAWEEDFS,
    )


def _plan(weed: Path, folder: Path, tls: ThrowawayCA) -> Launch:
    (folder / "logs").mkdir()
    (folder / "data").mkdir()
    identities = folder / "identities.json"
    identities.write_text(json.dumps(_identities()))
    ports = dict(zip(_PORT_NAMES, free_ports(len(_PORT_NAMES)), strict=True))
    return Launch(
        # `-logdir` is an option of the program, the others of its command `mini`.
        command=[str(weed), f"-logdir={folder}/logs", "mini", *_options(folder, ports, identities, tls)],
        ports=ports,
        environment={"WEED_S3_SSE_KEK": _FAKE_SSE_KEY, "GOMEMLIMIT": "2GiB"},
        ready_url=f"http://127.0.0.1:{ports['s3']}/healthz",
        leftovers=_sockets(ports),
    )


def _options(folder: Path, ports: Mapping[str, int], identities: Path, tls: ThrowawayCA) -> list[str]:
    return [
        f"-dir={folder}/data",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={ports['master']}",
        f"-volume.port={ports['volume']}",
        # Every bucket takes some seven volumes, which grow as they are written to. The default, as many as fit in the
        # free space at their greatest size, is used up by a hundred buckets.
        "-volume.max=100000",
        f"-filer.port={ports['filer']}",
        f"-filer.localSocket={folder}/filer.sock",
        f"-admin.port={ports['admin']}",
        "-admin.ui=false",
        "-webdav=false",
        # On by default: it reports to its developers.
        "-master.telemetry=false",
        f"-s3.port={ports['s3']}",
        f"-s3.port.https={ports['s3_tls']}",
        f"-s3.localSocket={folder}/s3.sock",
        f"-s3.cert.file={tls.cert_file}",
        f"-s3.key.file={tls.key_file}",
        f"-s3.config={identities}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        # Both are on by default, unlike in S3.
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
    ]


def _identities() -> object:
    return {
        "identities": [
            _identity("admin", _ADMIN, ["Admin", "Read", "Write", "List", "Tagging"]),
            _identity("readonly", _READONLY, ["Read", "List"]),
        ]
    }


def _identity(name: str, keys: Keys, actions: list[str]) -> object:
    credentials = {"accessKey": keys.access_key_id, "secretKey": keys.secret_access_key}
    return {"name": name, "credentials": [credentials], "actions": actions}


def _sockets(ports: Mapping[str, int]) -> list[Path]:
    # It creates these in /tmp regardless of TMPDIR, and has no option to move them.
    return [
        Path(f"/tmp/seaweedfs-{part}-grpc-{ports[part] + GRPC_OFFSET}.sock")
        for part in ("s3", "master", "volume", "filer", "admin")
    ]

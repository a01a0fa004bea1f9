"""Local servers that cost the client as little as possible."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import trustme

from benchmarks import cache
from benchmarks.clouds import S3, Cloud
from benchmarks.fixtures import BUCKET, write_objects, write_pages
from benchmarks.nginx_config import write_config

START_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """
    One running server.

    Attributes:
        dir: The directory of its files, in memory.
        url: Its plain HTTP endpoint.
        tls_url: Its HTTPS endpoint; empty without TLS.
        ca: The certificate authority that signed its certificate.
        cloud: The cloud whose API it implements.
    """

    dir: Path
    url: str
    tls_url: str = ""
    ca: Path | None = None
    cloud: Cloud = S3

    def target(self, *, tls: bool) -> dict[str, Any]:
        """Return the fields of a contender's `Target`."""
        path = f"/{self.cloud.account}" if self.cloud.name == "azure" else ""
        return {
            "endpoint": (self.tls_url if tls else self.url) + path,
            "bucket": BUCKET,
            "access_key": self.cloud.access_key,
            "secret_key": self.cloud.secret_key or _rsa_key(),
            "account": self.cloud.account,
            "ca": str(self.ca) if tls else None,
        }

    def part_bytes(self) -> int:
        """Return the bytes received in parts since the last call."""
        return sum(self.received())

    def received(self) -> list[int]:
        """Return the length of each body that was received and dropped since the last call."""
        log = self.dir / "parts.log"
        lines = log.read_text().split() if log.exists() else []
        with log.open("w"):
            return [int(line) for line in lines]


@contextlib.contextmanager
def nginx(cloud: Cloud = S3, *, large: int = 0, keys: int = 0, nopush: bool = True) -> Iterator[Server]:
    """
    Run nginx with one object of *large* bytes, a few small objects and a listing of *keys* keys.

    Contenders use TLS only for S3. With *nopush* it sends full packets, of 64 KiB on the loopback device: the rest of a
    reply that is a little longer waits 40 ms for the delayed acknowledgement.
    """
    program, env = cache.nginx()
    port, tls_port = free_port(), free_port()
    with scratch() as root:
        write_objects(root / "objects" / BUCKET, large)
        write_pages(root / "pages", keys)
        ca = _certificate(root)
        write_config(root, cloud, port, tls_port, nopush=nopush)
        args = [str(program), "-p", str(root), "-c", "nginx.conf", "-e", str(root / "error.log")]
        with _running(args, env, f"http://127.0.0.1:{port}/{BUCKET}"):
            url, tls_url = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls_port}"
            yield Server(dir=root, url=url, tls_url=tls_url, ca=ca, cloud=cloud)


@contextlib.contextmanager
def seaweedfs() -> Iterator[Server]:
    """Run SeaweedFS, which checks signatures and stores objects, with its files in memory."""
    program = cache.command("weed", cache.SEAWEEDFS)
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")}
    with scratch() as root:
        (root / "log").mkdir()
        identity = {
            "name": "admin",
            "credentials": [{"accessKey": S3.access_key, "secretKey": S3.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (root / "s3.json").write_text(json.dumps({"identities": [identity]}))
        args = [str(program), f"-logdir={root / 'log'}", "mini", f"-dir={root}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        args += [f"-{name}={port}" for name, port in ports.items()]
        args += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"]
        args += [f"-s3.config={root / 's3.json'}"]
        url = f"http://127.0.0.1:{ports['s3.port']}"
        with _running(args, {**os.environ, "GOMEMLIMIT": "4GiB"}, f"{url}/healthz"):
            yield Server(dir=root, url=url)


@contextlib.contextmanager
def scratch(on_disk: bool = False) -> Iterator[Path]:
    """Create a directory in memory or on disk, and delete it afterwards."""
    memory = Path("/dev/shm")
    where = None if on_disk or not memory.is_dir() else memory
    root = Path(tempfile.mkdtemp(prefix="asyncstore-bench-", dir=where))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def free_port() -> int:
    """Return a free port for which port + 10,000, which SeaweedFS uses for gRPC, is free too."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port


@contextlib.contextmanager
def _running(args: list[str], env: Mapping[str, str], health: str) -> Iterator[None]:
    process = subprocess.Popen(args, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(process, health)
        yield
    finally:
        # Nothing needs saving, and SeaweedFS takes 20 s to stop gracefully. But nginx has to
        # stop gracefully, or its workers would outlive it.
        process.terminate() if "nginx.conf" in args else process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], health: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(health, timeout=1):
                return
        except urllib.error.HTTPError:
            # An unsigned request for the bucket may be an error, but the server has answered.
            return
        except OSError:
            pass
        time.sleep(0.05)
    raise cache.UnavailableToolError(f"{process.args!r} did not answer at {health}")


def _certificate(root: Path) -> Path:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(root / "ca.pem"))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(root / "server.pem")
    )
    return root / "ca.pem"


@lru_cache(maxsize=1)
def _rsa_key() -> str:
    """Return a key generated for this run: of the usual length, and the same for all contenders."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, bare = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, bare).decode()

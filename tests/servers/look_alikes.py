"""
S3 servers that asyncstore was not written against, each as its users start it.

What each cannot do is listed with its conformance class in `tests/conformance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.install import node, program
from tests.servers.process import Launch, ServerProcess, free_ports, start
from tests.servers.s3 import Keys, S3Server

# s3rver knows only this pair.
_S3RVER_KEYS = Keys("S3RVER", "S3RVER")
_KEYS = Keys("AKIATESTLIKE", "secret-of-a-look-alike-0123456789")


def start_moto_s3() -> ServerProcess:
    """Start moto without its optional packages, so that it computes only CRC32; it checks no signatures."""
    return _start("moto_s3", [program("moto")], ["-H", "127.0.0.1", "-p", "{port}"], "/moto-api/data.json")


def start_rclone() -> ServerProcess:
    """Start `rclone serve s3` on a folder."""
    options = ["--config=/dev/null", "serve", "s3", "--addr=127.0.0.1:{port}", "{folder}/data"]
    options.insert(3, f"--auth-key={_KEYS.access_key_id},{_KEYS.secret_access_key}")
    return _start("rclone", [program("rclone")], options, "/", status=400)


def start_s3rver() -> ServerProcess:
    """Start s3rver on a folder."""
    options = ["-d", "{folder}/data", "-a", "127.0.0.1", "-p", "{port}", "--silent", "--no-vhost-buckets"]
    return _start("s3rver", [node(), program("s3rver")], options, "/")


def start_nanio() -> ServerProcess:
    """Start nanio on a folder."""
    options = ["serve", "--data-dir={folder}/data", "--host=127.0.0.1", "--port={port}"]
    options += ["--log-level=warning", "--no-access-log"]
    environment = {"NANIO_ACCESS_KEY": _KEYS.access_key_id, "NANIO_SECRET_KEY": _KEYS.secret_access_key}
    return _start("nanio", [program("nanio")], options, "/", status=403, environment=environment)


def look_alike(process: ServerProcess) -> S3Server:
    """Return the address and the keys of a running server."""
    keys = _S3RVER_KEYS if process.name == "s3rver" else _KEYS
    url = f"http://127.0.0.1:{process.launch.ports['s3']}"
    return S3Server(process.name, url, keys.access_key_id, keys.secret_access_key)


def _start(
    name: str,
    command: Sequence[Path],
    options: Sequence[str],
    ready: str,
    *,
    status: int = 200,
    environment: Mapping[str, str] | None = None,
) -> ServerProcess:
    def plan(folder: Path) -> Launch:
        (port,) = free_ports(1)
        (folder / "data").mkdir(exist_ok=True)
        return Launch(
            command=[*map(str, command), *(option.format(port=port, folder=folder) for option in options)],
            ports={"s3": port},
            environment=environment or {},
            ready_url=f"http://127.0.0.1:{port}{ready}",
            ready_status=status,
        )

    return start(name, plan)

"""
Ministack: S3 with exact key names, order and versions; STS, IAM and IMDS too.

It does not check requests of its root key, so tests get keys of IAM users, whose
signatures and policies it does check.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers import quirks
from tests.servers.install import program
from tests.servers.process import Launch, ServerProcess, free_ports, start
from tests.servers.s3 import Keys, S3Server, blocking_client
from tests.servers.tls import ThrowawayCA

_ROOT = Keys("test", "test")
_EVERYTHING = ("s3:*", "sts:*")
_READING = ("s3:Get*", "s3:List*")


def start_ministack(tls: ThrowawayCA | None = None) -> ServerProcess:
    """Start ministack, over TLS if *tls* is set; call `with_users` before use."""
    executable = program("ministack")
    return start("ministack", lambda folder: _plan(executable, folder, tls))


def with_users(name: str, process: ServerProcess) -> S3Server:
    """Create an administrator and a reader on a new server; return its address and keys."""
    as_root = S3Server(
        name=name,
        endpoint_url=process.launch.ready_url.removesuffix(_HEALTH),
        access_key_id=_ROOT.access_key_id,
        secret_access_key=_ROOT.secret_access_key,
        ca_file=process.launch.ca_file,
    )
    with blocking_client(as_root, service="iam") as iam:
        admin = _create_user(iam, "admin", _EVERYTHING)
        readonly = _create_user(iam, "readonly", _READING)
    return S3Server(
        name=name,
        endpoint_url=as_root.endpoint_url,
        access_key_id=admin.access_key_id,
        secret_access_key=admin.secret_access_key,
        ca_file=as_root.ca_file,
        readonly=readonly,
        quirks=quirks.MINISTACK,
    )


_HEALTH = "/_ministack/health"


def _plan(executable: Path, folder: Path, tls: ThrowawayCA | None) -> Launch:
    (port,) = free_ports(1)
    environment = {
        "GATEWAY_PORT": str(port),
        # The default is every interface.
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "SERVICES": "s3,sts,iam,imds",
        "AUTH": "true",
        # Opens 0.0.0.0:8883 whatever BIND_HOST says.
        "IOT_MTLS_ENABLED": "false",
        "SFTP_ENABLED": "false",
        # Otherwise it looks for its own containers to remove.
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
        "S3_DATA_DIR": f"{folder}/s3",
        "STATE_DIR": f"{folder}/state",
    }
    if tls:
        environment |= {
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(tls.cert_file),
            "MINISTACK_SSL_KEY": str(tls.key_file),
        }
    return Launch(
        command=[str(executable)],
        ports={"s3": port},
        environment=environment,
        ready_url=f"{'https' if tls else 'http'}://127.0.0.1:{port}{_HEALTH}",
        ca_file=tls.ca_file if tls else None,
    )


def _create_user(iam: Any, name: str, actions: Sequence[str]) -> Keys:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
    }
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Keys(key["AccessKeyId"], key["SecretAccessKey"])

"""
Moto: STS and IAM; it checks signatures and the policies of users and roles.
"""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.install import program
from tests.servers.process import Launch, ServerProcess, free_ports, start
from tests.servers.s3 import Keys, S3Server, blocking_client

EXTERNAL_ID = "external-1"

_READY = "/moto-api/data.json"
_ROOT = Keys("FAKE-ROOT", "FAKE-ROOT-SECRET")


@dataclass(frozen=True, slots=True)
class Moto:
    """
    A running server.

    Attributes:
        user: Keys of a user who may assume roles.
        role_arn: *user* may assume it with `EXTERNAL_ID`; it may assume *next_role_arn*.
        next_role_arn: Only *role_arn* may assume it.
    """

    endpoint_url: str
    user: Keys
    role_arn: str
    next_role_arn: str

    def accept_unchecked(self, requests: int) -> None:
        """Accept the next *requests* unchecked: moto refuses every unsigned request."""
        _accept_unchecked(self.endpoint_url, requests)


def start_moto() -> ServerProcess:
    """Start the server; call `with_roles` before use."""
    executable = program("moto")
    return start("moto", lambda folder: _plan(executable, folder))


def with_roles(process: ServerProcess) -> Moto:
    """Create a user and two roles on a new server; from then on it checks signatures."""
    url = process.launch.ready_url.removesuffix(_READY)
    root = S3Server("moto", url, _ROOT.access_key_id, _ROOT.secret_access_key)
    with blocking_client(root, service="iam") as iam:
        arn = iam.create_user(UserName="user")["User"]["Arn"]
        iam.put_user_policy(UserName="user", PolicyName="assume", PolicyDocument=_policy())
        key = iam.create_access_key(UserName="user")["AccessKey"]
        condition = {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}
        role = _role(iam, "role", _trust(arn, Condition=condition))
        following = _role(iam, "next", _trust("*"))
    _accept_unchecked(url, 0)
    return Moto(url, Keys(key["AccessKeyId"], key["SecretAccessKey"]), role, following)


def _plan(executable: Path, folder: Path) -> Launch:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    return Launch(
        command=[str(executable), "-H", "127.0.0.1", "-p", str(port)],
        ports={"sts": port},
        environment={"INITIAL_NO_AUTH_ACTION_COUNT": "inf"},
        ready_url=f"{url}{_READY}",
    )


def _accept_unchecked(url: str, requests: int) -> None:
    headers = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{url}/moto-api/reset-auth", str(requests).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as reply:
        assert reply.status == 200


def _role(iam: Any, name: str, trust: str) -> str:
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="assume", PolicyDocument=_policy())
    return arn


def _policy() -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]})


def _trust(principal: str, **more: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

"""
Storages that use the keys of a role, on a server that checks both.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncstore import AuthConfig, Storage, open_storage
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import PermissionDeniedError
from tests.servers.s3 import S3Server, blocking_client, fresh_bucket


@pytest.fixture(scope="module")
def roles(ministack: S3Server) -> dict[str, str]:
    """A role that may read and write, and one that may only read."""
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    found = {}
    root = S3Server("root", ministack.endpoint_url, "test", "test")
    with blocking_client(root, service="iam") as iam:
        for name, actions in {"writer": ["s3:*"], "reader": ["s3:Get*", "s3:List*"]}.items():
            statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
            role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]
            iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=_policy(statement))
            found[name] = role["Arn"]
    return found


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _auth(server: S3Server, role: str) -> AuthConfig:
    settings = {
        "role_arn": role,
        "sts_endpoint": server.endpoint_url,
        "access_key_id": server.keys.access_key_id,
        "secret_access_key": server.keys.secret_access_key,
    }
    return AuthConfig(auth_type="assume_role", settings=settings)


def _storage(server: S3Server, bucket: str, role: str) -> Storage:
    return open_storage(
        f"s3://{bucket}",
        endpoint_url=server.endpoint_url,
        region=server.region,
        auth=_auth(server, role),
    )


async def test_storage_of_a_role(ministack: S3Server, roles: dict[str, str]) -> None:
    """
    Our client and the SDK's own client can do what the role allows.
    """
    bucket = fresh_bucket(ministack)
    async with _storage(ministack, bucket, roles["writer"]) as storage:
        await storage.put(storage.root / "key", b"body")
    async with _storage(ministack, bucket, roles["reader"]) as storage:
        assert await storage.read(storage.root / "key") == b"body"
    async with aws_credentials(_auth(ministack, roles["reader"]), region=ministack.region) as credentials:
        session = await credentials.for_botocore()
        async with session.create_client("s3", endpoint_url=ministack.endpoint_url) as client:
            assert (await client.head_object(Bucket=bucket, Key="key"))["ContentLength"] == 4


async def test_role_may_not_do_what_its_source_may(ministack: S3Server, roles: dict[str, str]) -> None:
    """
    The keys in use are those of the role: it may not write, although its source may.
    """
    bucket = fresh_bucket(ministack)
    async with _storage(ministack, bucket, roles["reader"]) as storage:
        with pytest.raises(PermissionDeniedError):
            await storage.put(storage.root / "key", b"body")

"""
An aiohttp session for AWS's own hosts, signed as each requires, and for no other host.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer
from yarl import URL

from asyncstore import AuthConfig, connect_auth
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.auth.aws.endpoints import scope_of_host
from asyncstore.errors import ConfigurationError, NotSupportedError
from tests.auth.aws.sigv4_check import is_signed_by, scope
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.servers.identity.aws import KEYS

_AUTH = AuthConfig(
    provider="aws",
    auth_type="static",
    region="eu-west-3",
    settings={
        "access_key_id": KEYS.access_key_id,
        "secret_access_key": FAKE_SECRET,
        "session_token": FAKE_TOKEN,
    },
)

_SCOPES = {
    "bucket.s3.eu-central-1.amazonaws.com": "eu-central-1/s3",
    "my.s3-bucket.s3.eu-central-1.amazonaws.com": "eu-central-1/s3",
    "s3.us-gov-west-1.amazonaws.com": "us-gov-west-1/s3",
    "bucket.s3.dualstack.eu-west-1.amazonaws.com": "eu-west-1/s3",
    "s3-fips.us-gov-west-1.amazonaws.com": "us-gov-west-1/s3",
    "s3-us-west-2.amazonaws.com": "us-west-2/s3",
    "bucket.s3-us-west-2.amazonaws.com": "us-west-2/s3",
    "s3.amazonaws.com": "us-east-1/s3",
    "bucket.s3-accelerate.amazonaws.com": "eu-west-3/s3",
    "bucket.s3-accelerate.dualstack.amazonaws.com": "eu-west-3/s3",
    "point-1.s3-accesspoint.us-west-2.amazonaws.com": "us-west-2/s3",
    "bucket.s3.cn-north-1.amazonaws.com.cn": "cn-north-1/s3",
    "sts.amazonaws.com": "us-east-1/sts",
    "sts.eu-west-1.amazonaws.com": "eu-west-1/sts",
    "dynamodb.ap-southeast-2.amazonaws.com": "ap-southeast-2/dynamodb",
}

_FOREIGN = [
    "https://storage.example/",
    "https://amazonaws.com/",
    "https://evil-amazonaws.com/",
    "https://s3.amazonaws.com.evil.example/",
    "https://s3.eu-central-1.amazonaws.com:8443/",
    "http://s3.eu-central-1.amazonaws.com/",
    "https://ec2-192-0-2-1.eu-west-1.compute.amazonaws.com/",
    "https://ec2-192-0-2-1.compute-1.amazonaws.com/",
    "https://app-1.eu-west-1.elb.amazonaws.com/",
    "https://eu-west-1.amazonaws.com/",
]


class Here(AbstractResolver):
    """
    All host names resolve to one port of this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": self._port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        pass


class AWS:
    """
    All of AWS on this machine; records the requests and whether they were signed.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.redirect: str | None = None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        signed = await is_signed_by(request, KEYS)
        self.seen.append((request.host, scope(request) if signed else None))
        if self.redirect is not None:
            location, self.redirect = self.redirect, None
            return web.Response(status=307, headers={"Location": location})
        assert signed or not any("FAKE" in value for value in request.headers.values())
        return web.Response(status=200 if signed else 403)


@pytest.fixture
def aws() -> AWS:
    return AWS()


@pytest.fixture
async def connector(aws: AWS) -> AsyncIterator[aiohttp.TCPConnector]:
    """Connects to AWS on this machine over TLS, whatever the host name."""
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(*_SCOPES, "storage.example").configure_cert(server_side)
    authority.configure_trust(client_side)
    app = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await aws(request)

    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server(ssl=server_side)
    assert server.port is not None
    connector = aiohttp.TCPConnector(resolver=Here(server.port), ssl=client_side)
    yield connector
    await connector.close()
    await server.close()


@pytest.mark.parametrize("host", _SCOPES)
@pytest.mark.parametrize("path", ["/", "/a%20b/c%2Fd//e/./f/?x=1&empty&y=a%2Fb"])
async def test_hosts_of_aws(aws: AWS, connector: aiohttp.TCPConnector, host: str, path: str) -> None:
    """
    Requests to a host of AWS are signed for its region and service, and arrive as they were signed.
    """
    async with (
        connect_auth(_AUTH) as credentials,
        credentials.http_client(connector=connector, connector_owner=False) as session,
        session.get(URL(f"https://{host}{path}", encoded=True)) as reply,
    ):
        assert reply.status == 200

    assert aws.seen == [(host, _SCOPES[host])]


@pytest.mark.parametrize("body", [b"", b"Action=GetCallerIdentity&Version=2011-06-15"])
async def test_body_is_part_of_the_signature(aws: AWS, connector: aiohttp.TCPConnector, body: bytes) -> None:
    """
    Services other than S3 receive a hash of the body.
    """
    async with (
        connect_auth(_AUTH) as credentials,
        credentials.http_client(connector=connector, connector_owner=False) as session,
        session.post("https://sts.eu-west-1.amazonaws.com/", data=body) as reply,
    ):
        assert reply.status == 200


async def test_body_that_cannot_be_hashed(aws: AWS, connector: aiohttp.TCPConnector) -> None:
    """
    A stream to a service that requires its hash is rejected before anything is sent.
    """

    async def parts() -> AsyncIterator[bytes]:
        yield b"body"

    async with (
        connect_auth(_AUTH) as credentials,
        credentials.http_client(connector=connector, connector_owner=False) as session,
    ):
        with pytest.raises(NotSupportedError, match="pass it as bytes"):
            await session.post("https://sts.eu-west-1.amazonaws.com/", data=parts())
    assert aws.seen == []


async def test_foreign_host_sees_no_credentials(aws: AWS, connector: aiohttp.TCPConnector) -> None:
    """
    Other hosts receive neither signature nor session token, even through a redirect from AWS.
    """
    aws.redirect = "https://storage.example/elsewhere"
    async with (
        connect_auth(_AUTH) as credentials,
        credentials.http_client(connector=connector, connector_owner=False) as session,
    ):
        async with session.get("https://s3.amazonaws.com/b/k", allow_redirects=True) as reply:
            assert reply.status == 403
        async with session.get("https://storage.example/b/k") as reply:
            assert reply.status == 403

    assert aws.seen == [("s3.amazonaws.com", "us-east-1/s3"), ("storage.example", None), ("storage.example", None)]


@pytest.mark.parametrize("url", _FOREIGN)
def test_hosts_that_are_not_of_aws(url: str) -> None:
    """
    Similar names, and hosts of AWS customers, are not hosts of AWS.
    """
    assert scope_of_host(URL(url)) is None


async def test_endpoint_of_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The endpoint of the environment is one of the provider's hosts; plain HTTP to another machine is an error.
    """
    seen = []

    async def bucket(request: web.Request) -> web.StreamResponse:
        seen.append(scope(request) if await is_signed_by(request, KEYS) else None)
        return web.Response()

    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", await serve(bucket))
    async with connect_auth(_AUTH) as credentials, credentials.http_client() as session:
        async with session.get(f"{credentials.service_endpoint()}/b/k"):
            pass
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example")
        with pytest.raises(ConfigurationError, match=r"unencrypted to http://s3\.example"):
            await session.get("http://s3.example/b/k")

        for endpoint in ("minio:9000", "http://[::1"):
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
            with pytest.raises(ConfigurationError, match="the endpoint of s3 is not a valid URL"):
                await session.get("http://s3.example/b/k")

    assert seen == ["eu-west-3/s3"]


async def test_connect_auth_raises_at_once(tmp_path: Path) -> None:
    """
    Credentials that cannot be obtained, and invalid settings, are errors at once.
    """
    with pytest.raises(ConfigurationError, match="cannot be started"):
        await connect_auth(
            AuthConfig(provider="aws", auth_type="process", settings={"credential_process": [tmp_path / "none"]})
        )
    with pytest.raises(ConfigurationError, match="takes no profile"):
        await connect_auth(AuthConfig(provider="s3", auth_type="static", settings={"profile": "x"}))
    with pytest.raises(ConfigurationError, match="credentials for 'gcs', not for 's3'"):
        aws_credentials(AuthConfig(provider="gcs"))

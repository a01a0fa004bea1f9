"""
Requests through the fault proxy keep their signatures and are counted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from asyncstore.testing.faults_proxy import CannedReply, FaultProxy, LoseReply, When
from tests.servers.s3 import S3Server, fresh_bucket

BODY = bytes(range(256)) * 8192


@pytest.fixture(params=["seaweed", "ministack"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


@pytest.fixture
def bucket(server: S3Server) -> str:
    return fresh_bucket(server)


@pytest.fixture
async def proxy(server: S3Server) -> AsyncIterator[FaultProxy]:
    upstream = urlsplit(server.endpoint_url)
    assert upstream.hostname
    assert upstream.port
    async with FaultProxy(upstream.hostname, upstream.port) as running:
        yield running


@asynccontextmanager
async def async_client(server: S3Server, url: str, *, secret: str | None = None) -> AsyncIterator[Any]:
    config = AioConfig(
        proxies={}, signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
    )
    async with get_session().create_client(
        "s3",
        endpoint_url=url,
        region_name=server.region,
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=secret or server.secret_access_key,
        config=config,
    ) as client:
        yield client


async def read(client: Any, bucket: str, key: str) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        return bytes(await body.read())


async def test_signatures_hold(server: S3Server, bucket: str, proxy: FaultProxy) -> None:
    """The server accepts requests signed for the proxy, one request per call."""
    async with async_client(server, proxy.url) as client:
        await client.put_object(Bucket=bucket, Key="a b+c/é", Body=BODY)
        assert await read(client, bucket, "a b+c/é") == BODY

    assert [(record.method, record.status) for record in proxy.requests] == [("PUT", 200), ("GET", 200)]


async def test_wrong_secret_is_refused(server: S3Server, bucket: str, proxy: FaultProxy) -> None:
    """The server refuses an invalid signature through the proxy too."""
    async with async_client(server, proxy.url, secret="wrong") as client:
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            await client.put_object(Bucket=bucket, Key="k", Body=BODY)


async def test_lost_reply_was_committed(server: S3Server, bucket: str, proxy: FaultProxy) -> None:
    """The caller gets an error although the object was stored."""
    proxy.add(LoseReply(), when=When(method="PUT"), times=None)
    async with async_client(server, proxy.url) as client:
        with pytest.raises(BotoCoreError):
            await client.put_object(Bucket=bucket, Key="k", Body=BODY)
        assert await read(client, bucket, "k") == BODY


async def test_canned_slow_down(server: S3Server, bucket: str, proxy: FaultProxy) -> None:
    """The client treats a canned error as one of the service."""
    proxy.add(CannedReply())
    async with async_client(server, proxy.url) as client:
        with pytest.raises(ClientError, match="SlowDown"):
            await client.put_object(Bucket=bucket, Key="k", Body=BODY)
        await client.put_object(Bucket=bucket, Key="k", Body=BODY)

    assert [record.status for record in proxy.requests] == [503, 200]

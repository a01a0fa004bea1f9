"""
The SDK's own clients with our credentials.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from aiohttp import web

from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.errors import ConfigurationError
from tests.auth.aws.sigv4_check import is_signed_by, scope
from tests.auth.conftest import FAKE_SECRET, Serve
from tests.servers.identity.aws import ID


async def test_sdk_client_signs_with_our_lease(serve: Serve) -> None:
    """
    The native client uses our credentials: one fetch for twenty requests.
    """
    scopes = []
    fetched = []

    async def bucket(request: web.Request) -> web.StreamResponse:
        signed = await is_signed_by(request, AWSKeys(ID, FAKE_SECRET))
        scopes.append(scope(request))
        return web.Response(status=200 if signed else 403)

    def secret() -> str:
        fetched.append(1)
        return FAKE_SECRET

    url = await serve(bucket)
    async with aws_credentials(None, {"access_key_id": ID, "secret_access_key": secret}, region="r-1") as credentials:
        session = await credentials.for_botocore()
        async with session.create_client("s3", endpoint_url=url) as client:
            await asyncio.gather(*(client.head_object(Bucket="b", Key="k") for _ in range(20)))

    assert scopes == ["r-1/s3"] * 20
    assert len(fetched) == 1


async def test_anonymous_sdk_client_does_not_sign(serve: Serve) -> None:
    """
    With anonymous credentials the native client does not sign.
    """
    seen = []

    async def bucket(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response()

    url = await serve(bucket)
    async with aws_credentials(None, {"anonymous": True}, region="r-1") as credentials:
        session = await credentials.for_botocore()
        async with session.create_client("s3", endpoint_url=url) as client:
            await client.head_object(Bucket="b", Key="k")

    assert seen == [None]


async def test_missing_sdk_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without the SDK the error names the package to install.
    """
    monkeypatch.setitem(sys.modules, "aiobotocore", None)
    monkeypatch.setitem(sys.modules, "aiobotocore.config", None)

    async with aws_credentials(None, {"anonymous": True}) as credentials:
        with pytest.raises(ConfigurationError, match=r"asyncstore\[s3\]"):
            await credentials.for_botocore()


async def test_shared_files_that_are_broken(aws_files: Path) -> None:
    """
    The SDK reads the shared files too: errors in them are raised before a client is created.
    """
    (aws_files / "config").write_text("nonsense")

    async with aws_credentials(None, {"anonymous": True}, region="r-1") as credentials:
        with pytest.raises(ConfigurationError, match="cannot read AWS's shared files: ConfigParseError"):
            await credentials.for_botocore()

"""
Storages whose credentials expire after three seconds.
"""

from __future__ import annotations

import json
import re
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from asyncstore.config import AuthConfig
from asyncstore.testing.servers.gcs import GCSServer, Settings
from asyncstore.testing.servers.oci import OCIServer
from tests.auth.github.methods import CASES as GITHUB_CASES
from tests.auth.github.methods import LOGIN
from tests.auth.github.methods import Asked as GitHubAsked
from tests.auth.oci.methods import CASES as OCI_CASES
from tests.auth.oci.methods import Asked as OCIAsked
from tests.servers.azure import AzureServer, blocking_client, fake_token
from tests.servers.gate import Gate, bearer
from tests.servers.gcs_client import account, key_file
from tests.servers.oci import user
from tests.servers.s3 import S3Server, fresh_bucket
from tests.servers.s3 import blocking_client as blocking_s3_client

MiB: Final = 1024 * 1024

#: Seconds that credentials are good for.
LIFETIME: Final = 3.0


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where to write, and with which credentials.

    Attributes:
        gate: Recorded every request.
        fetches: Number of times credentials were issued.
        objects: Number of objects to split the bytes into; one if objects have parts.
    """

    uri: str
    auth: AuthConfig
    settings: Mapping[str, Any]
    gate: Gate
    fetches: Callable[[], int]
    objects: int = 1


@dataclass(frozen=True, slots=True)
class Around:
    """
    What a place is built from.

    Attributes:
        server: A real server, if the place needs one.
        rate: Bytes per second.
    """

    server: object
    rate: float
    monkeypatch: pytest.MonkeyPatch
    folder: Path


Open = Callable[[Around], AbstractAsyncContextManager[Place]]


@asynccontextmanager
async def gcs(around: Around) -> AsyncIterator[Place]:
    """
    A service account, whose tokens the stand-in issues and checks.
    """
    settings = Settings(tokens=(), accounts=[account()], token_lifetime=LIFETIME)
    async with GCSServer(buckets=["models"], settings=settings) as server:
        gate = Gate(server.url, shown=bearer, rate=around.rate)
        async with gate.serving() as url:
            auth = AuthConfig(
                auth_type="service_account", settings={"credentials_json": json.dumps(key_file(server.url))}
            )
            yield Place("gs://models", auth, {"endpoint_url": url}, gate, lambda: sum(server.issuer.calls.values()))


@dataclass
class Metadata:
    """
    The metadata service of an Azure machine.
    """

    given: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        assert request.headers["Metadata"] == "true"
        assert request.query["resource"].startswith("https://storage.azure.com")
        self.given += 1
        token = fake_token(LIFETIME)
        return web.json_response(
            {"access_token": token.token, "expires_in": str(int(LIFETIME)), "expires_on": str(token.expires_on)}
        )


@asynccontextmanager
async def azure(around: Around) -> AsyncIterator[Place]:
    """
    A managed identity, whose tokens Azurite checks: it rejects expired ones.
    """
    server = around.server
    assert isinstance(server, AzureServer)
    host, _, account_name = server.endpoint_url.rpartition("/")
    gate = Gate(host, shown=bearer, rate=around.rate, tls=_trusting(server.ca_file))
    metadata = Metadata()
    async with _serving(metadata.answer) as there, gate.serving() as url:
        around.monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", there)
        auth = AuthConfig(auth_type="managed_identity")
        settings = {"endpoint_url": f"{url}/{account_name}", "account_name": account_name}
        yield Place(f"azure://{_container(server)}", auth, settings, gate, lambda: metadata.given)


@dataclass
class ShortSTS:
    """
    A proxy of the STS *upstream*, whose roles last at least 15 minutes: it reports three seconds.
    """

    upstream: str
    given: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.given += 1
        headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.upstream, data=await request.read(), headers=headers) as reply,
        ):
            text = await reply.text()
            ends = (datetime.now(UTC) + timedelta(seconds=LIFETIME)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            text, times = re.subn("<Expiration>[^<]*", f"<Expiration>{ends}", text)
            assert times == 1, text
            return web.Response(status=reply.status, text=text, content_type="text/xml")


@asynccontextmanager
async def s3(around: Around) -> AsyncIterator[Place]:
    """
    A role, whose keys the server's own STS issues; the server checks their signatures.
    """
    server = around.server
    assert isinstance(server, S3Server)
    role_arn = _role(server)
    sts = ShortSTS(server.endpoint_url)
    gate = Gate(
        server.endpoint_url,
        shown=lambda headers: headers.get("x-amz-security-token"),
        rate=around.rate,
        lifetime=LIFETIME,
        refusal=lambda: web.Response(status=400, text="<Error><Code>ExpiredToken</Code></Error>"),
    )
    async with _serving(sts.answer) as there, gate.serving() as url:
        auth = AuthConfig(
            auth_type="assume_role",
            settings={
                "role_arn": role_arn,
                "access_key_id": server.access_key_id,
                "secret_access_key": server.secret_access_key,
                "sts_endpoint": there,
            },
        )
        settings = {"endpoint_url": url, "region": server.region, "addressing_style": "path"}
        yield Place(f"s3://{fresh_bucket(server)}", auth, settings, gate, lambda: sts.given)


@asynccontextmanager
async def oci(around: Around) -> AsyncIterator[Place]:
    """
    An instance, whose tokens and keys the stand-in learns from the federation: it rejects expired ones.
    """
    start = OCI_CASES["instance_principal"].start
    async with start(around.monkeypatch, around.folder) as running, OCIServer(user()) as server:
        assert isinstance(running, OCIAsked)
        running.ttl = LIFETIME
        add = server.store.add_token
        running.service.on_issue = lambda token, key, ends: add(token, key, expires=ends, user=user())
        server.create_bucket("models")
        gate = Gate(server.url, shown=_key_id, rate=around.rate)
        async with gate.serving() as url:
            settings = {"endpoint_url": url, "region": server.store.region}
            yield Place("oci://models", running.auth, settings, gate, running.fetches)


@asynccontextmanager
async def github(around: Around) -> AsyncIterator[Place]:
    """
    An App, whose tokens the stand-in issues and checks. Assets have no parts.
    """
    start = GITHUB_CASES["app"].start
    async with start(around.monkeypatch, around.folder) as running:
        assert isinstance(running, GitHubAsked)
        running.ttl = LIFETIME
        # Downloads come from a host that sees no token, past the gate.
        gate = Gate(running.server.url, shown=_installation, rate=around.rate / 2)
        async with gate.serving() as url:
            auth = replace(running.auth, settings={**running.auth.settings, "base_url": url})
            settings = {"endpoint_url": url, "create_release": True}
            uri = f"github://{LOGIN}/hello/releases/v1"
            yield Place(uri, auth, settings, gate, running.fetches, objects=8)


#: Each with the fixture of the server that it needs.
PLACES: Final[Mapping[Open, str | None]] = {azure: "azurite_tls", gcs: None, github: None, oci: None, s3: "ministack"}

_KEY_ID: Final = re.compile('keyId="([^"]+)"')


def _key_id(headers: CIMultiDict[str]) -> str | None:
    found = _KEY_ID.search(headers.get("Authorization", ""))
    return found.group(1) if found else None


def _installation(headers: CIMultiDict[str]) -> str | None:
    token = bearer(headers)
    # Not the app's own, with which it asks for those.
    return token if token is not None and token.startswith("ghs_") else None


@asynccontextmanager
async def _serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    assert ca_file is not None
    return ssl.create_default_context(cafile=str(ca_file))


def _role(server: S3Server) -> str:
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    policy = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    name = f"test-{uuid.uuid4().hex}"
    # Only its root may make roles.
    with blocking_s3_client(replace(server, access_key_id="test", secret_access_key="test"), service="iam") as iam:
        arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=_document(policy))
    return arn


def _document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _container(server: AzureServer) -> str:
    name = f"test-{uuid.uuid4().hex}"
    with blocking_client(server) as client:
        client.create_container(name)
    return name

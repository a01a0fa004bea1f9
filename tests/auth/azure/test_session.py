"""
Azure credentials without a storage: opened by name, for aiohttp, and for Microsoft's SDK.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import aiohttp
import anyio
import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob.aio import BlobServiceClient
from yarl import URL

from asyncstore import connect_auth
from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError
from tests.auth.azure.in_process import FAKE_KEY
from tests.auth.azure.methods import CASES, bare_environment, config, entra
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.identity.azure import TENANT, serving
from tests.servers.tls import make_ca

SAS = "sv=2022-11-02&sp=r&sig=FAKE"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean environment."""
    bare_environment(monkeypatch)


@pytest.mark.parametrize("provider", ["azure", "az"])
async def test_opened_by_name(provider: str, tmp_path: Path) -> None:
    """
    Opening credentials fetches the first token; ``describe()`` then reports them.
    """
    async with entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running:
        auth = AuthConfig(provider=provider, auth_type="client_secret", settings=running.auth.settings)
        async with connect_auth(auth, http=running.http) as credentials:
            assert running.fetches() == 1
            described = credentials.describe()
            assert credentials.expiry() is not None
            assert await credentials.region() is None

    assert set(described) == {"method", "source", "expires"}
    assert described["method"] == "client_secret"


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://acct.blob.core.windows.net/c/k?x=y", True),
        ("https://acct-secondary.blob.core.windows.net/c/k", True),
        ("https://acct.z6.blob.storage.azure.net/c/k", True),
        ("https://acct.dfs.core.windows.net/c/k", True),
        ("https://acct.queue.core.usgovcloudapi.net/q", True),
        ("https://acct.blob.core.chinacloudapi.cn/c", True),
        ("https://ACCT.blob.core.windows.net/c", True),
        ("http://acct.blob.core.windows.net/c/k", False),
        ("https://other.blob.core.windows.net/c/k", False),
        ("https://acct.table.core.windows.net/t", False),
        ("https://acct.blob.core.windows.net.evil.example/c", False),
        ("https://acct.blob.core.windows.example/c", False),
        ("https://evil.example/acct.blob.core.windows.net/", False),
        ("https://acct.blob.core.windows.net@evil.example/", False),
        ("https://login.microsoftonline.com/x", False),
        ("https://127.0.0.1/acct", False),
    ],
)
def test_own_hosts(url: str, signed: bool) -> None:
    """
    Only https URLs of the account's own storage hosts get credentials.
    """
    credentials = azure_credentials(config("sas", sas_token=SAS, account_name="acct"))

    assert (credentials.scope_of(URL(url)) is not None) is signed


def test_endpoint_of_a_connection_string() -> None:
    """
    The endpoint of a connection string gets credentials too, unless it is plain HTTP on another machine.
    """
    for endpoint, signed in (
        ("https://blobs.example", True),
        ("http://127.0.0.1:1", True),
        ("http://x.example", False),
    ):
        text = f"BlobEndpoint={endpoint}/acct;AccountName=acct;AccountKey={FAKE_KEY}"
        credentials = azure_credentials(config("connection_string", connection_string=text))
        assert (credentials.scope_of(URL(f"{endpoint}/acct/c/k")) is not None) is signed


def test_sas_without_an_account() -> None:
    """
    A SAS token is valid for one account, so it is not sent until the account is known. A token is valid for all.
    """
    url = URL("https://acct.blob.core.windows.net/c")
    with pytest.raises(ConfigurationError, match="account_name"):
        azure_credentials(config("sas", sas_token=SAS)).scope_of(url)

    assert azure_credentials(config("managed_identity")).scope_of(url) is not None


class Loopback(AbstractResolver):
    """
    Resolves every host to this machine.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Do nothing."""


async def test_session_without_origins(tmp_path: Path) -> None:
    """
    By default a session signs requests to Azure hosts; a redirect to another host carries no credentials.
    """
    seen: dict[str, str | None] = {}

    async def handle(request: web.Request) -> web.Response:
        assert request.url.host is not None
        seen[request.url.host] = request.headers.get("Authorization")
        if request.path == "/away":
            raise web.HTTPFound(f"https://elsewhere.example:{request.url.port}/")
        return web.Response()

    authority = trustme.CA()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("acct.blob.core.windows.net", "elsewhere.example").configure_cert(served)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=served)
    async with entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running:
        connector = aiohttp.TCPConnector(resolver=Loopback(), ssl=trusted)
        async with (
            azure_credentials(running.auth, http=running.http) as credentials,
            credentials.http_client(connector=connector) as session,
            session.get(f"https://acct.blob.core.windows.net:{server.port}/away", allow_redirects=True) as reply,
        ):
            assert reply.status == 200
    await server.close()

    assert seen == {"acct.blob.core.windows.net": f"Bearer {FAKE_TOKEN}-1", "elsewhere.example": None}


class SDKStorage:
    """
    Rejects the first token like the service does, and accepts others.
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.tokens.append(token)
        if token == f"{FAKE_TOKEN}-1":
            address = f"https://login.microsoftonline.com/{TENANT}/oauth2/authorize"
            challenge = f"Bearer authorization_uri={address} resource_id=https://storage.azure.com"
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        headers = {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2"}
        return web.Response(headers=headers)


async def test_sdk_shares_our_token(tmp_path: Path) -> None:
    """
    Twenty SDK clients share one token, and a rejection refreshes it once for all of them.
    """
    (tmp_path / "storage").mkdir()
    tls = make_ca(tmp_path / "storage")
    storage = SDKStorage()
    async with (
        entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running,
        serving(storage, tls) as url,
        azure_credentials(running.auth, http=running.http) as credentials,
    ):

        async def ask() -> None:
            transport = AioHttpTransport(connection_verify=str(tls.ca_file), use_env_settings=False)
            async with BlobServiceClient(
                f"{url}/acct", credential=await credentials.for_azure(), transport=transport, retry_total=0
            ) as client:
                found = await client.get_account_information()
            assert found["sku_name"] == "Standard_LRS"

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask)

    assert set(storage.tokens) == {f"{FAKE_TOKEN}-1", f"{FAKE_TOKEN}-2"}
    assert storage.tokens.count(f"{FAKE_TOKEN}-2") == 20
    assert running.fetches() == 2


async def test_sdk_credential_types() -> None:
    """
    Keys and SAS tokens become the SDK's own credential objects; anonymous becomes ``None``.
    """
    async with azure_credentials(config("account_key", account_name="acct", account_key=FAKE_KEY)) as credentials:
        key = await credentials.for_azure()
        assert (key.named_key.name, key.named_key.key) == ("acct", FAKE_KEY)
    async with azure_credentials(config("sas", sas_token=SAS)) as credentials:
        assert (await credentials.for_azure()).signature == SAS
    async with azure_credentials(config("anonymous")) as credentials:
        assert await credentials.for_azure() is None


async def test_token_for_the_sdk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Both SDK calls return our token with its expiry; scopes of other services are rejected.
    """
    async with (
        CASES["client_secret"].start(monkeypatch, tmp_path) as running,
        azure_credentials(running.auth, http=running.http) as credentials,
    ):
        shared = await credentials.for_azure()
        async with shared:
            one = await shared.get_token("https://storage.azure.com/.default")
            other = await shared.get_token_info("https://storage.azure.com/.default", options={"enable_cae": True})
        with pytest.raises(ConfigurationError, match="vault"):
            await shared.get_token("https://vault.azure.net/.default")
        end = credentials.expiry()

    assert end is not None
    assert one.token == other.token == f"{FAKE_TOKEN}-1"
    assert one.expires_on == pytest.approx(end.timestamp(), abs=2)
    assert one.refresh_on == pytest.approx(end.timestamp() - 300, abs=2)
    assert FAKE_TOKEN not in f"{one!r} {other}"
    assert running.fetches() == 1

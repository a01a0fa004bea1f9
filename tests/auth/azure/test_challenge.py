"""
Bearer challenges: what is passed on to the token service, and for how long.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from asyncstore.auth.azure.challenge import Challenge, Demand, read_demand
from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.config import StorageConfig
from asyncstore.drivers.azure import open_driver
from asyncstore.errors import UnauthenticatedError, UnavailableError
from asyncstore.options import ReadOptions
from asyncstore.uri import parse_uri
from tests.auth.azure.methods import bare_environment, config, entra
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.identity.azure import TENANT, Entra, serving

OTHER = "00000000-0000-0000-0000-00000000000f"
CLAIMS = json.dumps({"access_token": {"nbf": {"essential": True, "value": "1700000000"}}})
ENCODED = base64.b64encode(CLAIMS.encode()).decode()
WANTS_CLAIMS = f'Bearer realm="", error="insufficient_claims", claims="{ENCODED}"'


def wants_tenant(tenant: str) -> str:
    return f"Bearer authorization_uri=https://evil.example/{tenant}/oauth2/authorize resource_id={'https://x'}"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean environment."""
    bare_environment(monkeypatch)


@pytest.mark.parametrize(
    ("header", "tenant", "claims"),
    [
        (wants_tenant(OTHER), OTHER, None),
        (f'bearer authorization_uri="https://login.example/{OTHER}", x=y', OTHER, None),
        ("Bearer authorization_uri=https://login.example/common/oauth2", None, None),
        ("Bearer authorization_uri=https://login.example/a%20b/oauth2", None, None),
        ("Bearer authorization_uri=https://[::1/oauth2", None, None),
        (WANTS_CLAIMS, None, CLAIMS),
        (f"Bearer claims={ENCODED.rstrip('=')}", None, CLAIMS),
        ('Bearer claims="not base64!"', None, None),
        (f'Bearer claims="{base64.b64encode(b"[1]").decode()}"', None, None),
        (f'Bearer claims="{base64.b64encode(bytes(range(128, 256))).decode()}"', None, None),
        (f"Bearer claims={'A' * 100_000}", None, None),
        ("Basic realm=x", None, None),
        ("", None, None),
    ],
)
def test_header(header: str, tenant: str | None, claims: str | None) -> None:
    """
    Tenant and claims are parsed if they are valid; everything else is ignored.
    """
    demand = read_demand(header)

    assert demand == (Demand(tenant, claims) if tenant or claims else None)


def test_demands_end_with_their_refresh() -> None:
    """
    The latest pending demand wins, and none remains after the last block ends.
    """
    challenge = Challenge()
    with challenge.pending(Demand("one", "{}")):
        with challenge.pending(Demand("two")), challenge.pending(None):
            assert (challenge.tenant, challenge.claims) == ("two", "{}")
        assert (challenge.tenant, challenge.claims) == ("one", "{}")

    assert (challenge.tenant, challenge.claims) == (None, None)


def test_long_header_takes_linear_time() -> None:
    """
    A malicious header does not cause quadratic parsing.
    """
    before = time.process_time()
    for filler in ("a", "a ", " ", "a=", '"', ","):
        read_demand(f"Bearer {filler * 16_000}")

    assert time.process_time() - before < 0.5


class Storage:
    """
    Rejects the listed tokens with a challenge and accepts all others.
    """

    def __init__(self, refused: Mapping[str, str]) -> None:
        self.refused = refused
        self.tokens: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.tokens.append(token)
        if token in self.refused:
            return web.Response(
                status=401,
                headers={"WWW-Authenticate": self.refused[token], "x-ms-error-code": "InvalidAuthenticationInfo"},
                text="<Error><Code>InvalidAuthenticationInfo</Code></Error>",
                content_type="text/xml",
            )
        headers = {"ETag": '"0x1"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Content-Length": "0"}
        return web.Response(headers=headers)


async def test_claims_are_sent_once(tmp_path: Path) -> None:
    """
    Claims that ten rejected requests ask for are in the next token request, and in no later one.
    """
    storage = Storage({f"{FAKE_TOKEN}-1": WANTS_CLAIMS})
    async with (
        entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running,
        serving(storage) as url,
        azure_credentials(running.auth, http=running.http) as credentials,
        credentials.http_client([url]) as session,
    ):

        async def get() -> None:
            async with session.get(url) as reply:
                assert reply.status == 200

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(get)
        # A refresh within one second of the last one returns the same lease.
        await anyio.sleep(1.1)
        await credentials.refresh(await credentials.get())
        forms = [asked.form.get("claims") for asked in running.server.asked]

    assert forms == [None, CLAIMS, None]
    assert sorted(storage.tokens) == [f"{FAKE_TOKEN}-1"] * 10 + [f"{FAKE_TOKEN}-2"] * 10


@pytest.mark.parametrize(
    ("own", "allowed"),
    [
        (TENANT, OTHER),
        (TENANT, [OTHER.upper()]),
        (TENANT, "*"),
        (TENANT, f"x, {OTHER}"),
        ("contoso.example", OTHER),
    ],
)
async def test_allowed_tenant(tmp_path: Path, own: str, allowed: Any) -> None:
    """
    A token of another tenant is requested if that tenant is allowed, always from our own authority.
    """
    service = Entra()
    service.tenants += [OTHER, own]
    storage = Storage({f"{FAKE_TOKEN}-1": wants_tenant(OTHER)})
    settings = {"tenant_id": own, "client_secret": FAKE_SECRET, "additionally_allowed_tenants": allowed}
    async with (
        entra(tmp_path, "client_secret", service, **settings) as running,
        serving(storage) as url,
        azure_credentials(running.auth, http=running.http) as credentials,
        credentials.http_client([url]) as session,
        session.get(url) as reply,
    ):
        assert reply.status == 200

        # Later tokens are requested from the same tenant.
        await anyio.sleep(1.1)
        await credentials.refresh(await credentials.get())

    assert [asked.path.split("/")[1] for asked in service.asked] == [own, OTHER, OTHER]


async def test_tenant_given_as_a_domain(tmp_path: Path) -> None:
    """
    A domain cannot be compared with the tenant id in a challenge, so the token is requested from the domain again.
    """
    service = Entra()
    service.tenants = ["contoso.example"]
    storage = Storage({f"{FAKE_TOKEN}-1": wants_tenant(OTHER)})
    async with (
        entra(tmp_path, "client_secret", service, tenant_id="contoso.example", client_secret=FAKE_SECRET) as running,
        serving(storage) as url,
        azure_credentials(running.auth, http=running.http) as credentials,
        credentials.http_client([url]) as session,
        session.get(url) as reply,
    ):
        assert reply.status == 200

    assert running.fetches() == 2


async def test_tenant_that_is_not_allowed(tmp_path: Path) -> None:
    """
    A tenant that is not allowed is an error that names both tenants; later refreshes are not affected.
    """
    storage = Storage({f"{FAKE_TOKEN}-1": wants_tenant(OTHER)})
    async with (
        entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running,
        serving(storage) as url,
        azure_credentials(running.auth, http=running.http) as credentials,
        credentials.http_client([url]) as session,
    ):
        with pytest.raises(UnauthenticatedError, match=f"in tenant {OTHER}.*in {TENANT}.*tenant_id"):
            await session.get(url)
        assert running.fetches() == 1
        # The challenge does not affect later refreshes.
        await anyio.sleep(1.1)
        await credentials.refresh(await credentials.get())

    assert [asked.path.split("/")[1] for asked in running.server.asked] == [TENANT, TENANT]


async def test_challenge_for_an_old_token_is_dropped(tmp_path: Path) -> None:
    """
    A challenge for a token that is no longer in use does not affect later token requests.
    """
    async with (
        entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running,
        azure_credentials(running.auth, http=running.http) as credentials,
    ):
        first = await credentials.get()
        second = await credentials.refresh(first)
        for header in (wants_tenant(OTHER), WANTS_CLAIMS):
            credentials.note_challenge({"WWW-Authenticate": header})
            assert await credentials.refresh(first) is second
        await anyio.sleep(1.1)
        assert await credentials.refresh(second) is not second
        forms = [asked.form.get("claims") for asked in running.server.asked]

    assert forms == [None, None, None]
    assert {asked.path.split("/")[1] for asked in running.server.asked} == {TENANT}


async def test_driver_follows_challenges(tmp_path: Path) -> None:
    """
    The driver recovers from a challenge like the session does: it sends the claims and retries the request.
    """
    storage = Storage({f"{FAKE_TOKEN}-1": WANTS_CLAIMS})
    async with entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running, serving(storage) as url:
        assert running.http is not None
        settings = {"auth": running.auth, "endpoint_url": f"{url}/acct", "ca_file": running.http.ca_file}
        driver = open_driver(StorageConfig.build("azure://container", settings))
        try:
            await driver.stat(parse_uri("azure://container/key"), ReadOptions())
            described = driver.describe()
        finally:
            await driver.aclose()

    assert [asked.form.get("claims") for asked in running.server.asked] == [None, CLAIMS]
    assert described["credentials"].startswith("client_secret (the application")


async def test_foreign_credential_gets_supported_options() -> None:
    """
    Claims and tenant are passed to a credential only if its ``get_token()`` accepts them.
    """
    seen: list[dict[str, str]] = []

    class Taking:
        async def get_token(self, *scopes: str, **options: str) -> Any:
            seen.append(options)
            raise ValueError("no token")

    class Simple:
        def get_token(self, *scopes: str) -> Any:
            seen.append({})
            raise ValueError("no token")

    for credential in (Taking(), Simple()):
        async with azure_credentials(config("token", credential=credential)) as credentials:
            credentials.note_challenge({"WWW-Authenticate": f"{wants_tenant(OTHER)}, claims={ENCODED}"})
            with pytest.raises(UnavailableError, match="no token"):
                await credentials.refresh()

    assert seen == [{"claims": CLAIMS, "tenant_id": OTHER}, {}]

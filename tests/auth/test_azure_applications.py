"""
Applications of Microsoft Entra: what they send, what they make of the reply, and what they refuse to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.identity.aio import ClientSecretCredential

from asyncstore.auth.azure import azure_credentials
from asyncstore.auth.azure_access import TokenAccess
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.tokens import Secret
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from tests.auth.azure_methods import OfGiver, bare_environment, config, entra
from tests.auth.azure_service import CLIENT, FEDERATED, TENANT, Entra, serving
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.servers.tls import make_ca

OTHER = "00000000-0000-0000-0000-00000000000f"
IDENTITY = {"tenant_id": TENANT, "client_id": CLIENT}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own settings."""
    bare_environment(monkeypatch)


async def token(auth: AuthConfig, http: HTTPOptions | None = None) -> str:
    async with azure_credentials(auth, http=http) as credentials:
        access = (await credentials.get()).value
    assert isinstance(access, TokenAccess)
    return access.token


async def token_of(running: OfGiver) -> str:
    return await token(running.auth, running.http)


async def test_secret_as_it_is_given(tmp_path: Path) -> None:
    """
    A secret can be text, a secret, or what a function returns, which is called for each token.
    """

    async def later() -> Secret:
        return Secret(FAKE_SECRET)

    for given in (FAKE_SECRET, Secret(FAKE_SECRET), lambda: FAKE_SECRET, later):
        async with entra(tmp_path, "client_secret", client_secret=given) as running:
            assert await token_of(running) == f"{FAKE_TOKEN}-1"


async def test_settings_imply_the_method(tmp_path: Path) -> None:
    """
    Whoever gives a secret need not say that it is one; names of azure-identity's variables do, too.
    """
    async with entra(tmp_path, "default", client_secret=FAKE_SECRET) as running:
        settings = dict(running.auth.settings) | {"bucket_of_the_driver": 1}
        settings["azure_client_secret"] = settings.pop("client_secret")
        async with azure_credentials(None, settings, http=running.http) as credentials:
            await credentials.get()

    assert credentials.auth_type == "client_secret"
    assert credentials.source == f"the application {CLIENT}"
    assert settings == {"bucket_of_the_driver": 1}
    assert "settings" in credentials.setting_sources()["tenant_id"]


async def test_it_asks_as_the_sdk_does(tmp_path: Path) -> None:
    """
    Our request for a token has the fields of azure-identity's, and no others that count.
    """
    async with entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running:
        await token_of(running)
        assert running.http is not None
        async with ClientSecretCredential(
            TENANT,
            CLIENT,
            FAKE_SECRET,
            authority=running.auth.settings["authority_host"],
            disable_instance_discovery=True,
            connection_verify=str(running.http.ca_file),
        ) as theirs:
            await theirs.get_token("https://storage.azure.com/.default")
        ours, sdk = running.giver.asked

    assert ours.path == sdk.path
    assert ours.form == {name: value for name, value in sdk.form.items() if not name.startswith("client_info")}


async def test_clock_does_not_excuse_a_password(tmp_path: Path) -> None:
    """
    A password that is refused is not sent again, whatever the clock.
    """
    service = Entra()
    service.ahead, service.status = 3000, 401
    async with entra(tmp_path, "client_secret", service, client_secret=FAKE_SECRET) as running:
        with pytest.raises(UnauthenticatedError):
            await token_of(running)
        assert running.fetches() == 1


async def test_missing_files(tmp_path: Path) -> None:
    """
    A file that there is not is named.
    """
    missing = tmp_path / "missing"
    for auth_type, name in (("client_certificate", "certificate_path"), ("workload_identity", "federated_token_file")):
        with pytest.raises(ConfigurationError, match=str(missing)):
            await token(config(auth_type, **IDENTITY, **{name: missing}))


async def test_workload_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variables that a cluster sets are enough, and its token is read each time.
    """
    file = tmp_path / "federated"
    file.write_text(FEDERATED)
    service = Entra()
    async with entra(tmp_path, "workload_identity", service) as running:
        for name, value in (
            ("AUTHORITY_HOST", str(running.auth.settings["authority_host"]) + "/"),
            ("TENANT_ID", TENANT),
            ("CLIENT_ID", CLIENT),
            ("FEDERATED_TOKEN_FILE", str(file)),
        ):
            monkeypatch.setenv(f"AZURE_{name}", value)
        async with azure_credentials(config("workload_identity"), http=running.http) as credentials:
            first = await credentials.get()
            service.federated = "FAKE.next0token.for0tests"
            file.write_text(service.federated)
            await credentials.refresh(first)

    assert running.fetches() == 2
    assert credentials.setting_sources() == {
        "authority_host": "AZURE_AUTHORITY_HOST",
        "tenant_id": "AZURE_TENANT_ID",
        "client_id": "AZURE_CLIENT_ID",
        "federated_token_file": "AZURE_FEDERATED_TOKEN_FILE",
    }


async def test_refusal_says_what_the_service_said(tmp_path: Path) -> None:
    """
    A refusal has the service's code, its first sentence and its id, without the secret that it repeats.
    """
    async with entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running:
        running.status = 401
        running.giver.error = {
            "error": "invalid_client",
            "error_description": f"AADSTS7000215: Invalid client secret {FAKE_SECRET} provided.\r\nTrace ID: x",
            "trace_id": "trace-1",
        }
        with pytest.raises(UnauthenticatedError, match="Invalid client secret") as failure:
            await token_of(running)

    error = failure.value
    assert (error.code, error.status, error.request_id) == ("AADSTS7000215", 401, "trace-1")
    assert FAKE_SECRET not in str(error)
    assert "Trace ID" not in str(error)
    assert f"{TENANT}/oauth2/v2.0/token" in str(error)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"error": "invalid_grant"}, UnauthenticatedError),
        (400, {"error": "temporarily_unavailable"}, UnavailableError),
        (429, {}, UnavailableError),
        (503, {}, UnavailableError),
        (404, {"error": 7, "error_description": 7, "trace_id": 7}, UnauthenticatedError),
    ],
)
async def test_kinds_of_refusal(tmp_path: Path, status: int, error: dict[str, Any], kind: type[StorageError]) -> None:
    """
    What may pass is told from what will not.
    """
    async with entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running:
        running.giver.status, running.giver.error = status, error
        with pytest.raises(kind):
            await token_of(running)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"[]",
        b'{"access_token": "FAKE"}',
        b'{"access_token": "FAKE", "expires_in": "soon"}',
        b'{"access_token": "FAKE", "expires_in": NaN}',
        b'{"access_token": "FAKE", "expires_in": 0}',
        b'{"access_token": 7, "expires_in": 3600}',
        b'{"access_token": "", "expires_in": 3600}',
        b'{"access_token": "FA\\nKE", "expires_in": 3600}',
        b'{"access_token": "FA KE", "expires_in": 3600}',
    ],
)
async def test_no_token_in_the_reply(tmp_path: Path, body: bytes) -> None:
    """
    A success without a token, or without its end, is no success.
    """
    tls = make_ca(tmp_path)

    async def reply(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with serving(reply, tls) as url:
        auth = config("client_secret", **IDENTITY, client_secret=FAKE_SECRET, authority_host=url)
        with pytest.raises(UnauthenticatedError):
            await token(auth, HTTPOptions(ca_file=tls.ca_file))


async def test_replies_are_bounded_and_not_followed(tmp_path: Path, serve: Serve) -> None:
    """
    A redirect is not followed, and an endless reply is not read.
    """
    tls = make_ca(tmp_path)
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response({"access_token": "FAKE", "expires_in": 3600})

    target = await serve(elsewhere)

    async def reply(request: web.Request) -> web.StreamResponse:
        if TENANT in request.path:
            return web.Response(status=307, headers={"Location": target})
        return web.Response(body=b" " * 1_000_000)

    async with serving(reply, tls) as url:
        for tenant, message in ((TENANT, "redirect"), (OTHER, "more than 65536 bytes")):
            auth = config(
                "client_secret", tenant_id=tenant, client_id=CLIENT, client_secret=FAKE_SECRET, authority_host=url
            )
            with pytest.raises(UnavailableError, match=message):
                await token(auth, HTTPOptions(ca_file=tls.ca_file))
    assert seen == []


async def test_unknown_authorities_of_certificates(tmp_path: Path) -> None:
    """
    A service that nobody vouches for gets no secret.
    """
    async with entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running:
        with pytest.raises(UnavailableError, match="no answer"):
            await token(running.auth)
        assert running.fetches() == 0


@pytest.mark.parametrize(
    "authority",
    [
        "http://login.example",
        "http://127.0.0.1:1",
        "https://",
        "https://user:fake@login.example",
        "https://x/?y=1",
        "https://[::1",
    ],
)
def test_impossible_authority(authority: str) -> None:
    """
    A secret is sent over https only, even to this machine, and even if plain HTTP is allowed elsewhere.
    """
    auth = config("client_secret", **IDENTITY, client_secret=FAKE_SECRET, authority_host=authority)
    with pytest.raises(ConfigurationError, match="authority_host is the https address") as failure:
        azure_credentials(auth, http=HTTPOptions(allow_http=True))

    assert "fake" not in str(failure.value)


async def test_authority_of_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    So it is with an authority that a variable names.
    """
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://login.example")
    with pytest.raises(ConfigurationError, match="https"):
        await token(config("client_secret", **IDENTITY, client_secret=FAKE_SECRET))


@pytest.mark.parametrize(
    ("auth_type", "settings", "message"),
    [
        ("client_secret", {"client_secret": FAKE_SECRET}, "needs tenant_id and client_id too"),
        ("client_secret", IDENTITY, "needs client_secret too"),
        ("client_certificate", IDENTITY, "needs certificate_path too"),
        ("client_certificate", IDENTITY | {"certificate_path": "x", "certificate_data": "y"}, "not both"),
        ("client_certificate", IDENTITY | {"certificate_path": "x", "send_certificate_chain": "perhaps"}, "perhaps"),
        ("workload_identity", {"federated_token_file": "x"}, "needs tenant_id and client_id too"),
        ("client_secret", IDENTITY | {"client_secret": "x", "certificate_path": "y"}, "takes no certificate_path"),
        ("client_secret", {"tenant_id": "a/b", "client_id": CLIENT, "client_secret": "x"}, "tenant_id 'a/b'"),
        ("client_secret", {"tenant_id": "-a", "client_id": CLIENT, "client_secret": "x"}, "tenant_id '-a'"),
        ("client_secret", {"tenant_id": TENANT, "client_id": "a b", "client_secret": "x"}, "client_id 'a b'"),
        ("client_secret", {"tenant_id": TENANT, "azure_tenant_id": TENANT}, "give tenant_id or azure_tenant_id"),
        ("client_secret", IDENTITY | {"client_secret": "x", "anonymous": True}, "is not anonymous"),
        ("default", {"client_secret": "x", "anonymous": True}, "takes no client_secret"),
    ],
)
def test_impossible_settings(auth_type: str, settings: dict[str, Any], message: str) -> None:
    """
    What is missing, contradicts itself or cannot be is refused before anything is sent.
    """
    with pytest.raises(ConfigurationError, match=message):
        azure_credentials(config(auth_type, **settings))


@pytest.mark.parametrize("auth_type", ["client_secret", "client_certificate", "workload_identity", "environment"])
async def test_nothing_set(auth_type: str) -> None:
    """
    A method that nothing is set for says what could be, and gives way to a fallback.
    """
    with pytest.raises(MissingCredentialsError, match="AZURE_"):
        await token(config(auth_type))
    auth = AuthConfig(provider="azure", auth_type=auth_type, fallback=AuthConfig(auth_type="anonymous"))
    async with azure_credentials(auth) as credentials:
        assert (await credentials.get()).value is None
    assert credentials.auth_type == "anonymous"


async def test_empty_secret_from_a_function(tmp_path: Path) -> None:
    """
    A function that has no secret to give is the end of it; nothing is sent.
    """
    async with entra(tmp_path, "client_secret", client_secret=lambda: "") as running:
        with pytest.raises(UnauthenticatedError, match="client_secret is empty"):
            await token_of(running)
        assert running.fetches() == 0

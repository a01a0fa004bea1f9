"""
Microsoft Entra applications: their requests, how replies are parsed, and which settings are rejected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.identity.aio import ClientSecretCredential

from asyncstore.auth.azure.access import TokenAccess
from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.auth.tokens import MissingCredentialsError, Secret
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from tests.auth.azure.methods import RunningServer, bare_environment, config, entra
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.servers.identity.azure import CLIENT, FEDERATED, TENANT, Entra, serving
from tests.servers.tls import make_ca

OTHER = "00000000-0000-0000-0000-00000000000f"
IDENTITY = {"tenant_id": TENANT, "client_id": CLIENT}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean environment."""
    bare_environment(monkeypatch)


async def token(auth: AuthConfig, http: HTTPOptions | None = None) -> str:
    async with azure_credentials(auth, http=http) as credentials:
        access = (await credentials.get()).value
    assert isinstance(access, TokenAccess)
    return access.token


async def token_of(running: RunningServer) -> str:
    return await token(running.auth, running.http)


async def test_forms_of_a_secret(tmp_path: Path) -> None:
    """
    A secret can be text, a ``Secret``, or a plain or async function that returns one of them.
    """

    async def later() -> Secret:
        return Secret(FAKE_SECRET)

    for given in (FAKE_SECRET, Secret(FAKE_SECRET), lambda: FAKE_SECRET, later):
        async with entra(tmp_path, "client_secret", client_secret=given) as running:
            assert await token_of(running) == f"{FAKE_TOKEN}-1"


async def test_settings_imply_the_method(tmp_path: Path) -> None:
    """
    ``client_secret`` implies its method; ``azure_`` aliases work; the driver's settings are left in place.
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


async def test_request_matches_the_sdk(tmp_path: Path) -> None:
    """
    Our token request has the same fields as azure-identity's, except its telemetry.
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
        ours, sdk = running.server.asked

    assert ours.path == sdk.path
    assert ours.form == {name: value for name, value in sdk.form.items() if not name.startswith("client_info")}


async def test_clock_skew_does_not_resend_a_secret(tmp_path: Path) -> None:
    """
    A rejected client secret is not sent again, even if the clocks differ.
    """
    service = Entra()
    service.ahead, service.status = 3000, 401
    async with entra(tmp_path, "client_secret", service, client_secret=FAKE_SECRET) as running:
        with pytest.raises(UnauthenticatedError):
            await token_of(running)
        assert running.fetches() == 1


async def test_missing_files(tmp_path: Path) -> None:
    """
    The error for a missing file contains its path.
    """
    missing = tmp_path / "missing"
    for auth_type, name in (("client_certificate", "certificate_path"), ("workload_identity", "federated_token_file")):
        with pytest.raises(ConfigurationError, match=str(missing)):
            await token(config(auth_type, **IDENTITY, **{name: missing}))


async def test_workload_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variables set by a cluster are sufficient, and the token file is read for every request.
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


async def test_refusal_quotes_the_service(tmp_path: Path) -> None:
    """
    The error has the service's code, first line and trace id; a repeated secret is removed.
    """
    async with entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running:
        running.status = 401
        running.server.error = {
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
    Temporary failures raise ``UnavailableError``, permanent ones ``UnauthenticatedError``.
    """
    async with entra(tmp_path, "client_secret", client_secret=FAKE_SECRET) as running:
        running.server.status, running.server.error = status, error
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
    A 200 reply without a usable token or expiry is an error.
    """
    tls = make_ca(tmp_path)

    async def reply(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with serving(reply, tls) as url:
        auth = config("client_secret", **IDENTITY, client_secret=FAKE_SECRET, authority_host=url)
        with pytest.raises(UnauthenticatedError):
            await token(auth, HTTPOptions(ca_file=tls.ca_file))


async def test_redirects_and_long_replies(tmp_path: Path, serve: Serve) -> None:
    """
    Redirects are not followed, and replies over 64 KiB are rejected.
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


async def test_untrusted_server(tmp_path: Path) -> None:
    """
    A server with an untrusted certificate does not receive the secret.
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
def test_invalid_authority(authority: str) -> None:
    """
    ``authority_host`` must be https, even on this machine and even with ``allow_http``.
    """
    auth = config("client_secret", **IDENTITY, client_secret=FAKE_SECRET, authority_host=authority)
    with pytest.raises(ConfigurationError, match="authority_host must be the https address") as failure:
        azure_credentials(auth, http=HTTPOptions(allow_http=True))

    assert "fake" not in str(failure.value)


async def test_authority_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The authority from ``AZURE_AUTHORITY_HOST`` is checked too.
    """
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://login.example")
    with pytest.raises(ConfigurationError, match="https"):
        await token(config("client_secret", **IDENTITY, client_secret=FAKE_SECRET))


@pytest.mark.parametrize(
    ("auth_type", "settings", "message"),
    [
        ("client_secret", {"client_secret": FAKE_SECRET}, "also needs tenant_id and client_id"),
        ("client_secret", IDENTITY, "also needs client_secret"),
        ("client_certificate", IDENTITY, "also needs certificate_path"),
        ("client_certificate", IDENTITY | {"certificate_path": "x", "certificate_data": "y"}, "not both"),
        ("client_certificate", IDENTITY | {"certificate_path": "x", "send_certificate_chain": "perhaps"}, "perhaps"),
        ("workload_identity", {"federated_token_file": "x"}, "also needs tenant_id and client_id"),
        ("client_secret", IDENTITY | {"client_secret": "x", "certificate_path": "y"}, "takes no certificate_path"),
        ("client_secret", {"tenant_id": "a/b", "client_id": CLIENT, "client_secret": "x"}, "tenant_id 'a/b'"),
        ("client_secret", {"tenant_id": "-a", "client_id": CLIENT, "client_secret": "x"}, "tenant_id '-a'"),
        ("client_secret", {"tenant_id": TENANT, "client_id": "a b", "client_secret": "x"}, "client_id 'a b'"),
        ("client_secret", {"tenant_id": TENANT, "azure_tenant_id": TENANT}, "set tenant_id or azure_tenant_id"),
        ("client_secret", IDENTITY | {"client_secret": "x", "anonymous": True}, "is not anonymous"),
        ("default", {"client_secret": "x", "anonymous": True}, "takes no client_secret"),
    ],
)
def test_invalid_settings(auth_type: str, settings: dict[str, Any], message: str) -> None:
    """
    Missing, contradictory and malformed settings are rejected before anything is sent.
    """
    with pytest.raises(ConfigurationError, match=message):
        azure_credentials(config(auth_type, **settings))


@pytest.mark.parametrize("auth_type", ["client_secret", "client_certificate", "workload_identity", "environment"])
async def test_nothing_set(auth_type: str) -> None:
    """
    A method without settings names the variables to set, and a fallback is used instead.
    """
    with pytest.raises(MissingCredentialsError, match="AZURE_"):
        await token(config(auth_type))
    auth = AuthConfig(provider="azure", auth_type=auth_type, fallback=AuthConfig(auth_type="anonymous"))
    async with azure_credentials(auth) as credentials:
        assert (await credentials.get()).value is None
    assert credentials.auth_type == "anonymous"


async def test_empty_secret_from_a_function(tmp_path: Path) -> None:
    """
    If the function returns an empty secret, the fetch fails without sending a request.
    """
    async with entra(tmp_path, "client_secret", client_secret=lambda: "") as running:
        with pytest.raises(UnauthenticatedError, match="client_secret is empty"):
            await token_of(running)
        assert running.fetches() == 0

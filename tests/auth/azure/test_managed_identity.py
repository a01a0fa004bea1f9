"""
Managed identity: which service is used, its request format, and hostile replies.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.identity.aio import ManagedIdentityCredential

from asyncstore.auth.azure.access import TokenAccess
from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.auth.tokens import MissingCredentialsError, NoLocalServiceError
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from tests.auth.azure.methods import UNREACHABLE, bare_environment, config, service_fabric
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.servers.identity.azure import AppService, CloudShell, MachineLearning, Metadata, serving

IDS = {
    "client_id": "00000000-0000-0000-0000-00000000000c",
    "object_id": "00000000-0000-0000-0000-00000000000d",
    "resource_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean environment."""
    bare_environment(monkeypatch)


async def token(*, http: HTTPOptions | None = None, **settings: Any) -> str:
    async with azure_credentials(config("managed_identity", **settings), http=http) as credentials:
        access = (await credentials.get()).value
    assert isinstance(access, TokenAccess)
    return access.token


def _imds(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"{url}/")


def _app_service(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}{AppService.path}")
    monkeypatch.setenv("IDENTITY_HEADER", FAKE_SECRET)


def _cloud_shell(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MSI_ENDPOINT", f"{url}{CloudShell.path}")


def _machine_learning(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MSI_ENDPOINT", f"{url}{MachineLearning.path}")
    monkeypatch.setenv("MSI_SECRET", FAKE_SECRET)


def _service_fabric(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", url.replace("http:", "https:"))
    monkeypatch.setenv("IDENTITY_HEADER", FAKE_SECRET)
    monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", "0" * 40)


def _id(name: str) -> dict[str, Any]:
    return {name: IDS[name]}


Sets = Callable[[pytest.MonkeyPatch, str], None]


@pytest.mark.parametrize(
    ("service", "sets", "name", "sent"),
    [
        (Metadata, _imds, "client_id", "client_id"),
        (Metadata, _imds, "object_id", "object_id"),
        (Metadata, _imds, "resource_id", "msi_res_id"),
        (AppService, _app_service, "client_id", "client_id"),
        (AppService, _app_service, "object_id", "object_id"),
        (AppService, _app_service, "resource_id", "mi_res_id"),
        (MachineLearning, _machine_learning, "client_id", "clientid"),
    ],
)
async def test_user_assigned_identity(
    service: type[Metadata], sets: Sets, name: str, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Each id is sent under the service's own parameter name.
    """
    server = service()
    async with serving(server) as url:
        sets(monkeypatch, url)
        assert await token(**_id(name)) == f"{FAKE_TOKEN}-1"

    # The server has removed the other parameters while checking them.
    assert server.asked[0].query == {sent: IDS[name]}
    assert server.problems == []


@pytest.mark.parametrize(
    ("sets", "name"),
    [
        (_cloud_shell, "client_id"),
        (_cloud_shell, "resource_id"),
        (_service_fabric, "client_id"),
        (_machine_learning, "object_id"),
    ],
)
async def test_unsupported_ids(sets: Sets, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the service cannot select the requested identity, no request is sent.
    """
    sets(monkeypatch, UNREACHABLE)
    with pytest.raises(ConfigurationError, match=f"does not support selecting an identity by {name}"):
        await token(**_id(name))


@pytest.mark.parametrize(("service", "sets"), [(Metadata, _imds), (AppService, _app_service)])
async def test_request_matches_the_sdk(service: type[Metadata], sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Our request has the same path, query and headers as azure-identity's.
    """
    server = service()
    async with serving(server) as url:
        sets(monkeypatch, url)
        await token(client_id=IDS["client_id"])
        async with ManagedIdentityCredential(client_id=IDS["client_id"]) as theirs:
            await theirs.get_token("https://storage.azure.com/.default")
    ours, sdk = server.asked

    assert server.problems == []
    assert (ours.method, ours.path, ours.query) == (sdk.method, sdk.path, sdk.query)
    name = service.header[0]
    assert ours.headers[name] == sdk.headers[name]


async def test_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    """
    No proxy sees the request, whatever settings and environment say.
    """
    seen = []

    async def proxy(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response({"access_token": "FAKE-of-the-proxy", "expires_in": 3600})

    address = await serve(proxy)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, address)
    async with serving(Metadata()) as url:
        _imds(monkeypatch, url)
        assert await token(http=HTTPOptions(proxy=address)) == f"{FAKE_TOKEN}-1"
    assert seen == []


async def test_redirects_are_not_followed(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    """
    A redirect is an error, so the secret header is not sent elsewhere.
    """
    server = Metadata()
    async with serving(server) as target:

        async def reply(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{target}{request.path_qs}"})

        _app_service(monkeypatch, await serve(reply))
        with pytest.raises(UnavailableError, match="redirect"):
            await token()
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_request", "error_description": "Identity not found"}, MissingCredentialsError),
        (403, {"message": "A socket operation was attempted to an unreachable network"}, NoLocalServiceError),
        (403, {"error": "forbidden"}, UnauthenticatedError),
        (404, {}, UnavailableError),
        (410, {}, UnavailableError),
        (429, {}, UnavailableError),
        (500, {"error": "unknown"}, UnavailableError),
    ],
)
async def test_refusals(
    status: int, body: dict[str, Any], kind: type[StorageError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A missing identity, a refusal and an outage raise different errors, after one request each.
    """
    server = Metadata()
    server.status, server.error = status, body
    async with serving(server) as url:
        _imds(monkeypatch, url)
        with pytest.raises(kind) as failure:
            await token()

    assert type(failure.value) is kind
    assert failure.value.status == status
    assert server.fetches() == 1


async def test_repeated_secret_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A secret that the service repeats in its error message is removed.
    """
    server = AppService()
    server.status, server.error = 403, {"message": f"no such header as {FAKE_SECRET} here"}
    async with serving(server) as url:
        _app_service(monkeypatch, url)
        with pytest.raises(UnauthenticatedError, match=r"no such header as \*\*\* here"):
            await token()


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"", b"[]"])
async def test_another_service_at_this_address(body: bytes, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    """
    A reply of some other service at this address is not accepted.
    """

    async def reply(request: web.Request) -> web.Response:
        return web.Response(body=body)

    _imds(monkeypatch, await serve(reply))
    with pytest.raises(MissingCredentialsError, match="not an Azure identity service"):
        await token()


async def test_unreachable() -> None:
    """
    An unreachable service raises ``NoLocalServiceError``.
    """
    with pytest.raises(NoLocalServiceError, match="no answer"):
        await token()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://metadata.example"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "ftp://127.0.0.1"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://10.0.0.1"),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://[::1"),
        ("IDENTITY_ENDPOINT", "http://identity.example/msi"),
        ("IDENTITY_ENDPOINT", "http://127.0.0.1/msi?resource=other"),
        ("MSI_ENDPOINT", "//127.0.0.1/msi"),
    ],
)
async def test_unsafe_addresses(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Plain HTTP is allowed for this machine and link-local addresses only.
    """
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("IDENTITY_HEADER", FAKE_SECRET)
    with pytest.raises(ConfigurationError, match="must be https, or http to this machine") as failure:
        await token()
    assert FAKE_SECRET not in str(failure.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"client_id": "a", "object_id": "b"},
        {"object_id": "a", "resource_id": "b"},
        {"metadata_endpoint": "http://metadata.example"},
        {"tenant_id": "a"},
    ],
)
def test_invalid_settings(settings: dict[str, str]) -> None:
    """
    Two ids for one identity, and unsafe addresses, are rejected at once.
    """
    with pytest.raises(ConfigurationError):
        azure_credentials(config("managed_identity", **settings))


async def test_endpoint_without_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``IDENTITY_ENDPOINT`` alone does not identify a service, so it is an error.
    """
    monkeypatch.setenv("IDENTITY_ENDPOINT", UNREACHABLE)
    with pytest.raises(ConfigurationError, match="neither IDENTITY_HEADER nor IMDS_ENDPOINT"):
        await token()


@pytest.mark.parametrize(
    ("endpoint", "thumbprint", "message"),
    [
        ("http://127.0.0.1:1/msi", "0" * 40, "Service Fabric must be https"),
        ("https://127.0.0.1:1/msi", "0" * 64, "SHA-1"),
        ("https://127.0.0.1:1/msi", "no digits", "SHA-1"),
    ],
)
async def test_invalid_cluster(endpoint: str, thumbprint: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Service Fabric needs https and a SHA-1 thumbprint.
    """
    monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", FAKE_SECRET)
    monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", thumbprint)
    with pytest.raises(ConfigurationError, match=message):
        await token()


async def test_wrong_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A server with another certificate does not receive the secret, even if a CA issued it; the chain stops too.
    """
    async with service_fabric(monkeypatch, tmp_path) as running:
        assert await token() == f"{FAKE_TOKEN}-1"
        monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", "0" * 40)
        for auth in (config("managed_identity"), config("default")):
            async with azure_credentials(auth, http=HTTPOptions(ca_file=tmp_path / "ca.pem")) as credentials:
                with pytest.raises(UnavailableError, match="another certificate"):
                    await credentials.get()
        assert running.fetches() == 1


async def test_metadata_endpoint_setting() -> None:
    """
    The address of the metadata service can be a setting.
    """
    async with serving(Metadata()) as url:
        assert await token(metadata_endpoint=url) == f"{FAKE_TOKEN}-1"


async def test_fallback_without_identity() -> None:
    """
    Without an identity service the fallback is used.
    """
    auth = AuthConfig(
        provider="azure",
        auth_type="managed_identity",
        fallback=AuthConfig(auth_type="account_key", settings={"account_name": "acct", "account_key": "RkFLRQ=="}),
    )
    async with azure_credentials(auth) as credentials:
        await credentials.get()
        assert (credentials.auth_type, credentials.source, credentials.account) == ("account_key", "settings", "acct")

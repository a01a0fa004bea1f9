"""
The machine's own identity: which service is asked, how, and what it may not do to us.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.identity.aio import ManagedIdentityCredential

from asyncstore.auth.azure import azure_credentials
from asyncstore.auth.azure_access import TokenAccess
from asyncstore.auth.chain import MissingCredentialsError, NobodyThereError
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from tests.auth.azure_methods import NOBODY, bare_environment, config, service_fabric
from tests.auth.azure_service import AppService, CloudShell, MachineLearning, Metadata, serving
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve

IDS = {
    "client_id": "00000000-0000-0000-0000-00000000000c",
    "object_id": "00000000-0000-0000-0000-00000000000d",
    "resource_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own settings."""
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
    Each kind of id goes by the name that the service has for it.
    """
    giver = service()
    async with serving(giver) as url:
        sets(monkeypatch, url)
        assert await token(**_id(name)) == f"{FAKE_TOKEN}-1"

    # What else there is the service took out when it checked it.
    assert giver.asked[0].query == {sent: IDS[name]}
    assert giver.problems == []


@pytest.mark.parametrize(
    ("sets", "name"),
    [
        (_cloud_shell, "client_id"),
        (_cloud_shell, "resource_id"),
        (_service_fabric, "client_id"),
        (_machine_learning, "object_id"),
    ],
)
async def test_ids_that_a_service_does_not_take(sets: Sets, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A token of somebody else is not taken for that of the identity that was named: nothing is asked.
    """
    sets(monkeypatch, NOBODY)
    with pytest.raises(ConfigurationError, match=f"takes no {name}"):
        await token(**_id(name))


@pytest.mark.parametrize(("service", "sets"), [(Metadata, _imds), (AppService, _app_service)])
async def test_it_asks_as_the_sdk_does(service: type[Metadata], sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Our request has path, query and headers of azure-identity's.
    """
    giver = service()
    async with serving(giver) as url:
        sets(monkeypatch, url)
        await token(client_id=IDS["client_id"])
        async with ManagedIdentityCredential(client_id=IDS["client_id"]) as theirs:
            await theirs.get_token("https://storage.azure.com/.default")
    ours, sdk = giver.asked

    assert giver.problems == []
    assert (ours.method, ours.path, ours.query) == (sdk.method, sdk.path, sdk.query)
    name = service.header[0]
    assert ours.headers[name] == sdk.headers[name]


async def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    """
    The service is on this machine or its link: no proxy sees the request, whatever settings and environment say.
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
    A service that sends us elsewhere, with its secret, is not obeyed.
    """
    giver = Metadata()
    async with serving(giver) as target:

        async def reply(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{target}{request.path_qs}"})

        _app_service(monkeypatch, await serve(reply))
        with pytest.raises(UnavailableError, match="redirect"):
            await token()
    assert giver.asked == []


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_request", "error_description": "Identity not found"}, MissingCredentialsError),
        (403, {"message": "A socket operation was attempted to an unreachable network"}, NobodyThereError),
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
    A machine without an identity is told from a service in trouble; neither is asked again at once.
    """
    giver = Metadata()
    giver.status, giver.error = status, body
    async with serving(giver) as url:
        _imds(monkeypatch, url)
        with pytest.raises(kind) as failure:
            await token()

    assert type(failure.value) is kind
    assert failure.value.status == status
    assert giver.fetches() == 1


async def test_a_secret_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A service that repeats its secret in an error is not quoted in full.
    """
    giver = AppService()
    giver.status, giver.error = 403, {"message": f"no such header as {FAKE_SECRET} here"}
    async with serving(giver) as url:
        _app_service(monkeypatch, url)
        with pytest.raises(UnauthenticatedError, match=r"no such header as \*\*\* here"):
            await token()


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"", b"[]"])
async def test_another_service_at_this_address(body: bytes, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    """
    A network's own page at the address of the service is not taken for it.
    """

    async def reply(request: web.Request) -> web.Response:
        return web.Response(body=body)

    _imds(monkeypatch, await serve(reply))
    with pytest.raises(MissingCredentialsError, match="no service of Azure"):
        await token()


async def test_nobody_there() -> None:
    """
    No service at all is told as what it is.
    """
    with pytest.raises(NobodyThereError, match="no answer"):
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
async def test_addresses_elsewhere(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Tokens are asked for over plain HTTP on this machine and its link only.
    """
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("IDENTITY_HEADER", FAKE_SECRET)
    with pytest.raises(ConfigurationError, match="is https, or http to this machine") as failure:
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
def test_impossible_settings(settings: dict[str, str]) -> None:
    """
    Two names for one identity, and addresses elsewhere, are refused at once.
    """
    with pytest.raises(ConfigurationError):
        azure_credentials(config("managed_identity", **settings))


async def test_endpoint_without_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An endpoint that nothing more is known of is not guessed at.
    """
    monkeypatch.setenv("IDENTITY_ENDPOINT", NOBODY)
    with pytest.raises(ConfigurationError, match="without IDENTITY_HEADER"):
        await token()


@pytest.mark.parametrize(
    ("endpoint", "thumbprint", "message"),
    [
        ("http://127.0.0.1:1/msi", "0" * 40, "Service Fabric is https"),
        ("https://127.0.0.1:1/msi", "0" * 64, "SHA-1"),
        ("https://127.0.0.1:1/msi", "no digits", "SHA-1"),
    ],
)
async def test_impossible_cluster(
    endpoint: str, thumbprint: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A cluster's service is reached over TLS, and known by its certificate.
    """
    monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", FAKE_SECRET)
    monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", thumbprint)
    with pytest.raises(ConfigurationError, match=message):
        await token()


async def test_another_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A service with another certificate gets no secret, even if an authority vouches for it; nor does it give way.
    """
    async with service_fabric(monkeypatch, tmp_path) as running:
        assert await token() == f"{FAKE_TOKEN}-1"
        monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", "0" * 40)
        for auth in (config("managed_identity"), config("default")):
            async with azure_credentials(auth, http=HTTPOptions(ca_file=tmp_path / "ca.pem")) as credentials:
                with pytest.raises(UnavailableError, match="another certificate"):
                    await credentials.get()
        assert running.fetches() == 1


async def test_metadata_endpoint_as_a_setting() -> None:
    """
    The address of the service can be set, and implies nothing of the identity.
    """
    async with serving(Metadata()) as url:
        assert await token(metadata_endpoint=url) == f"{FAKE_TOKEN}-1"


async def test_fallback_where_there_is_no_identity() -> None:
    """
    A machine without such a service gives way to a fallback, which is the one from then on.
    """
    auth = AuthConfig(
        provider="azure",
        auth_type="managed_identity",
        fallback=AuthConfig(auth_type="account_key", settings={"account_name": "acct", "account_key": "RkFLRQ=="}),
    )
    async with azure_credentials(auth) as credentials:
        await credentials.get()
        assert (credentials.auth_type, credentials.source, credentials.account) == ("account_key", "settings", "acct")

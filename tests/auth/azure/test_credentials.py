"""
Azure credentials: how they are found, refreshed once for all callers, and kept out of output.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import CredentialUnavailableError

from asyncstore.auth.azure.access import KeyAccess, SASAccess, TokenAccess
from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.auth.tokens import MissingCredentialsError, Secret
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from tests.servers.azure import FakeCredential, FakeToken

FAKE_KEY = "ZmFrZS1rZXk="
FAKE_SAS = "sv=2022-11-02&sp=r&sig=fake-signature"
VARIABLES = (
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


async def access(**settings: Any) -> Any:
    async with azure_credentials(None, settings) as credentials:
        return (await credentials.get()).value


async def test_account_key() -> None:
    """
    A key can be text, a ``Secret``, or a plain or async function that returns one of them.
    """

    async def later() -> str:
        return FAKE_KEY

    for given in (FAKE_KEY, Secret(FAKE_KEY), lambda: FAKE_KEY, later):
        found = await access(account_name="acct", account_key=given)
        assert isinstance(found, KeyAccess)
        assert (found.key.account, found.key.key) == ("acct", b"fake-key")


async def test_connection_string() -> None:
    """
    A connection string provides a key or SAS token, and the endpoint.
    """
    text = f"AccountName=acct;AccountKey={FAKE_KEY}"
    async with azure_credentials(None, {"connection_string": text}) as credentials:
        assert isinstance((await credentials.get()).value, KeyAccess)
        assert credentials.service_endpoint() == "https://acct.blob.core.windows.net"
        assert credentials.account == "acct"

    found = await access(connection_string=f"BlobEndpoint=https://x.example;SharedAccessSignature={FAKE_SAS}")
    assert isinstance(found, SASAccess)


async def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without settings the environment is used; a connection string takes precedence.
    """
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", FAKE_SAS)
    assert isinstance(await access(), SASAccess)
    monkeypatch.setenv("AZURE_STORAGE_KEY", FAKE_KEY)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "acct")
    assert isinstance(await access(), KeyAccess)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=other;AccountKey={FAKE_KEY}")
    async with azure_credentials() as credentials:
        assert (credentials.account, credentials.source) == ("other", "environment")


async def test_account_of_fallbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Fallbacks use the first method's account, whatever the environment names; two different accounts are an error.
    """
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "environment")
    fallback = AuthConfig(auth_type="sas", settings={"sas_token": FAKE_SAS})
    text = f"AccountName=acct;AccountKey={FAKE_KEY}"
    auth = AuthConfig(auth_type="connection_string", settings={"connection_string": text}, fallback=fallback)
    assert azure_credentials(auth).account == "acct"

    other = AuthConfig(auth_type="sas", settings={"sas_token": FAKE_SAS, "account_name": "other"})
    with pytest.raises(ConfigurationError, match="acct and other"):
        azure_credentials(replace(auth, fallback=other))


async def test_settings_take_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Settings take precedence over the environment.
    """
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=other;AccountKey={FAKE_KEY}")

    assert isinstance(await access(sas_token=FAKE_SAS), SASAccess)
    assert await access(anonymous=True) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"account_key": FAKE_KEY, "sas_token": FAKE_SAS},
        {"account_key": FAKE_KEY, "client_secret": "fake-signature"},
        {"anonymous": True, "account_key": FAKE_KEY},
        {"credential": "a text"},
        {"connection_string": 7},
        {"account_key": 7},
        {"account_key": "no base64!"},
        {"sas_token": "no query"},
        {"account_key": FAKE_KEY, "azure_account_key": FAKE_KEY},
        {"account_name": "other", "connection_string": f"AccountName=acct;AccountKey={FAKE_KEY}"},
    ],
)
def test_invalid_settings(settings: dict[str, Any]) -> None:
    """
    Malformed and contradictory settings are rejected at once, and the error shows no value.
    """
    with pytest.raises(ConfigurationError) as failure:
        azure_credentials(None, settings)

    assert FAKE_KEY not in str(failure.value)
    assert "fake-signature" not in str(failure.value)


def test_unknown_settings_and_types() -> None:
    """
    An unknown auth_type, and settings of another one, are rejected.
    """
    for auth in (
        AuthConfig(auth_type="magic"),
        AuthConfig(auth_type="sas"),
        AuthConfig(auth_type="sas", settings={"account_key": FAKE_KEY}),
        AuthConfig(settings={"colour": "blue"}),
        AuthConfig(auth_type="anonymous", fallback=AuthConfig(provider="aws")),
    ):
        with pytest.raises(ConfigurationError):
            azure_credentials(auth)


async def test_key_without_an_account() -> None:
    """
    A key without an account name is an error.
    """
    with pytest.raises(ConfigurationError, match="account_name"):
        await access(account_key=FAKE_KEY)


async def test_token_is_fetched_once() -> None:
    """
    Fifty concurrent callers share one token.
    """
    credential = FakeCredential()
    async with azure_credentials(None, {"credential": credential}) as credentials:
        found = []

        async def ask() -> None:
            found.append((await credentials.get()).value)

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(ask)

    assert credential.asked == 1
    assert len({id(value) for value in found}) == 1
    assert isinstance(found[0], TokenAccess)


async def test_synchronous_credential() -> None:
    """
    A blocking credential runs in a thread.
    """

    class Blocking:
        def get_token(self, *scopes: str, **options: Any) -> FakeToken:
            assert threading.current_thread() is not threading.main_thread()
            assert scopes == ("https://storage.azure.com/.default",)
            time.sleep(0.05)
            return FakeToken("fake-token", int(time.time()) + 3600)

    found = await access(credential=Blocking())

    assert isinstance(found, TokenAccess)
    assert found.token == "fake-token"


async def test_failing_credential() -> None:
    """
    An exception of the credential becomes ``UnavailableError``, with secrets redacted.
    """

    class Failing:
        async def get_token(self, *scopes: str, **options: Any) -> FakeToken:
            raise ValueError("no luck with client_secret=fake-secret")

    with pytest.raises(UnavailableError, match="no luck") as failure:
        await access(credential=Failing())

    assert "fake-secret" not in str(failure.value)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (CredentialUnavailableError("not set: client_secret=fake-secret"), MissingCredentialsError),
        (ClientAuthenticationError("refused: client_secret=fake-secret"), UnauthenticatedError),
        (HttpResponseError("trouble: client_secret=fake-secret"), UnavailableError),
    ],
)
async def test_what_the_sdk_raises(raised: Exception, kind: type[StorageError]) -> None:
    """
    azure-identity's exceptions are translated to ours, without their cause and with secrets redacted.
    """

    class Refusing:
        async def get_token(self, *scopes: str, **options: Any) -> FakeToken:
            raise raised

    with pytest.raises(kind) as failure:
        await access(credential=Refusing())

    assert type(failure.value) is kind
    assert failure.value.__cause__ is None
    assert "fake-secret" not in str(failure.value)


@pytest.mark.parametrize("given", [None, "fake-token", FakeToken("", 1), FakeToken("fake-token", None)])  # type: ignore[arg-type]
async def test_no_token(given: Any) -> None:
    """
    A return value that is not a token is an error that does not show the value.
    """

    class Odd:
        async def get_token(self, *scopes: str, **options: Any) -> Any:
            return given

    with pytest.raises(UnauthenticatedError, match="Odd returned") as failure:
        await access(credential=Odd())

    assert "fake-token" not in str(failure.value)


async def test_expired_token() -> None:
    """
    A token that is already expired is rejected.
    """
    with pytest.raises(UnauthenticatedError):
        await access(credential=FakeCredential(lifetime=-10))


async def test_sas_from_a_function_is_refreshed() -> None:
    """
    The function is called again once the SAS token has expired.
    """
    calls = []

    async def signature() -> str:
        calls.append(1)
        end = datetime.now(UTC) + timedelta(seconds=0.4 if len(calls) == 1 else 600)
        return f"sv=2022-11-02&se={end.isoformat().replace('+', '%2B')}&sig=fake{len(calls)}"

    async with azure_credentials(None, {"sas_token": signature}) as credentials:
        first = (await credentials.get()).value
        await anyio.sleep(0.5)
        second = (await credentials.get()).value
        third = (await credentials.get()).value

    assert isinstance(first, SASAccess)
    assert first.token.endswith("fake1")
    assert isinstance(second, SASAccess)
    assert second.token.endswith("fake2")
    assert third is second


async def test_repr_has_no_secrets() -> None:
    """
    The reprs of credentials, leases and access contain no secret.
    """
    for settings in (
        {"account_name": "acct", "account_key": FAKE_KEY},
        {"sas_token": FAKE_SAS},
        {"credential": FakeCredential()},
    ):
        async with azure_credentials(None, settings) as credentials:
            lease = await credentials.get()
            shown = f"{credentials!r} {lease!r} {lease.value!r}"
        for secret in (FAKE_KEY, "fake-key", "fake-signature", "eyJ"):
            assert secret not in shown


SECRETS = {"AZURE_STORAGE_SAS_TOKEN": FAKE_SAS, "AZURE_STORAGE_KEY": FAKE_KEY}


@pytest.mark.parametrize("variable", SECRETS)
@pytest.mark.parametrize("place", ["uri", "setting"])
def test_secret_of_another_account(variable: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A key or signature of the environment is not used for another account than the one that the environment names.
    """
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "mine")
    monkeypatch.setenv(variable, SECRETS[variable])

    with pytest.raises(ConfigurationError, match="two storage accounts: mine and other") as failure:
        if place == "uri":
            azure_credentials(account="other")
        else:
            azure_credentials(None, {"account_name": "other"})

    assert SECRETS[variable] not in str(failure.value)


async def test_secret_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The account of the environment does not matter to a secret that the settings give for another one.
    """
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "mine")
    async with azure_credentials(None, {"sas_token": FAKE_SAS}, account="other") as credentials:
        assert credentials.account == "other"


@pytest.mark.parametrize(
    ("suffix", "settings", "place"),
    [
        (None, {}, "login.microsoftonline.com"),
        ("core.windows.net", {}, "login.microsoftonline.com"),
        ("core.usgovcloudapi.net", {}, "login.microsoftonline.us"),
        ("core.chinacloudapi.cn", {}, "login.chinacloudapi.cn"),
        ("core.chinacloudapi.cn", {"authority_host": "login.example"}, "login.example"),
    ],
)
async def test_token_service_of_the_cloud(suffix: str | None, settings: dict[str, str], place: str) -> None:
    """
    A token is requested from the token service of the account's cloud, unless the settings name another.
    """
    own = {"tenant_id": "tenant", "client_id": "client", "client_secret": "fake-secret", **settings}
    # A proxy that refuses all connections: the error says to whom the request was to go.
    http = HTTPOptions(proxy="http://127.0.0.1:9")
    async with azure_credentials(None, own, http=http, endpoint_suffix=suffix) as credentials:
        with pytest.raises(UnavailableError, match=re.escape(place)):
            await credentials.get()

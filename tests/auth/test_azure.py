"""
What lets requests into Azure: found once, renewed once, never shown.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import CredentialUnavailableError

from asyncstore.auth.azure import azure_credentials
from asyncstore.auth.azure_access import KeyAccess, SASAccess, TokenAccess
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.tokens import Secret
from asyncstore.config import AuthConfig
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
    """Nobody's own settings."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


async def access(**settings: Any) -> Any:
    async with azure_credentials(None, settings) as credentials:
        return (await credentials.get()).value


async def test_account_key() -> None:
    """
    A key can be text, a secret, or what a function returns.
    """

    async def later() -> str:
        return FAKE_KEY

    for given in (FAKE_KEY, Secret(FAKE_KEY), lambda: FAKE_KEY, later):
        found = await access(account_name="acct", account_key=given)
        assert isinstance(found, KeyAccess)
        assert (found.key.account, found.key.key) == ("acct", b"fake-key")


async def test_connection_string() -> None:
    """
    A connection string brings key or signature, and says where.
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
    Without settings the environment is asked, a connection string first.
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
    Fallbacks are for the same account, whatever the environment names; two that are named are one too many.
    """
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "environment")
    fallback = AuthConfig(auth_type="sas", settings={"sas_token": FAKE_SAS})
    text = f"AccountName=acct;AccountKey={FAKE_KEY}"
    auth = AuthConfig(auth_type="connection_string", settings={"connection_string": text}, fallback=fallback)
    assert azure_credentials(auth).account == "acct"

    other = AuthConfig(auth_type="sas", settings={"sas_token": FAKE_SAS, "account_name": "other"})
    with pytest.raises(ConfigurationError, match="acct and other"):
        azure_credentials(replace(auth, fallback=other))


async def test_settings_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is given counts, whatever the environment has.
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
def test_impossible_settings(settings: dict[str, Any]) -> None:
    """
    What is missing or contradicts itself is refused at once, and no value is shown.
    """
    with pytest.raises(ConfigurationError) as failure:
        azure_credentials(None, settings)

    assert FAKE_KEY not in str(failure.value)
    assert "fake-signature" not in str(failure.value)


def test_unknown_settings_and_types() -> None:
    """
    An auth_type that there is not, and settings of another one, are refused.
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
    A key needs the account that it belongs to.
    """
    with pytest.raises(ConfigurationError, match="account_name"):
        await access(account_key=FAKE_KEY)


async def test_token_is_asked_for_once() -> None:
    """
    Fifty who ask at the same time share one token.
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
    A credential that blocks does so in a thread.
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
    What a credential raises comes out as ours, without secrets.
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
        (CredentialUnavailableError("nobody: client_secret=fake-secret"), MissingCredentialsError),
        (ClientAuthenticationError("refused: client_secret=fake-secret"), UnauthenticatedError),
        (HttpResponseError("trouble: client_secret=fake-secret"), UnavailableError),
    ],
)
async def test_what_the_sdk_raises(raised: Exception, kind: type[StorageError]) -> None:
    """
    Refusals of azure-identity's credentials are told from troubles that pass, and cause and secret stay behind.
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
    A credential that gives something else than a token is refused, and what it gave does not show.
    """

    class Odd:
        async def get_token(self, *scopes: str, **options: Any) -> Any:
            return given

    with pytest.raises(UnauthenticatedError, match="Odd gave") as failure:
        await access(credential=Odd())

    assert "fake-token" not in str(failure.value)


async def test_expired_token() -> None:
    """
    A token that has ended before it came is no token.
    """
    with pytest.raises(UnauthenticatedError):
        await access(credential=FakeCredential(lifetime=-10))


async def test_sas_from_a_function_is_renewed() -> None:
    """
    A function gives a new signature once the old one has ended.
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


async def test_nothing_shows() -> None:
    """
    Whoever prints credentials, leases or access sees no secret.
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

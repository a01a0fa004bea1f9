"""
The default chain of Azure: in which order, who gives way, and what is said if nobody has anything.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncstore.auth.azure import azure_credentials
from asyncstore.auth.azure_access import KeyAccess, SASAccess, TokenAccess
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.azure_givers import FAKE_KEY, FakeCLI
from tests.auth.azure_methods import bare_environment, config, entra
from tests.auth.azure_service import CLIENT, FEDERATED, TENANT, Entra, Metadata, serving
from tests.auth.conftest import FAKE_SECRET


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own settings, and no Azure CLI."""
    bare_environment(monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))


async def found(http: HTTPOptions | None = None, **settings: str) -> str:
    async with azure_credentials(config("default", **settings), http=http) as credentials:
        assert isinstance((await credentials.get()).value, TokenAccess)
        return credentials.source


def set_application(monkeypatch: pytest.MonkeyPatch, authority: str, **others: str) -> None:
    for name, value in {"AUTHORITY_HOST": authority, "TENANT_ID": TENANT, "CLIENT_ID": CLIENT, **others}.items():
        monkeypatch.setenv(f"AZURE_{name}", value)


async def test_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Environment, workload identity, managed identity, CLI: each is found once those before it are gone.
    """
    file = tmp_path / "federated"
    file.write_text(FEDERATED)
    FakeCLI(tmp_path / "bin", config("cli"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin{os.pathsep}/usr/bin")
    metadata = Metadata()
    sources = []
    async with entra(tmp_path, "default") as running, serving(metadata) as url:
        authority = str(running.auth.settings["authority_host"])
        set_application(monkeypatch, authority, CLIENT_SECRET=FAKE_SECRET, FEDERATED_TOKEN_FILE=str(file))
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        for gone in ("AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_POD_IDENTITY_AUTHORITY_HOST"):
            sources.append(await found(running.http))
            monkeypatch.delenv(gone)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
        sources.append(await found(running.http))

    assert sources == [
        f"environment: the application {CLIENT}, by client_secret",
        f"workload_identity: the application {CLIENT}",
        "managed_identity: the metadata service",
        "cli: the account of az login",
    ]
    # The variable of applications names the machine's identity too.
    assert metadata.asked[0].query == {"client_id": CLIENT}


async def test_nobody_has_anything() -> None:
    """
    The error says of each link why it did not apply, and what else could be given.
    """
    with pytest.raises(UnauthenticatedError) as failure:
        await found()

    text = str(failure.value)
    places = [
        text.index(name) for name in ("account:", "environment:", "workload_identity:", "managed_identity:", "cli:")
    ]
    assert places == sorted(places)
    for reason in (
        "neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set",
        "federated_token_file (AZURE_FEDERATED_TOKEN_FILE)",
        "no answer from http://127.0.0.1:1/metadata/identity/oauth2/token",
        "the Azure CLI, az, is not in PATH",
        "account: none of connection_string, account_key and sas_token is given",
        "none of AZURE_STORAGE_CONNECTION_STRING",
    ):
        assert reason in text


async def test_half_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Variables that are not complete give way, and the reason says what is missing.
    """
    monkeypatch.setenv("AZURE_CLIENT_SECRET", FAKE_SECRET)
    with pytest.raises(UnauthenticatedError, match=r"tenant_id \(AZURE_TENANT_ID\) and client_id") as failure:
        await found()
    assert FAKE_SECRET not in str(failure.value)


async def test_refusals_do_not_give_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    An application that is set up and refused is reported: nobody else goes on in its place.
    """
    metadata = Metadata()
    async with entra(tmp_path, "default") as running, serving(metadata) as url:
        set_application(monkeypatch, str(running.auth.settings["authority_host"]), CLIENT_SECRET=FAKE_SECRET)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        running.status = 401
        with pytest.raises(UnauthenticatedError, match="AADSTS7000215"):
            await found(running.http)

    assert metadata.asked == []


async def test_trouble_does_not_give_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A metadata service in trouble is reported, and what did not apply before it: the user of the CLI is somebody else.
    """
    cli = FakeCLI(tmp_path / "bin", config("cli"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin{os.pathsep}/usr/bin")
    metadata = Metadata()
    metadata.status = 500
    async with serving(metadata) as url:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        with pytest.raises(UnavailableError, match=r"managed_identity: .*; before it .*environment: .*workload"):
            await found()
        metadata.status = 400
        assert await found() == "cli: the account of az login"

    assert cli.fetches() == 1


async def test_the_link_that_had_a_token_is_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Once there was a token, its link alone is asked: what is set later makes nobody else of us.
    """
    metadata = Metadata()
    async with entra(tmp_path, "default") as running, serving(metadata) as url:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        async with azure_credentials(config("default"), http=running.http) as credentials:
            lease = await credentials.get()
            set_application(monkeypatch, str(running.auth.settings["authority_host"]), CLIENT_SECRET=FAKE_SECRET)
            await credentials.refresh(lease)

    assert (metadata.fetches(), running.fetches()) == (2, 0)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("prod", "environment, workload_identity, managed_identity"),
        (" DEV ", "cli"),
        ("AzureCliCredential", "cli"),
        ("ManagedIdentityCredential", "managed_identity"),
        ("WorkloadIdentityCredential", "workload_identity"),
        ("EnvironmentCredential", "environment"),
        ("", "environment, workload_identity, managed_identity, cli"),
    ],
)
def test_chosen_links(value: str, names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A variable narrows the chain, as it does that of azure-identity.
    """
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", value)

    assert azure_credentials().source == names


def test_unknown_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A link that there is not is refused, with those that there are.
    """
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "VisualStudioCodeCredential")
    with pytest.raises(ConfigurationError, match=r"prod.*azureclicredential|azureclicredential.*prod"):
        azure_credentials()


async def test_secrets_of_the_account_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What the environment has of the account itself counts before all identities, unless one is asked for.
    """
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2022-11-02&sig=FAKE")
    async with azure_credentials() as credentials:
        assert isinstance((await credentials.get()).value, SASAccess)
        assert (credentials.auth_type, credentials.source) == ("sas", "environment")
    monkeypatch.setenv("AZURE_STORAGE_KEY", FAKE_KEY)
    async with azure_credentials(None, {"account_name": "acct"}) as credentials:
        assert isinstance((await credentials.get()).value, KeyAccess)
        assert credentials.setting_sources() == {"account_key": "AZURE_STORAGE_KEY", "account_name": "settings"}
    assert azure_credentials(None, {"client_id": CLIENT}).auth_type == "default"
    assert azure_credentials(AuthConfig(auth_type="managed_identity")).auth_type == "managed_identity"


async def test_settings_of_the_chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    What is set for the chain reaches the links that take it.
    """
    metadata, service = Metadata(), Entra()
    async with entra(tmp_path, "default", service) as running, serving(metadata) as url:
        settings = {**running.auth.settings, "metadata_endpoint": url}
        assert await found(running.http, **settings) == "managed_identity: the metadata service"
        monkeypatch.setenv("AZURE_CLIENT_SECRET", FAKE_SECRET)
        assert (await found(running.http, **settings)).startswith("environment")

    assert metadata.asked[0].query == {"client_id": CLIENT}
    assert service.asked[0].form["client_id"] == CLIENT

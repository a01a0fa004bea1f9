"""
The default chain of Azure: its order, which failures it skips, and the error if no method applies.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncstore.auth.azure.access import KeyAccess, SASAccess, TokenAccess
from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.azure.in_process import FAKE_KEY, FakeCLI
from tests.auth.azure.methods import bare_environment, config, entra
from tests.auth.conftest import FAKE_SECRET
from tests.servers.identity.azure import CLIENT, FEDERATED, TENANT, Entra, Metadata, serving


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Clean environment without the Azure CLI."""
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
    Environment, workload identity, managed identity, CLI: each is used once those before it are not available.
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
    # AZURE_CLIENT_ID selects the managed identity too.
    assert metadata.asked[0].query == {"client_id": CLIENT}


async def test_no_method_applies() -> None:
    """
    The error lists why each link was skipped, and which settings and variables are missing.
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
        "account: none of the settings connection_string, account_key, sas_token",
        "none of the variables AZURE_STORAGE_CONNECTION_STRING",
    ):
        assert reason in text


async def test_incomplete_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An incomplete application is skipped, and the error names the missing variables.
    """
    monkeypatch.setenv("AZURE_CLIENT_SECRET", FAKE_SECRET)
    with pytest.raises(UnauthenticatedError, match=r"tenant_id \(AZURE_TENANT_ID\) and client_id") as failure:
        await found()
    assert FAKE_SECRET not in str(failure.value)


async def test_refusals_stop_the_chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    If a configured application is refused, the chain stops: it must not continue with another identity.
    """
    metadata = Metadata()
    async with entra(tmp_path, "default") as running, serving(metadata) as url:
        set_application(monkeypatch, str(running.auth.settings["authority_host"]), CLIENT_SECRET=FAKE_SECRET)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        running.status = 401
        with pytest.raises(UnauthenticatedError, match="AADSTS7000215"):
            await found(running.http)

    assert metadata.asked == []


async def test_outages_stop_the_chain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A failing metadata service stops the chain; the error also lists the links that were skipped before it.
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


async def test_chain_keeps_its_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    After the first token only its link is used, even if an earlier link would apply later.
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
def test_selected_links(value: str, names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``AZURE_TOKEN_CREDENTIALS`` selects links, as in azure-identity.
    """
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", value)

    assert azure_credentials().source == names


def test_unknown_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An unknown link is an error that lists the known ones.
    """
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "VisualStudioCodeCredential")
    with pytest.raises(ConfigurationError, match=r"prod.*azureclicredential|azureclicredential.*prod"):
        azure_credentials()


async def test_account_secrets_take_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Account keys and SAS tokens in the environment take precedence over identities, unless the settings name one.
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
    Settings of the chain are passed to the links that accept them.
    """
    metadata, service = Metadata(), Entra()
    async with entra(tmp_path, "default", service) as running, serving(metadata) as url:
        settings = {**running.auth.settings, "metadata_endpoint": url}
        assert await found(running.http, **settings) == "managed_identity: the metadata service"
        monkeypatch.setenv("AZURE_CLIENT_SECRET", FAKE_SECRET)
        assert (await found(running.http, **settings)).startswith("environment")

    assert metadata.asked[0].query == {"client_id": CLIENT}
    assert service.asked[0].form["client_id"] == CLIENT

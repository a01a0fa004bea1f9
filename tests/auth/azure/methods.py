"""
Test cases for every Azure method, each with a server on this machine.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asyncstore.auth.azure import arc as azure_arc
from asyncstore.config import AuthConfig, HTTPOptions
from tests.auth.azure.in_process import FAKE_KEY, SECRETS, FakeCLI, InProcess
from tests.auth.cases import Case, FromService, Running, Start
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.identity.azure import (
    CLIENT,
    FEDERATED,
    PASSWORD,
    TENANT,
    AppService,
    Arc,
    CloudShell,
    Entra,
    MachineLearning,
    Metadata,
    ServiceFabric,
    TokenServer,
    client_certificate,
    serving,
)
from tests.servers.tls import make_ca

_END = "-----END CERTIFICATE-----\n"

#: An address where no server listens.
UNREACHABLE = "http://127.0.0.1:1"


def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Remove all Azure variables and make the metadata service unreachable.
    """
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", UNREACHABLE)


class RunningServer(FromService):
    """
    A running token server with the configuration that uses it.
    """

    def __init__(self, server: TokenServer, auth: AuthConfig, http: HTTPOptions | None = None) -> None:
        super().__init__(server)
        self.server = server
        self.auth = auth
        self.http = http
        self.secrets = SECRETS

    def fetches(self) -> int:
        return self.server.fetches()


class SDKToken(NamedTuple):
    token: str
    expires_on: float


def config(auth_type: str, **settings: Any) -> AuthConfig:
    return AuthConfig(provider="azure", auth_type=auth_type, settings=settings)


@asynccontextmanager
async def entra(
    folder: Path, auth_type: str, service: Entra | None = None, **settings: Any
) -> AsyncIterator[RunningServer]:
    """
    Start a token service over TLS; yield it with the configuration of an application that uses it.
    """
    tls = make_ca(folder)
    server = service or Entra()
    async with serving(server, tls) as url:
        given = {"tenant_id": TENANT, "client_id": CLIENT, "authority_host": url, **settings}
        yield RunningServer(server, config(auth_type, **given), HTTPOptions(ca_file=tls.ca_file))
    assert server.problems == []


@asynccontextmanager
async def _client_secret(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    bare_environment(monkeypatch)
    async with entra(folder, "client_secret", client_secret=FAKE_SECRET) as running:
        yield running


@asynccontextmanager
async def _environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    bare_environment(monkeypatch)
    async with entra(folder, "environment") as running:
        for name, value in (("TENANT_ID", TENANT), ("CLIENT_ID", CLIENT), ("CLIENT_SECRET", FAKE_SECRET)):
            monkeypatch.setenv(f"AZURE_{name}", value)
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", str(running.auth.settings["authority_host"]))
        running.auth = config("environment")
        yield running


def _certificate(content: Callable[[], bytes], **settings: Any) -> Start:
    @asynccontextmanager
    async def start(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
        bare_environment(monkeypatch)
        file = folder / "certificate"
        file.write_bytes(content())
        file.chmod(0o600)
        service = Entra(client_certificate())
        async with entra(folder, "client_certificate", service, certificate_path=file, **settings) as running:
            yield running

    return start


@asynccontextmanager
async def _workload_identity(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    bare_environment(monkeypatch)
    file = folder / "federated"
    file.write_text(f"{FEDERATED}\n")
    async with entra(folder, "workload_identity", federated_token_file=file) as running:
        yield running


@asynccontextmanager
async def _imds(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    bare_environment(monkeypatch)
    server = Metadata()
    async with serving(server) as url:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        yield RunningServer(server, config("managed_identity"))
    assert server.problems == []


@asynccontextmanager
async def _default(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    async with _imds(monkeypatch, folder) as running:
        running.auth = config("default")
        yield running


def _identity(make: Callable[[Path], Metadata], **variables: str) -> Start:
    @asynccontextmanager
    async def start(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
        bare_environment(monkeypatch)
        server = make(folder)
        async with serving(server) as url:
            for name, value in variables.items():
                monkeypatch.setenv(name, value.format(url=url + server.path))
            yield RunningServer(server, config("managed_identity"))
        assert server.problems == []

    return start


@asynccontextmanager
async def _arc(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    monkeypatch.setattr(azure_arc, "KEYS", folder)
    file = folder / "1.key"
    file.write_text(FAKE_SECRET)
    start = _identity(lambda _: Arc(file), IDENTITY_ENDPOINT="{url}", IMDS_ENDPOINT="set")
    async with start(monkeypatch, folder) as running:
        yield running


@asynccontextmanager
async def service_fabric(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[RunningServer]:
    """
    Start a Service Fabric identity service whose TLS certificate is trusted by its thumbprint only.
    """
    bare_environment(monkeypatch)
    server, tls = ServiceFabric(), make_ca(folder)
    shown = ssl.PEM_cert_to_DER_cert(tls.cert_file.read_text().partition("-----END CERTIFICATE-----")[0] + _END)
    async with serving(server, tls) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", url + server.path)
        monkeypatch.setenv("IDENTITY_HEADER", FAKE_SECRET)
        monkeypatch.setenv("IDENTITY_SERVER_THUMBPRINT", hashlib.sha1(shown).hexdigest().upper())
        yield RunningServer(server, config("managed_identity"))
    assert server.problems == []


@asynccontextmanager
async def _cli(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    bare_environment(monkeypatch)
    running = FakeCLI(folder / "bin", config("cli"))
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    yield running


@asynccontextmanager
async def _credential(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    bare_environment(monkeypatch)
    running = InProcess()

    class Credential:
        async def get_token(self, *scopes: str, **options: Any) -> SDKToken:
            number = await running.give()
            return SDKToken(f"{FAKE_TOKEN}-{number}", time.time() + running.ttl)

    running.auth = config("token", credential=Credential())
    yield running


@asynccontextmanager
async def _blocking_credential(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    bare_environment(monkeypatch)
    running = InProcess()

    class Credential:
        def get_token(self, *scopes: str) -> SDKToken:
            return SDKToken(f"{FAKE_TOKEN}-{running.give_blocking()}", time.time() + running.ttl)

    running.auth = config("token", credential=Credential())
    yield running


@asynccontextmanager
async def _sas(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
    bare_environment(monkeypatch)
    running = InProcess()

    async def signature() -> str:
        number = await running.give()
        end = (datetime.now(UTC) + timedelta(seconds=running.ttl)).isoformat().replace("+", "%2B")
        return f"sv=2022-11-02&se={end}&sp=r&sig={FAKE_TOKEN}-{number}"

    running.auth = config("sas", sas_token=signature, account_name="acct")
    yield running


def _fixed(auth_type: str, **settings: Any) -> Start:
    @asynccontextmanager
    async def start(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Running]:
        bare_environment(monkeypatch)
        yield InProcess(config(auth_type, **settings))

    return start


def _case(auth_type: str, start: Start, *, refreshes: bool = True) -> Case:
    return Case("azure", auth_type, start, refreshes)


CASES: dict[str, Case] = {
    "client_secret": _case("client_secret", _client_secret),
    "environment": _case("environment", _environment),
    "client_certificate": _case("client_certificate", _certificate(lambda: client_certificate().pem)),
    "workload_identity": _case("workload_identity", _workload_identity),
    "managed_identity": _case("managed_identity", _imds),
    "managed_identity_app_service": _case(
        "managed_identity",
        _identity(lambda _: AppService(), IDENTITY_ENDPOINT="{url}", IDENTITY_HEADER=FAKE_SECRET),
    ),
    "managed_identity_arc": _case("managed_identity", _arc),
    "managed_identity_cloud_shell": _case("managed_identity", _identity(lambda _: CloudShell(), MSI_ENDPOINT="{url}")),
    "managed_identity_machine_learning": _case(
        "managed_identity", _identity(lambda _: MachineLearning(), MSI_ENDPOINT="{url}", MSI_SECRET=FAKE_SECRET)
    ),
    "managed_identity_service_fabric": _case("managed_identity", service_fabric),
    "cli": _case("cli", _cli),
    "default": _case("default", _default),
    "token": _case("token", _credential),
    "token_blocking": _case("token", _blocking_credential),
    "sas": _case("sas", _sas),
    "account_key": _case(
        "account_key", _fixed("account_key", account_name="acct", account_key=FAKE_KEY), refreshes=False
    ),
    "connection_string": _case(
        "connection_string",
        _fixed("connection_string", connection_string=f"AccountName=acct;AccountKey={FAKE_KEY}"),
        refreshes=False,
    ),
    "anonymous": _case("anonymous", _fixed("anonymous"), refreshes=False),
}

#: Not in CASES: the first time, parsing PKCS#12 holds the GIL, and so the event loop, for 40 ms.
PKCS12 = _case(
    "client_certificate",
    _certificate(lambda: client_certificate().pkcs12(), certificate_password=PASSWORD, send_certificate_chain=True),
)

#: Methods whose credentials expire.
REFRESHING = {name: case for name, case in CASES.items() if case.refreshes} | {"client_certificate_pkcs12": PKCS12}

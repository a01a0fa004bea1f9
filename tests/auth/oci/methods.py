"""
Test cases for every OCI method, each with its token service.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from asyncstore.config import AuthConfig, HTTPOptions
from tests.auth.cases import Case, FromService, Start
from tests.auth.conftest import FAKE_TOKEN
from tests.auth.fifo import CountedFile
from tests.servers.identity.oci import (
    ACCOUNT_TOKEN,
    REGION,
    RESOURCE,
    TENANCY,
    Service,
    cluster,
    key_of,
    pem_of,
    serving,
    token,
)

#: An address where no server listens.
UNREACHABLE = "http://127.0.0.1:1/opc/v2"

DELEGATION = f"fake-delegation-{FAKE_TOKEN}"


class Asked(FromService):
    """
    A method whose tokens come from a server.

    Args:
        one: The request that every fetch sends exactly once.
    """

    http: HTTPOptions | None = None

    def __init__(self, service: Service, auth: AuthConfig, one: tuple[str, str]) -> None:
        super().__init__(service)
        self.service = service
        self.auth = auth
        self.secrets: tuple[str, ...] = (FAKE_TOKEN, *(_marked(pem_of(who)) for who in ("leaf", "resource", "user")))
        self._one = one

    def fetches(self) -> int:
        return self.service.count(*self._one)


class InFiles(Asked):
    """
    A method whose tokens are in a file that another program refreshes.
    """

    def __init__(self, service: Service, folder: Path) -> None:
        super().__init__(service, AuthConfig(), ("", ""))
        self.file = CountedFile(folder / "token", self._content)

    def _content(self) -> str:
        time.sleep(self.delay)
        if self.status == 200:
            return self.service.issue(self.ttl, key_of("user").public_key())
        return token(-60) if self.status < 500 else ""

    def fetches(self) -> int:
        return self.file.reads


def _marked(pem: str) -> str:
    return pem.splitlines()[5]


def clear(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Hide this machine's OCI configuration, and make the metadata service unreachable."""
    for name in [name for name in os.environ if name.startswith("OCI_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("OCI_METADATA_BASE_URL", UNREACHABLE)


def write(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def oci(auth_type: str, **settings: Any) -> AuthConfig:
    return AuthConfig(provider="oci", auth_type=auth_type, settings=settings)


def _instance_principal(url: str, monkeypatch: pytest.MonkeyPatch, _: Path) -> AuthConfig:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{url}/opc/v2")
    return oci("instance_principal", federation_endpoint=f"{url}/v1/x509")


def _delegation_token(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{url}/opc/v2")
    monkeypatch.setenv("OCI_CLI_DELEGATION_TOKEN_FILE", str(write(folder / "delegation", DELEGATION)))
    return oci("delegation_token", federation_endpoint=f"{url}/v1/x509")


def by_service(url: str, monkeypatch: pytest.MonkeyPatch, _: Path) -> AuthConfig:
    for name, value in {
        "VERSION": "2.1.1",
        "RPT_ENDPOINT": url,
        "RPST_ENDPOINT": url,
        "RESOURCE_ID": RESOURCE,
        "TENANCY_ID": TENANCY,
        "PRIVATE_PEM": pem_of("resource"),
        "REGION": REGION,
    }.items():
        monkeypatch.setenv(f"OCI_RESOURCE_PRINCIPAL_{name}", value)
    return oci("resource_principal")


def _default(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    by_service(url, monkeypatch, folder)
    return oci("default")


def in_cluster(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    parts = urlsplit(url)
    authority, _ = cluster()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", str(folder / "ca.crt"))
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_REGION", REGION)
    account = write(folder / "account", ACCOUNT_TOKEN)
    return oci("oke_workload_identity", service_account_token_file=str(account), workload_identity_port=parts.port)


def _resource_principal(running: InFiles, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_RPST", str(running.file.path))
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", str(write(folder / "key.pem", pem_of("user"))))
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_REGION", REGION)
    return oci("resource_principal")


def _session_token(running: InFiles, _: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    key = write(folder / "key.pem", pem_of("user"))
    profile = f"[LAB]\ntenancy={TENANCY}\nfingerprint=aa\nregion={REGION}\nkey_file={key}\n"
    config = write(folder / "config", f"{profile}security_token_file={running.file.path}\n")
    return oci("session_token", config_file=str(config), profile="LAB")


def _user_principal(_: InFiles, __: pytest.MonkeyPatch, ___: Path) -> AuthConfig:
    return oci("user_principal", tenancy=TENANCY, user="ocid1.user", fingerprint="aa", key_content=pem_of("user"))


def _anonymous(_: InFiles, __: pytest.MonkeyPatch, ___: Path) -> AuthConfig:
    return oci("anonymous")


def asked(
    prepare: Callable[[str, pytest.MonkeyPatch, Path], AuthConfig], method: str, path: str, *, tls: bool = False
) -> Start:
    @asynccontextmanager
    async def start(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Asked]:
        await asyncio.to_thread(
            lambda: [pem_of(who) for who in ("leaf", "resource", "user", "authority", "intermediate")]
        )
        clear(monkeypatch, folder)
        service = Service()
        async with serving(service, cluster()[1] if tls else None) as url:
            yield Asked(service, prepare(url, monkeypatch, folder), (method, path))

    return start


def in_files(prepare: Callable[[InFiles, pytest.MonkeyPatch, Path], AuthConfig]) -> Start:
    @asynccontextmanager
    async def start(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[InFiles]:
        await asyncio.to_thread(lambda: [pem_of(who) for who in ("leaf", "resource", "user")])
        clear(monkeypatch, folder)
        running = InFiles(Service(), folder)
        running.auth = prepare(running, monkeypatch, folder)
        with running.file.serving():
            yield running

    return start


_FEDERATION = ("POST", "/v1/x509")
_RESOURCES = ("GET", f"/20180711/resourcePrincipalTokenV2/{RESOURCE}")
_CLUSTER = ("POST", "/resourcePrincipalSessionTokens")

CASES: dict[str, Case] = {
    "default": Case("oci", "default", asked(_default, *_RESOURCES)),
    "user_principal": Case("oci", "user_principal", in_files(_user_principal), refreshes=False),
    "session_token": Case("oci", "session_token", in_files(_session_token)),
    "instance_principal": Case("oci", "instance_principal", asked(_instance_principal, *_FEDERATION)),
    "resource_principal": Case("oci", "resource_principal", in_files(_resource_principal)),
    "resource_principal_2.1": Case("oci", "resource_principal", asked(by_service, *_RESOURCES)),
    "oke_workload_identity": Case("oci", "oke_workload_identity", asked(in_cluster, *_CLUSTER, tls=True)),
    "delegation_token": Case("oci", "delegation_token", asked(_delegation_token, *_FEDERATION)),
    "anonymous": Case("oci", "anonymous", in_files(_anonymous), refreshes=False),
}

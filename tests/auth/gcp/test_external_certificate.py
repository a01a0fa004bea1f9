"""
External accounts of workloads with an X.509 certificate: the exchange over mutual TLS.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import trustme
from aiohttp import web
from google.auth import identity_pool

from asyncstore.auth.gcp.credentials import gcp_credentials
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError
from tests.auth.conftest import FAKE_TOKEN
from tests.servers.identity.gcp import external_document

MTLS = "urn:ietf:params:oauth:token-type:mtls"


@dataclass
class Service:
    """
    A token service that demands a client's certificate, and what it received.

    Attributes:
        presented: The certificates of the clients.
    """

    folder: Path
    url: str = ""
    authority: trustme.CA = field(default_factory=trustme.CA)
    forms: list[dict[str, str]] = field(default_factory=list)
    presented: list[bytes] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        self.presented.append(request.transport.get_extra_info("ssl_object").getpeercert(binary_form=True))
        self.forms.append(dict(parse_qsl(await request.text())))
        return web.json_response({"access_token": FAKE_TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    @property
    def http(self) -> HTTPOptions:
        return HTTPOptions(ca_file=self.folder / "ca.pem")

    def issue(self, name: str) -> bytes:
        """Give the workload a new certificate; return its DER."""
        made = self.authority.issue_cert(name)
        certificate, key = self.folder / "workload.pem", self.folder / "workload.key"
        certificate.write_bytes(made.cert_chain_pems[0].bytes())
        key.write_bytes(made.private_key_pem.bytes())
        key.chmod(0o600)
        workload = {"cert_path": str(certificate), "key_path": str(key)}
        self.config.write_text(json.dumps({"cert_configs": {"workload": workload}}))
        return ssl.PEM_cert_to_DER_cert(certificate.read_text())

    def document(self, **certificate: Any) -> dict[str, Any]:
        """Return the external account, by default with the location of the configuration."""
        described = certificate or {"certificate_config_location": str(self.config)}
        return external_document(self.url, {"certificate": described}, subject_token_type=MTLS)


@pytest.fixture(autouse=True)
def no_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_API_CERTIFICATE_CONFIG", raising=False)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    made = Service(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.authority.issue_cert("127.0.0.1").configure_cert(context)
    made.authority.configure_trust(context)
    made.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    runner = web.ServerRunner(web.Server(made))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    made.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def fetched(service: Service, document: dict[str, Any]) -> None:
    async with gcp_credentials(None, {"credentials_json": document}, http=service.http) as credentials:
        await credentials.get()


def googles(document: dict[str, Any]) -> Any:
    """Return the subject token that google-auth makes."""
    credentials: Any = identity_pool.Credentials
    return json.loads(credentials.from_info(document).retrieve_subject_token(None))


async def test_exchange(service: Service) -> None:
    """
    The certificate is presented, and is the subject token as google-auth writes it; a new one is used at once.
    """
    document = service.document()
    for name in ("first.example", "second.example"):
        certificate = service.issue(name)
        await fetched(service, document)

        assert service.presented[-1] == certificate
        assert json.loads(service.forms[-1]["subject_token"]) == googles(document)
        assert service.forms[-1]["subject_token_type"] == MTLS


@pytest.mark.parametrize("leaf", [True, False])
async def test_chain(service: Service, leaf: bool) -> None:
    """
    The other certificates of the chain follow, whether or not its file begins with the workload's own.
    """
    service.issue("workload.example")
    own, authority = service.folder / "workload.pem", service.folder / "ca.pem"
    chain = service.folder / "chain.pem"
    chain.write_text((own.read_text() if leaf else "") + authority.read_text())
    document = service.document(certificate_config_location=str(service.config), trust_chain_path=str(chain))

    await fetched(service, document)

    found = json.loads(service.forms[-1]["subject_token"])
    assert found == googles(document)
    assert len(found) == 2


@pytest.mark.parametrize("place", ["variable", "gcloud"])
async def test_default_configuration(service: Service, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """
    The default configuration is that of the variable, else the one in gcloud's folder.
    """
    service.issue("workload.example")
    if place == "variable":
        monkeypatch.setenv("GOOGLE_API_CERTIFICATE_CONFIG", str(service.config))
    else:
        (service.folder / "gcloud").mkdir()
        service.config.rename(service.folder / "gcloud" / "certificate_config.json")

    await fetched(service, service.document(use_default_certificate_config=True))

    assert len(service.forms) == 1


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"other": 1}, "either certificate_config_location"),
        ({"certificate_config_location": "x", "use_default_certificate_config": True}, "either certificate_config"),
        ({"certificate_config_location": "/no/such/file"}, "/no/such/file does not exist"),
        ({"certificate_config_location": "{folder}/ca.pem"}, "no cert_configs.workload"),
        ({"use_default_certificate_config": True}, "certificate_config.json does not exist"),
        ({"certificate_config_location": "{config}", "trust_chain_path": "{config}"}, "no certificate in PEM"),
        ({"certificate_config_location": "{config}", "trust_chain_path": "{folder}/chain"}, "must be the first one"),
    ],
)
async def test_invalid_configuration(service: Service, described: dict[str, Any], message: str) -> None:
    """
    The error names the file and what is wrong with it; nothing is sent.
    """
    service.issue("workload.example")
    chain = (service.folder / "ca.pem").read_text() + (service.folder / "workload.pem").read_text()
    (service.folder / "chain").write_text(chain)
    filled = {
        name: value.format(folder=service.folder, config=service.config) if isinstance(value, str) else value
        for name, value in described.items()
    }

    with pytest.raises(ConfigurationError, match=message):
        await fetched(service, service.document(**filled))
    assert service.forms == []


@pytest.mark.parametrize("key", ["", "-----BEGIN PRIVATE KEY-----\nZmFrZQ==\n-----END PRIVATE KEY-----\n"])
async def test_invalid_key(service: Service, key: str) -> None:
    """
    A key that does not belong to the certificate is an error that does not show it.
    """
    service.issue("workload.example")
    (service.folder / "workload.key").write_text(key)

    with pytest.raises(ConfigurationError, match="are not a certificate and its key") as failure:
        await fetched(service, service.document())
    assert "ZmFrZQ" not in str(failure.value)


async def test_context_of_the_caller_is_refused(service: Service) -> None:
    """
    A context of the caller's own would carry the certificate elsewhere.
    """
    http = HTTPOptions(ssl_context=ssl.create_default_context())
    async with gcp_credentials(None, {"credentials_json": service.document()}, http=http) as credentials:
        with pytest.raises(ConfigurationError, match="set ca_file"):
            await credentials.get()

"""
Client certificates: supported formats, the assertions they sign, and rejected input.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from asyncstore.auth.azure.access import TokenAccess
from asyncstore.auth.azure.credentials import azure_credentials
from asyncstore.auth.tokens import Secret
from asyncstore.errors import ConfigurationError
from tests.auth.azure.methods import RunningServer, bare_environment, entra
from tests.auth.conftest import FAKE_TOKEN
from tests.servers.identity.azure import PASSWORD, Entra, client_certificate


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean environment."""
    bare_environment(monkeypatch)


async def token_of(running: RunningServer) -> str:
    async with azure_credentials(running.auth, http=running.http) as credentials:
        access = (await credentials.get()).value
    assert isinstance(access, TokenAccess)
    return access.token


@pytest.mark.parametrize("chain", [False, True])
@pytest.mark.parametrize(
    ("content", "password"),
    [
        (lambda: client_certificate().pem, None),
        (lambda: b"".join(client_certificate().certificates) + client_certificate().key, None),
        (lambda: client_certificate().encrypted(), PASSWORD),
        (lambda: client_certificate().pkcs12(), PASSWORD),
        (lambda: client_certificate().pkcs12(None), None),
    ],
    ids=["pem", "key last", "encrypted", "pkcs12", "pkcs12 without password"],
)
async def test_certificate(tmp_path: Path, content: Callable[[], bytes], password: str | None, chain: bool) -> None:
    """
    Every certificate format produces a valid assertion, with the chain only if it is requested.
    """
    given: dict[str, Any] = {"certificate_data": content, "send_certificate_chain": chain}
    if password:
        given["certificate_password"] = Secret(password)
    async with entra(tmp_path, "client_certificate", Entra(client_certificate()), **given) as running:
        assert await token_of(running) == f"{FAKE_TOKEN}-1"
        (asked,) = running.server.asked

    assert ("client_secret" in asked.form) is False
    assert (len(asked.form["client_assertion"]) > 2000) is chain


async def test_certificate_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    The file is read for every token; one warning is logged if other users can read it.
    """
    file = tmp_path / "certificate"
    file.write_bytes(client_certificate().pem)
    file.chmod(0o644)
    service = Entra(client_certificate())
    async with (
        entra(tmp_path, "client_certificate", service, certificate_path=str(file)) as running,
        azure_credentials(running.auth, http=running.http) as credentials,
    ):
        with caplog.at_level(logging.WARNING):
            first = await credentials.get()
        service.certificate = client_certificate("successor")
        file.write_bytes(service.certificate.pem)
        second = await credentials.refresh(first)

    assert second.value == TokenAccess(f"{FAKE_TOKEN}-2")
    assert [record.getMessage().count(str(file)) for record in caplog.records] == [1]


@pytest.mark.parametrize("ahead", [3000, -3000])
async def test_clock_skew(tmp_path: Path, ahead: float) -> None:
    """
    An assertion rejected for clock skew is made again with the service's time, which later ones use from the start.
    """
    service = Entra(client_certificate())
    service.ahead = ahead
    given = {"certificate_data": client_certificate().pem}
    async with (
        entra(tmp_path, "client_certificate", service, **given) as running,
        azure_credentials(running.auth, http=running.http) as credentials,
    ):
        first = await credentials.get()
        assert running.fetches() == 2
        await credentials.refresh(first)
        assert running.fetches() == 3


def _without_key() -> bytes:
    return b"".join(client_certificate().certificates)


def _with_another_key() -> bytes:
    return client_certificate("successor").key + _without_key()


def _with_another_kind_of_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + _without_key()


@pytest.mark.parametrize(
    ("content", "password", "message"),
    [
        (_without_key, None, "RSA private key"),
        (_with_another_key, None, "none of the certificates in the file matches"),
        (_with_another_kind_of_key, None, "RSA private key"),
        (lambda: client_certificate().key, None, "cannot be read as PEM or PKCS#12|none of the certificates"),
        (lambda: client_certificate().encrypted(), None, "certificate_password"),
        (lambda: client_certificate().encrypted(), "wrong", "cannot be read as PEM or PKCS#12"),
        (lambda: client_certificate().pkcs12(), "wrong", "cannot be read as PEM or PKCS#12"),
        (lambda: b"garbage", None, "cannot be read as PEM or PKCS#12"),
        (lambda: b"", None, "cannot be read as PEM or PKCS#12"),
        (lambda: 7, None, "bytes or text"),
    ],
)
async def test_invalid_certificate(
    tmp_path: Path, content: Callable[[], Any], password: str | None, message: str
) -> None:
    """
    A certificate that cannot sign is a configuration error, and nothing is sent.
    """
    given: dict[str, Any] = {"certificate_data": content, "certificate_password": password}
    async with entra(tmp_path, "client_certificate", **given) as running:
        with pytest.raises(ConfigurationError, match=message) as failure:
            await token_of(running)
        assert running.fetches() == 0

    assert "PRIVATE" not in str(failure.value)

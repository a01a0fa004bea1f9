"""
Certificates of applications: what can sign, what it signs, and what cannot.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from asyncstore.auth.azure import azure_credentials
from asyncstore.auth.azure_access import TokenAccess
from asyncstore.auth.tokens import Secret
from asyncstore.errors import ConfigurationError
from tests.auth.azure_methods import OfGiver, bare_environment, entra
from tests.auth.azure_service import PASSWORD, Entra, client_certificate
from tests.auth.conftest import FAKE_TOKEN


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own settings."""
    bare_environment(monkeypatch)


async def token_of(running: OfGiver) -> str:
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
    A certificate of any form signs what the service accepts, with the chain only if that is asked for.
    """
    given: dict[str, Any] = {"certificate_data": content, "send_certificate_chain": chain}
    if password:
        given["certificate_password"] = Secret(password)
    async with entra(tmp_path, "client_certificate", Entra(client_certificate()), **given) as running:
        assert await token_of(running) == f"{FAKE_TOKEN}-1"
        (asked,) = running.giver.asked

    assert ("client_secret" in asked.form) is False
    assert (len(asked.form["client_assertion"]) > 2000) is chain


async def test_certificate_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    The file is read for each token, with one warning if others can read it too.
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
async def test_clock_that_is_wrong(tmp_path: Path, ahead: float) -> None:
    """
    The service's clock counts: an assertion that it takes for old or early is made again, and later ones are right.
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
        (_without_key, None, "RSA key"),
        (_with_another_key, None, "none of the certificates belongs"),
        (_with_another_kind_of_key, None, "RSA key"),
        (lambda: client_certificate().key, None, "no PEM or PKCS#12|none of the certificates"),
        (lambda: client_certificate().encrypted(), None, "certificate_password"),
        (lambda: client_certificate().encrypted(), "wrong", "can be opened"),
        (lambda: client_certificate().pkcs12(), "wrong", "can be opened"),
        (lambda: b"garbage", None, "no PEM or PKCS#12"),
        (lambda: b"", None, "no PEM or PKCS#12"),
        (lambda: 7, None, "bytes or text"),
    ],
)
async def test_impossible_certificate(
    tmp_path: Path, content: Callable[[], Any], password: str | None, message: str
) -> None:
    """
    What cannot sign is a wrong setting, and nothing is sent.
    """
    given: dict[str, Any] = {"certificate_data": content, "certificate_password": password}
    async with entra(tmp_path, "client_certificate", **given) as running:
        with pytest.raises(ConfigurationError, match=message) as failure:
            await token_of(running)
        assert running.fetches() == 0

    assert "PRIVATE" not in str(failure.value)

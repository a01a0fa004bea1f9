"""
Keys of service accounts: exchanged, signing for themselves, and what is wrong with some.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from asyncstore.auth import key_files
from asyncstore.auth.gcp import GCPCredentials, gcp_credentials
from asyncstore.errors import (
    ConfigurationError,
    UnauthenticatedError,
)
from asyncstore.testing.servers.gcs import GCSServer, Settings
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers_check.gcs import account, key_file, private_key

USER = {"type": "authorized_user", "client_id": "fake-id", "client_secret": FAKE_SECRET, "refresh_token": FAKE_TOKEN}


@pytest.fixture(autouse=True)
def nobodys_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's user, and no metadata server."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    """Issues tokens for one account and one refresh token."""
    settings = Settings(tokens=[], accounts=[account()], refresh_tokens=[FAKE_TOKEN])
    async with GCSServer(buckets=["bucket"], settings=settings) as running:
        yield running


async def token_of(credentials: GCPCredentials) -> str | None:
    async with credentials:
        value = (await credentials.get()).value
        return None if value is None else value.reveal()


async def test_self_signed(server: GCSServer) -> None:
    """
    An account can sign tokens for itself: nobody is asked.
    """
    credentials = gcp_credentials(None, {"credentials_json": key_file(server.url), "self_signed_jwt": True})
    token = await token_of(credentials)

    assert token is not None
    claims = jwt.decode(token, account().public_key, algorithms=["RS256"], audience="https://storage.googleapis.com/")
    assert claims["iss"] == claims["sub"] == account().email
    assert server.requests == []


async def test_other_universes_exchange_nothing(server: GCSServer) -> None:
    """
    An account of another cloud signs for itself, for that cloud.
    """
    document = {**key_file(server.url), "universe_domain": "cloud.example"}
    token = await token_of(gcp_credentials(None, {"credentials_json": document}))

    assert token is not None
    jwt.decode(token, account().public_key, algorithms=["RS256"], audience="https://storage.cloud.example/")
    assert server.requests == []


async def test_refused_key_says_why(server: GCSServer) -> None:
    """
    What the token endpoint answers comes out, as an error that is not tried again.
    """
    document = {**key_file(server.url), "client_email": "stranger@test.iam.gserviceaccount.com"}

    with pytest.raises(UnauthenticatedError) as failure:
        await token_of(gcp_credentials(None, {"credentials_json": document}))

    assert (failure.value.code, failure.value.status, failure.value.retryable) == ("invalid_grant", 400, False)


async def test_wrong_clock_is_learnt(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the assertion is refused and the clocks differ, it is dated by the server's.
    """
    import time

    from asyncstore.auth import gcp_key, token_service

    real = time.time
    fake = type("clock", (), {"time": staticmethod(lambda: real() - 7200)})
    monkeypatch.setattr(gcp_key, "time", fake)
    monkeypatch.setattr(token_service, "time", fake)

    assert await token_of(gcp_credentials(None, {"credentials_json": key_file(server.url)}))
    assert len([request for request in server.requests if request.path == "/token"]) == 2


async def test_token_endpoint_needs_tls() -> None:
    """
    An assertion does not travel over plain HTTP to another host.
    """
    document = {**key_file("http://elsewhere.example")}

    with pytest.raises(ConfigurationError, match="https"):
        await token_of(gcp_credentials(None, {"credentials_json": document}))


async def test_damaged_key() -> None:
    """
    A key whose parts do not belong together is refused before anything is signed with it.
    """
    numbers, other = private_key().private_numbers(), rsa.generate_private_key(65537, 2048).private_numbers()
    parts = (numbers.p, numbers.q, other.d, other.dmp1, other.dmq1, numbers.iqmp)
    damaged = rsa.RSAPrivateNumbers(*parts, numbers.public_numbers).private_key(unsafe_skip_rsa_key_validation=True)
    pem = damaged.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()

    with pytest.raises(ConfigurationError, match="damaged"):
        await token_of(
            gcp_credentials(None, {"credentials_json": {**key_file("https://x.example"), "private_key": pem}})
        )


async def test_self_signed_for_scopes(server: GCSServer) -> None:
    """
    A token that an account signs itself is for the scopes that are asked for; a subject needs an exchange.
    """
    settings = {"credentials_json": key_file(server.url), "self_signed_jwt": "yes"}
    async with gcp_credentials(None, {**settings, "scopes": ["x", "y"]}) as credentials:
        value = (await credentials.get()).value
    assert value is not None
    claims = jwt.decode(value.reveal(), options={"verify_signature": False})
    assert claims["scope"] == "x y"
    assert "aud" not in claims
    async with gcp_credentials(None, {**settings, "subject": "a@b.example"}) as credentials:
        with pytest.raises(ConfigurationError, match="subject"):
            await credentials.get()
    assert server.requests == []


async def test_others_can_read_the_key(server: GCSServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    A key file that others can read is worth a warning, once.
    """
    key_files._warned.clear()
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key_file(server.url)))
    file.chmod(0o644)

    for _ in range(2):
        await token_of(gcp_credentials(None, {"credentials_file": file}))

    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 1
    assert str(file) in warned[0]
    assert "644" in warned[0]

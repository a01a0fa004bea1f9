"""
Service account keys: exchanged for tokens, signing tokens, and invalid ones.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from asyncstore.auth import key_files
from asyncstore.auth.gcp.credentials import GCPCredentials, gcp_credentials
from asyncstore.errors import (
    ConfigurationError,
    UnauthenticatedError,
)
from asyncstore.testing.servers.gcs import GCSServer, Settings
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.gcs_client import account, key_file, private_key

USER = {"type": "authorized_user", "client_id": "fake-id", "client_secret": FAKE_SECRET, "refresh_token": FAKE_TOKEN}


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    """A server that issues tokens for one account and one refresh token."""
    settings = Settings(tokens=[], accounts=[account()], refresh_tokens=[FAKE_TOKEN])
    async with GCSServer(buckets=["bucket"], settings=settings) as running:
        yield running


async def token_of(credentials: GCPCredentials) -> str | None:
    async with credentials:
        value = (await credentials.get()).value
        return None if value is None else value.reveal()


async def test_self_signed(server: GCSServer) -> None:
    """
    An account can sign its own tokens without a request.
    """
    credentials = gcp_credentials(None, {"credentials_json": key_file(server.url), "self_signed_jwt": True})
    token = await token_of(credentials)

    assert token is not None
    claims = jwt.decode(token, account().public_key, algorithms=["RS256"], audience="https://storage.googleapis.com/")
    assert claims["iss"] == claims["sub"] == account().email
    assert server.requests == []


async def test_other_universes_use_self_signed_tokens(server: GCSServer) -> None:
    """
    An account of another universe signs its own tokens for that universe.
    """
    document = {**key_file(server.url), "universe_domain": "cloud.example"}
    token = await token_of(gcp_credentials(None, {"credentials_json": document}))

    assert token is not None
    jwt.decode(token, account().public_key, algorithms=["RS256"], audience="https://storage.cloud.example/")
    assert server.requests == []


async def test_rejected_key(server: GCSServer) -> None:
    """
    The error has the token endpoint's code and is not retryable.
    """
    document = {**key_file(server.url), "client_email": "stranger@test.iam.gserviceaccount.com"}

    with pytest.raises(UnauthenticatedError) as failure:
        await token_of(gcp_credentials(None, {"credentials_json": document}))

    assert (failure.value.code, failure.value.status, failure.value.retryable) == ("invalid_grant", 400, False)


async def test_clock_skew(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the assertion is rejected and the clocks differ, it is signed again with the server's time.
    """
    import time

    from asyncstore.auth.gcp import service_account
    from asyncstore.http.clock import ServerClock

    real = time.time

    def slow() -> float:
        return real() - 7200

    monkeypatch.setattr(service_account, "time", SimpleNamespace(time=slow))
    monkeypatch.setattr(ServerClock.__init__, "__defaults__", (slow,))

    assert await token_of(gcp_credentials(None, {"credentials_json": key_file(server.url)}))
    assert len([request for request in server.requests if request.path == "/token"]) == 2


async def test_token_endpoint_needs_tls() -> None:
    """
    An assertion is not sent to another host by plain HTTP.
    """
    document = {**key_file("http://elsewhere.example")}

    with pytest.raises(ConfigurationError, match="https"):
        await token_of(gcp_credentials(None, {"credentials_json": document}))


async def test_damaged_key() -> None:
    """
    A key with inconsistent parts is rejected before it signs anything.
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
    A self-signed token contains the requested scopes; it cannot have a subject.
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


async def test_warning_for_readable_key(server: GCSServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    A key file that other users can read causes one warning.
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

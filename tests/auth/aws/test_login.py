"""
Keys of ``aws login``: read from its cache, and refreshed with a proof of possession.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from asyncstore import AuthConfig
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError
from tests.auth.aws.methods import log_in
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.identity.aws import FAKE_REFRESH_TOKEN, KEYS, Service, ends, keys_of, serving

_AUTH = AuthConfig(auth_type="login")

_OLD = {"accessKeyId": "ASIAFAKEOLD", "secretAccessKey": FAKE_SECRET, "sessionToken": FAKE_TOKEN, "accountId": "1"}


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The service that refreshes sessions."""
    async with serving(service) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SIGNIN", url)
        yield url


async def test_valid_keys_are_those_of_the_file(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    No request is sent for them, by the method, by the profile or by the chain; they are the keys that botocore reads.
    """
    log_in(aws_files, monkeypatch, accessToken={**_OLD, "expiresAt": ends(600)})
    monkeypatch.setenv("AWS_PROFILE", "console")
    theirs = Session().get_credentials()
    assert theirs is not None
    for auth in (_AUTH, AuthConfig(auth_type="profile"), AuthConfig()):
        async with aws_credentials(auth) as credentials:
            keys = (await credentials.get()).value
            assert keys is not None
            assert (keys.access_key_id, keys.session_token) == (theirs.access_key, theirs.token)
            assert credentials.expiry() is not None
    assert service.calls == []


async def test_expired_keys_are_refreshed(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The request proves that its sender has the session's key; the file keeps what other programs need.
    """
    file = log_in(aws_files, monkeypatch)
    before = json.loads(file.read_text())

    assert await keys_of(_AUTH, profile="console") == KEYS
    after = json.loads(file.read_text())
    assert after["accessToken"]["accessKeyId"] == KEYS.access_key_id
    assert after["accessToken"]["accountId"] == "123456789012"
    assert after["refreshToken"] == f"{FAKE_REFRESH_TOKEN}1"
    assert {name: after[name] for name in ("clientId", "dpopKey", "tokenType")} == {
        name: before[name] for name in ("clientId", "dpopKey", "tokenType")
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in file.parent.iterdir()] == [file.name]
    _check_proof(service.proofs[0], f"{url}/v1/token")


def _check_proof(proof: str, url: str) -> None:
    """Check what RFC 9449 demands."""
    head, body, signature = proof.split(".")
    header, claims = (json.loads(_decoded(part)) for part in (head, body))
    assert (header["typ"], header["alg"]) == ("dpop+jwt", "ES256")
    assert {"kty": "EC", "crv": "P-256"}.items() <= header["jwk"].items()
    assert "d" not in header["jwk"]
    assert (claims["htm"], claims["htu"]) == ("POST", url)
    assert claims["jti"]
    x, y = (int.from_bytes(_decoded(header["jwk"][name]), "big") for name in "xy")
    raw = _decoded(signature)
    pair = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    key.verify(pair, f"{head}.{body}".encode(), ec.ECDSA(SHA256()))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_rejected_keys_are_refreshed(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Keys that AWS rejects before their end are replaced.
    """
    log_in(aws_files, monkeypatch, accessToken={**_OLD, "expiresAt": ends(600)})
    async with aws_credentials(_AUTH, {"profile": "console"}) as credentials:
        lease = await credentials.get()
        assert (await credentials.refresh(lease)).value == KEYS


@pytest.mark.parametrize(("status", "kind"), [(401, UnauthenticatedError), (503, UnavailableError)])
async def test_service_that_refuses(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[StorageError]
) -> None:
    """
    Valid keys stay in use; otherwise the error says what to do, and shows no secret.
    """
    service.renewal_status = status
    log_in(aws_files, monkeypatch, accessToken={**_OLD, "expiresAt": ends(200)})
    kept = await keys_of(_AUTH, profile="console")
    assert kept is not None
    assert kept.access_key_id == "ASIAFAKEOLD"


async def test_expired_session(aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error says what to do, and shows no secret.
    """
    service.renewal_status = 401
    log_in(aws_files, monkeypatch)
    with pytest.raises(UnauthenticatedError, match="run aws login") as caught:
        await keys_of(_AUTH, profile="console")
    assert caught.value.code == "TOKEN_EXPIRED"
    assert FAKE_REFRESH_TOKEN not in str(caught.value)


async def test_session_that_another_process_refreshed(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After a refusal the file is read again, since a refresh token may be good for one use.
    """
    file = log_in(aws_files, monkeypatch)
    service.renewal_status = 401
    service.delay = 0.05
    asked = asyncio.create_task(keys_of(_AUTH, profile="console"))
    while not service.calls:
        await asyncio.sleep(0.005)
    document = json.loads(file.read_text())
    other = {**document["accessToken"], "accessKeyId": "ASIAFAKEOTHER", "expiresAt": ends(900)}
    await asyncio.to_thread(file.write_text, json.dumps({**document, "accessToken": other}))
    keys = await asked
    assert keys is not None
    assert keys.access_key_id == "ASIAFAKEOTHER"
    assert len(service.calls) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"dpopKey": "fake"}, "the key of the session of aws login cannot be read"),
        ({"dpopKey": None}, "has no dpopKey"),
        ({"refreshToken": 7}, "has no refreshToken"),
        ({"accessToken": None}, "has no accessKeyId, secretAccessKey, sessionToken"),
        ({"accessToken": {**_OLD, "expiresAt": "soon"}}, "not an ISO 8601 time"),
    ],
)
async def test_file_that_is_not_valid(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], words: str
) -> None:
    """
    It is an error in words, and nothing is sent.
    """
    log_in(aws_files, monkeypatch, **changed)
    with pytest.raises(UnauthenticatedError, match=words):
        await keys_of(_AUTH, profile="console")
    assert service.calls == []


async def test_not_signed_in(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without the file or the setting, the error says what to do.
    """
    file = log_in(aws_files, monkeypatch)
    file.unlink()
    with pytest.raises(UnauthenticatedError, match=r"not signed in.*run aws login"):
        await keys_of(_AUTH, profile="console")
    (aws_files / "config").write_text("[profile console]\nregion = eu-west-1\n")
    with pytest.raises(ConfigurationError, match="'console' has no login_session"):
        await keys_of(_AUTH, profile="console")


@pytest.mark.parametrize(
    ("lines", "credentials", "kind"),
    [
        ("", "", "login"),
        ("credential_process = /bin/false\n", "", "login"),
        ("", "[console]\naws_access_key_id = A\naws_secret_access_key = S\n", "static"),
    ],
)
async def test_precedence(
    aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch, lines: str, credentials: str, kind: str
) -> None:
    """
    As in botocore, keys of the credentials file come before a session, and a program after it.
    """
    log_in(aws_files, monkeypatch, accessToken={**_OLD, "expiresAt": ends(600)})
    with (aws_files / "config").open("a") as config:
        config.write(lines)
    (aws_files / "credentials").write_text(credentials)
    (aws_files / "credentials").chmod(0o600)
    theirs = Session(profile="console").get_credentials()
    assert theirs is not None
    async with aws_credentials(AuthConfig(auth_type="profile"), {"profile": "console"}) as ours:
        keys = (await ours.get()).value
        assert keys is not None
        assert keys.access_key_id == theirs.access_key
        assert ours.source == f"profile 'console' ({kind})"

"""
Google credentials: settings, and the places where credentials are found.
"""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asyncstore.auth.credentials import Scope
from asyncstore.auth.gcp.credentials import GCPCredentials, gcp_credentials
from asyncstore.auth.tokens import Secret
from asyncstore.config import AuthConfig
from asyncstore.errors import (
    ConfigurationError,
    NotSupportedError,
    StorageError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.gcs import GCSServer, Settings
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.gcs_client import account, key_file

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


async def accepted(server: GCSServer, credentials: GCPCredentials) -> bool:
    """Return whether the server accepts the credentials."""
    url = f"{server.url}/storage/v1/b/bucket/o"
    async with credentials, credentials.http_client([server.url]) as session, session.get(url) as reply:
        return reply.status == 200


async def _later() -> str:
    return FAKE_TOKEN


@pytest.mark.parametrize(
    "given", [FAKE_TOKEN, Secret(FAKE_TOKEN), lambda: FAKE_TOKEN, lambda: Secret(FAKE_TOKEN), _later]
)
async def test_token_setting(given: object) -> None:
    """
    A token can be text, a ``Secret``, or a function that returns one of them.
    """
    assert await token_of(gcp_credentials(None, {"token": given})) == FAKE_TOKEN


async def test_other_settings_are_left() -> None:
    """
    The factory removes its own settings and leaves the others for the driver.
    """
    settings: dict[str, Any] = {"token": FAKE_TOKEN, "multipart": "xml"}

    credentials = gcp_credentials(None, settings)

    assert settings == {"multipart": "xml"}
    assert credentials.auth_type == "token"


@pytest.mark.parametrize("way", ["file", "text", "mapping", "environment", "gcloud", "secret"])
async def test_service_account(server: GCSServer, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A service account key is found in every place, and its tokens are accepted.
    """
    document = key_file(server.url)
    file = tmp_path / "gcloud" / "application_default_credentials.json"
    file.parent.mkdir()
    if way in ("file", "environment", "gcloud"):
        file.write_text(json.dumps(document))
    if way != "gcloud":
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nowhere"))
    if way == "environment":
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    settings: dict[str, dict[str, Any]] = {
        "file": {"credentials_file": file},
        "text": {"credentials_json": json.dumps(document)},
        "secret": {"credentials_json": Secret(json.dumps(document))},
        "mapping": {"credentials_json": document},
    }

    credentials = gcp_credentials(None, settings.get(way, {}))

    assert await accepted(server, credentials)
    assert credentials.auth_type == "service_account"
    assert (await credentials.url_signer()).account == document["client_email"]


async def test_authorized_user(server: GCSServer) -> None:
    """
    The tokens for a refresh token are accepted; users cannot sign URLs.
    """
    document = {**USER, "token_uri": f"{server.url}/token"}
    credentials = gcp_credentials(None, {"credentials_json": document})

    assert await accepted(server, credentials)
    with pytest.raises(NotSupportedError, match="hmac_access_id"):
        await credentials.url_signer()


async def test_metadata_server(server: GCSServer) -> None:
    """
    Tokens of the machine's account are accepted.
    """
    credentials = gcp_credentials(AuthConfig(auth_type="metadata"), {"metadata_host": server.url[len("http://") :]})

    assert await accepted(server, credentials)
    assert "127.0.0.1" in credentials.source


async def test_default_ends_at_the_metadata_server(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without files the metadata server is used, and ``auth_type`` shows it.
    """
    monkeypatch.setenv("GCE_METADATA_HOST", server.url[len("http://") :])
    credentials = gcp_credentials()

    assert await accepted(server, credentials)
    assert credentials.auth_type == "metadata"


async def test_no_credentials() -> None:
    """
    The error lists every place that was checked, and mentions anonymous access.
    """
    with pytest.raises(UnauthenticatedError) as failure:
        await token_of(gcp_credentials())

    for part in ("GOOGLE_APPLICATION_CREDENTIALS", "application_default_credentials.json", "127.0.0.1:9", "anonymous"):
        assert part in str(failure.value)


async def test_failing_metadata_server_is_retryable(server: GCSServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A metadata server that answers 503 exists, so the error is retryable.
    """
    monkeypatch.setenv("GCE_METADATA_HOST", server.url[len("http://") :])
    server.inject(Fault(path="computeMetadata", status=503, headers={"Metadata-Flavor": "Google"}))

    with pytest.raises(UnavailableError) as failure:
        await token_of(gcp_credentials())
    assert failure.value.retryable


async def test_reply_without_metadata_flavor(server: GCSServer) -> None:
    """
    A token is rejected if the reply has no ``Metadata-Flavor`` header.
    """
    server.inject(Fault(path="computeMetadata", status=200, body=b'{"access_token": "x", "expires_in": 9}'))
    host = server.url[len("http://") :]

    with pytest.raises(UnavailableError, match="not a Google metadata server"):
        await token_of(gcp_credentials(AuthConfig(auth_type="metadata"), {"metadata_host": host}))


async def test_concurrent_callers(server: GCSServer) -> None:
    """
    Twenty concurrent callers share one exchange, even if one of them is cancelled.
    """
    async with gcp_credentials(None, {"credentials_json": key_file(server.url)}) as credentials:
        tasks = [asyncio.ensure_future(credentials.get()) for _ in range(20)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        leases = [await task for task in tasks[1:]]

    assert len({id(lease) for lease in leases}) == 1
    assert len([request for request in server.requests if request.path == "/token"]) == 1


async def test_failing_token_endpoint(server: GCSServer) -> None:
    """
    A 503 and a broken connection are retryable.
    """
    for status in (503, None):
        server.inject(Fault(path="/token", status=status))
        with pytest.raises(UnavailableError) as failure:
            await token_of(gcp_credentials(None, {"credentials_json": key_file(server.url)}))
        assert failure.value.retryable


async def test_fallback(server: GCSServer) -> None:
    """
    If a method fails, the fallback is used; if all fail, the error lists every reason.
    """
    missing = {"credentials_file": "/no/such/file.json"}
    last = AuthConfig(auth_type="token", settings={"token": FAKE_TOKEN})
    chain = AuthConfig(auth_type="service_account", settings=missing, fallback=last)
    credentials = gcp_credentials(chain)

    assert await token_of(credentials) == FAKE_TOKEN
    assert credentials.auth_type == "token"
    with pytest.raises(UnauthenticatedError) as failure:
        await token_of(gcp_credentials(AuthConfig(settings=missing, fallback=AuthConfig(auth_type="default"))))
    assert "/no/such/file.json" in str(failure.value)
    assert "GCE" in str(failure.value) or "metadata" in str(failure.value)


@pytest.mark.parametrize(
    ("auth", "settings", "message"),
    [
        (AuthConfig(auth_type="kerberos"), {}, "service_account"),
        (AuthConfig(settings={"tokn": "x"}), {}, "credentials_file"),
        (None, {"anonymous": True, "token": "x"}, "token"),
        (AuthConfig(auth_type="token"), {}, "needs token"),
        (None, {"token": 7}, "not int"),
        (None, {"token": "x", "credentials_file": "y"}, "set only one of credentials_file, token"),
        (None, {"credentials_json": "{}", "credentials_file": "y"}, "not both"),
        (AuthConfig(auth_type="service_account"), {}, "credentials_json"),
        (AuthConfig(auth_type="metadata"), {"anonymous": True}, "not anonymous"),
        (None, {"hmac_access_id": "x"}, "hmac_secret"),
    ],
)
def test_invalid_settings(auth: AuthConfig | None, settings: dict[str, Any], message: str) -> None:
    """
    Invalid settings are rejected before anything is read or sent.
    """
    with pytest.raises(ConfigurationError, match=message):
        gcp_credentials(auth, settings)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("no json", "not a JSON object"),
        ("[]", "not a JSON object"),
        ({"type": "external_account"}, "external_account"),
        ({}, "None"),
        ({"type": "service_account", "client_email": "x"}, "private_key"),
        ({"type": "authorized_user", "client_id": "x"}, "refresh_token"),
        ({"type": "service_account", "client_email": "x", "private_key": FAKE_SECRET}, "not a private key in PEM"),
    ],
)
async def test_invalid_documents(document: Any, message: str) -> None:
    """
    The error for an invalid document names the problem and does not quote the document.
    """
    with pytest.raises(ConfigurationError, match=message) as failure:
        await token_of(gcp_credentials(None, {"credentials_json": document}))

    assert FAKE_SECRET not in str(failure.value)
    assert "no json" not in str(failure.value)


async def test_auth_type_must_match_the_document(server: GCSServer) -> None:
    """
    A user's document is rejected if ``auth_type`` is ``service_account``.
    """
    credentials = gcp_credentials(AuthConfig(auth_type="service_account"), {"credentials_json": USER})

    with pytest.raises(ConfigurationError, match="authorized_user"):
        await token_of(credentials)


async def test_anonymous() -> None:
    """
    Anonymous access has no token and cannot sign URLs.
    """
    async with gcp_credentials(AuthConfig(auth_type="anonymous")) as credentials:
        lease = await credentials.get()

        assert credentials.anonymous
        assert lease.value is None
        with pytest.raises(NotSupportedError):
            await credentials.url_signer()
        with pytest.raises(NotSupportedError):
            credentials.presign("GET", "https://h/k", lease, Scope("r"), expires=timedelta(hours=1))


async def test_other_origins_see_no_token(server: GCSServer) -> None:
    """
    The session sends the token to the listed origins only.
    """
    async with GCSServer() as other, gcp_credentials(None, {"token": FAKE_TOKEN}) as credentials:
        async with credentials.http_client([server.url]) as session:
            await (await session.get(f"{other.url}/storage/v1/b")).read()
            await (await session.get(f"{server.url}/storage/v1/b")).read()

        assert all("authorization" not in request.headers for request in other.requests)
        assert server.requests[0].headers["authorization"] == f"Bearer {FAKE_TOKEN}"


async def test_no_secret_in_output(server: GCSServer) -> None:
    """
    Reprs and errors contain no key, token or assertion.
    """
    document = {**USER, "token_uri": f"{server.url}/token", "refresh_token": f"{FAKE_TOKEN}-wrong"}
    key = key_file(server.url)
    texts = []
    for given in (document, {**key, "client_email": "stranger@test.example"}):
        credentials = gcp_credentials(None, {"credentials_json": given})
        try:
            await token_of(credentials)
        except StorageError as exc:
            texts += [repr(exc), str(exc), repr(pickle.loads(pickle.dumps(exc)).__dict__)]
        texts += [repr(credentials), repr(vars(credentials)), str(credentials.source)]
        texts += [f"{method!r} {vars(method.lookup)!r}" for method in credentials._methods]
        found = [method.lookup._found for method in credentials._methods]
        texts += [repr(vars(identity)) for identity in found if identity is not None]

    assert texts
    for secret in (FAKE_SECRET, FAKE_TOKEN, key["private_key"][40:80]):
        assert not [text for text in texts if secret in text]

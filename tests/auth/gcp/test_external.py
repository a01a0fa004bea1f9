"""
External accounts: subject tokens from files and URLs, and their exchange.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import web
from google.auth import aws, identity_pool
from google.auth.transport.requests import Request

from asyncstore.auth.gcp.credentials import gcp_credentials
from asyncstore.auth.tokens import Secret
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.auth.gcp.methods import CASES
from tests.servers.identity.gcp import (
    CLOUD_PLATFORM,
    STORAGE,
    STS,
    SUBJECT,
    TARGET,
    GoogleService,
    credentials_of,
    external_document,
    google_service,
    impersonation_url,
    opens,
)


@pytest.fixture
async def service() -> AsyncIterator[GoogleService]:
    async with google_service(STS) as running:
        yield running


@pytest.mark.parametrize(
    ("described", "content"),
    [
        (None, f"{SUBJECT}\n"),
        ({"type": "text"}, SUBJECT),
        ({"type": "json", "subject_token_field_name": "id"}, json.dumps({"id": SUBJECT, "access_token": "another"})),
    ],
)
async def test_file(service: GoogleService, described: Any, content: str, tmp_path: Path) -> None:
    """
    A file contains the token as plain text or in a field of a JSON object.
    """
    file = tmp_path / "subject"
    file.write_text(content)
    source = {"file": str(file), **({} if described is None else {"format": described})}

    assert await opens(service, external_document(service.url, source))
    assert service.forms[0]["scope"] == STORAGE


async def _later() -> str:
    return SUBJECT


@pytest.mark.parametrize("given", [SUBJECT, Secret(SUBJECT), lambda: SUBJECT, _later])
async def test_subject_token_setting(service: GoogleService, given: Any) -> None:
    """
    The ``subject_token`` setting replaces the source. It can be text, a ``Secret`` or a function.
    """
    document = external_document(service.url, {})
    del document["credential_source"]

    assert await opens(service, document, subject_token=given)


async def test_empty_subject_token(service: GoogleService) -> None:
    """
    An empty token from the function is an error, and Google gets no request.
    """
    async with credentials_of(external_document(service.url, {}), subject_token=lambda: "") as credentials:
        with pytest.raises(UnauthenticatedError, match="subject_token returned no token"):
            await credentials.get()
    assert service.calls == []


async def test_file_is_read_again(service: GoogleService, tmp_path: Path) -> None:
    """
    The file is read for every exchange, because the cluster replaces it.
    """
    file = tmp_path / "subject"
    file.write_text(f"{FAKE_TOKEN}-of-yesterday")
    async with credentials_of(external_document(service.url, {"file": str(file)})) as credentials:
        with pytest.raises(UnauthenticatedError, match="another subject token"):
            await credentials.get()
        file.write_text(SUBJECT)
        credentials._tokens._retry_at = 0.0
        assert (await credentials.get()).value is not None


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, ConfigurationError, "cannot be read"),
        ("", ConfigurationError, "does not hold a token"),
        ("x" * 70_000, ConfigurationError, "does not hold a token"),
        (FAKE_SECRET, UnauthenticatedError, "no token in the field 'id'"),
        (f'{{"key": "{FAKE_SECRET}"}}', UnauthenticatedError, "no token in the field 'id'"),
        (f'["{FAKE_SECRET}"]', UnauthenticatedError, "no token in the field 'id'"),
        ('{"id": 7}', UnauthenticatedError, "no token in the field 'id'"),
    ],
)
async def test_file_without_a_token(
    service: GoogleService, content: str | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    """
    The error names the file and does not quote it, and Google gets no request.
    """
    file = tmp_path / "subject"
    if content is not None:
        file.write_text(content)
    described = {"type": "json", "subject_token_field_name": "id"}
    document = external_document(service.url, {"file": str(file), "format": described})

    async with credentials_of(document) as credentials:
        with pytest.raises(error, match=message) as failure:
            await credentials.get()

    assert str(file) in str(failure.value)
    assert FAKE_SECRET not in str(failure.value)
    assert service.calls == []


async def test_url_as_text(service: GoogleService, serve: Serve) -> None:
    """
    A URL can return the token as plain text.
    """

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f" {SUBJECT}\n")

    assert await opens(service, external_document(service.url, {"url": f"{await serve(answer)}/token"}))


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        ({"status": 403, "text": FAKE_SECRET}, UnauthenticatedError, "returned no subject token"),
        ({"status": 502}, UnavailableError, "returned no subject token"),
        ({"status": 302, "headers": {"Location": "/subject"}}, UnavailableError, "redirect, which is not followed"),
        ({"text": ""}, UnauthenticatedError, "an empty subject token"),
        ({"text": "x" * 70_000}, UnavailableError, "more than 65536 bytes"),
    ],
)
async def test_url_without_a_token(
    service: GoogleService, serve: Serve, reply: dict[str, Any], error: type[Exception], message: str
) -> None:
    """
    Refusals, redirects and long replies are errors that do not quote the reply, and Google gets no request.
    """
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(**reply)

    url = f"{await serve(answer)}/identity?client_secret={FAKE_SECRET}"
    async with credentials_of(external_document(service.url, {"url": url})) as credentials:
        with pytest.raises(error, match=message) as failure:
            await credentials.get()

    assert asked == ["/identity"]
    assert FAKE_SECRET not in str(failure.value)
    assert service.calls == []


async def test_local_urls_bypass_the_proxy(service: GoogleService, serve: Serve) -> None:
    """
    A URL on this machine is never accessed through a proxy.
    """
    asked: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        asked.append(str(request.url))
        return web.Response(text=f"{FAKE_TOKEN}-of-the-proxy")

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=SUBJECT)

    document = external_document(service.url, {"url": await serve(answer)})
    http = HTTPOptions(proxy=await serve(proxy))
    async with gcp_credentials(None, {"credentials_json": document}, http=http) as credentials:
        assert (await credentials.get()).value is not None
    assert asked == []


async def test_remote_urls_need_tls(service: GoogleService) -> None:
    """
    A token is not requested from another host by plain HTTP.
    """
    document = external_document(service.url, {"url": "http://idp.example/token"})

    async with credentials_of(document) as credentials:
        with pytest.raises(ConfigurationError, match="use https"):
            await credentials.get()


async def test_impersonation(service: GoogleService, tmp_path: Path) -> None:
    """
    With impersonation, the exchanged token only requests the account's token.
    """
    file = tmp_path / "subject"
    file.write_text(SUBJECT)
    more = {
        "service_account_impersonation_url": impersonation_url(service.url),
        "service_account_impersonation": {"token_lifetime_seconds": 2800},
    }

    async with credentials_of(external_document(service.url, {"file": str(file)}, **more)) as credentials:
        token = (await credentials.get()).value
        assert credentials.auth_type == "external_account"
        assert credentials.describe()["account"] == TARGET

    exchange, impersonation = service.forms
    assert exchange["scope"] == CLOUD_PLATFORM
    assert impersonation == {"delegates": [], "scope": [STORAGE], "lifetime": "2800s"}
    assert token is not None
    assert service.tokens[token.reveal()] == STORAGE


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("external_account-file", identity_pool.Credentials),
        ("external_account-url", identity_pool.Credentials),
        ("external_account-aws", aws.Credentials),
        ("external_account-impersonated", identity_pool.Credentials),
    ],
)
async def test_stand_in_accepts_googles_client(
    name: str, kind: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    The server of these tests issues tokens to an unmodified google-auth too.
    """
    async with CASES[name].start(monkeypatch, tmp_path) as running:
        assert isinstance(running, GoogleService)
        theirs = kind.from_info(running.auth.settings["credentials_json"]).with_scopes([STORAGE])

        await asyncio.to_thread(theirs.refresh, Request())

        assert theirs.token in running.tokens
        assert running.tokens[theirs.token] == STORAGE
        assert running.refusals == []


async def test_client_of_a_workforce_pool(service: GoogleService, tmp_path: Path) -> None:
    """
    The client authenticates if there is one; otherwise the user project is sent.
    """
    file = tmp_path / "subject"
    file.write_text(SUBJECT)
    source = {"file": str(file)}

    assert await opens(service, external_document(service.url, source, workforce_pool_user_project="fake-project"))
    assert json.loads(unquote(service.forms[0]["options"])) == {"userProject": "fake-project"}
    assert "authorization" not in service.requests[0]
    client = {"client_id": "fake-client", "client_secret": FAKE_SECRET, "workforce_pool_user_project": "fake-project"}
    assert await opens(service, external_document(service.url, source, **client))
    assert "options" not in service.forms[1]
    sent = next(request["authorization"] for request in service.requests[2:] if "authorization" in request)
    assert sent == f"Basic {base64.b64encode(f'fake-client:{FAKE_SECRET}'.encode()).decode()}"


async def test_lifetime_can_be_text(service: GoogleService, tmp_path: Path, serve: Serve) -> None:
    """
    ``expires_in`` can be text.
    """
    file = tmp_path / "subject"
    file.write_text(SUBJECT)

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"access_token": FAKE_TOKEN, "expires_in": "600"})

    document = external_document(await serve(answer), {"file": str(file)})
    async with credentials_of(document) as credentials:
        await credentials.get()
        end = credentials.expiry()
    assert end is not None
    assert abs(end.timestamp() - time.time() - 600) < 3


@pytest.mark.parametrize("document", [{}, {"client_secret": FAKE_SECRET, "client_id": "fake"}])
async def test_warning_for_readable_secrets_only(
    service: GoogleService, document: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A world-readable document causes a warning only if it contains a secret.
    """
    subject, file = tmp_path / "subject", tmp_path / "external.json"
    subject.write_text(SUBJECT)
    file.write_text(json.dumps(external_document(service.url, {"file": str(subject)}, **document)))
    os.chmod(file, 0o644)

    async with gcp_credentials(None, {"credentials_file": str(file)}) as credentials:
        await credentials.get()
    warned = [
        record for record in caplog.records if record.levelno == logging.WARNING and str(file) in record.getMessage()
    ]
    assert len(warned) == len(document) // 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audience": None}, "audience"),
        ({"credential_source": None}, "credential_source"),
        ({"credential_source": "x"}, "file, url, environment_id, executable"),
        (
            {"credential_source": {"certificate": {"use_default_certificate_config": True}}},
            "does not exist.* file, url",
        ),
        ({"credential_source": {"file": "a", "url": "https://b.example"}}, "must have exactly one of"),
        ({"credential_source": {"file": "a", "format": {"type": "xml"}}}, "text or json"),
        ({"credential_source": {"file": "a", "format": {"type": "json"}}}, "subject_token_field_name"),
        ({"credential_source": {"url": "file:///etc/passwd"}}, "http or https"),
        ({"credential_source": {"url": "https://b.example", "headers": "x"}}, "mapping of names to values"),
        ({"credential_source": {"environment_id": "aws2"}}, "'aws1'"),
        ({"credential_source": {"environment_id": "aws1", "url": "http://evil.example/x"}}, "must end in"),
        (
            {
                "credential_source": {
                    "environment_id": "aws1",
                    "url": "http://evil.example/latest/meta-data/iam/security-credentials",
                }
            },
            "metadata_endpoint is https",
        ),
        (
            {"credential_source": {"environment_id": "aws1", "regional_cred_verification_url": "http://evil.example"}},
            "must be an https URL",
        ),
        ({"credential_source": {"executable": {"timeout_millis": 5000}}}, "needs a command"),
        ({"credential_source": {"executable": {"command": ["a"]}}}, "needs a command"),
        ({"credential_source": {"executable": {"command": "a '"}}}, "needs a command"),
        ({"credential_source": {"executable": {"command": "a", "timeout_millis": 4999}}}, "5000 to 120000"),
        ({"service_account_impersonation_url": "https://evil.example/token"}, "generateAccessToken"),
        ({"service_account_impersonation": {"token_lifetime_seconds": 50000}, "impersonate": True}, "1 to 43200"),
        ({"token_url": "http://evil.example/token"}, "use https"),
        ({"service_account_impersonation_url": "http://evil.example"}, "generateAccessToken"),
    ],
)
async def test_invalid_documents(service: GoogleService, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    """
    Invalid documents are rejected before anything is sent.
    """
    file = tmp_path / "subject"
    file.write_text(SUBJECT)
    document = external_document(service.url, {"file": str(file)})
    if change.pop("impersonate", False):
        document["service_account_impersonation_url"] = impersonation_url(service.url)

    async with credentials_of({**document, **change}) as credentials:
        with pytest.raises(ConfigurationError, match=message):
            await credentials.get()
    assert service.calls == []

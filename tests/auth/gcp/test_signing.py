"""
URLs signed with a Google-managed key.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from asyncstore import open_storage
from asyncstore.auth.gcp.credentials import GCPCredentials, gcp_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import (
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.testing.servers.gcs import GCSServer, Settings
from tests.auth.conftest import FAKE_TOKEN, Serve
from tests.servers.gcs_client import EMAIL, account, key_file
from tests.servers.identity.gcp import (
    DELEGATE,
    IAM,
    METADATA,
    OAUTH,
    STORAGE,
    SUBJECT,
    TARGET,
    GoogleService,
    credentials_of,
    external_document,
    google_service,
    impersonated_document,
    impersonation_url,
    user_document,
)


@pytest.fixture
async def service() -> AsyncIterator[GoogleService]:
    async with google_service(IAM) as running:
        yield running


def impersonating(service: GoogleService, **settings: Any) -> GCPCredentials:
    given = {"target_principal": TARGET, "iam_endpoint": service.url, **settings}
    return gcp_credentials(AuthConfig(provider="google", settings=given))


async def token_of(credentials: GCPCredentials) -> str:
    async with credentials:
        value = (await credentials.get()).value
        assert value is not None
        return value.reveal()


def _signers(service: GoogleService, directory: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    subject = directory / "subject"
    subject.write_text(SUBJECT)
    more = {"service_account_impersonation_url": impersonation_url(service.url)}
    host = service.url.removeprefix("http://")
    return {
        "metadata": (EMAIL, {"metadata_host": host, "iam_endpoint": service.url, "scopes": STORAGE}),
        "impersonated": (TARGET, {"target_principal": TARGET, "metadata_host": host, "iam_endpoint": service.url}),
        "external_account": (
            TARGET,
            {"credentials_json": external_document(service.url, {"file": str(subject)}, **more)},
        ),
        "file": (TARGET, {"credentials_json": impersonated_document(service.url, key_file(service.url))}),
    }


@pytest.mark.parametrize("name", ["metadata", "impersonated", "external_account", "file"])
async def test_signed_urls_without_a_key(service: GoogleService, name: str, tmp_path: Path) -> None:
    """
    URLs are signed with a Google-managed key and open the object; the storage's tokens keep their narrow scope.
    """
    owner, settings = _signers(service, tmp_path)[name]
    known = Settings(tokens=service.tokens, accounts=[replace(account(), email=owner)])
    async with GCSServer(buckets=["bucket"], settings=known) as server:
        async with open_storage("gs://bucket", endpoint_url=server.url, **settings) as storage:
            assert storage.capabilities.sign
            await storage.put(storage.root / "a b.txt", b"data")
            url = await storage.presign(storage.root / "a b.txt", expires=timedelta(minutes=5))
        async with aiohttp.ClientSession() as session:
            async with session.get(URL(url.replace("a%20b", "a%20c"), encoded=True)) as reply:
                assert reply.status == 403
            async with session.get(URL(url, encoded=True)) as reply:
                assert (reply.status, await reply.read()) == (200, b"data")

    signed = [path for _, path in service.calls if path.endswith(":signBlob")]
    assert signed == [f"/v1/projects/-/serviceAccounts/{owner}:signBlob"]
    assert service.forms[-1]["payload"]
    assert base64.b64decode(service.forms[-1]["payload"]).startswith(b"GOOG4-RSA-SHA256\n")


async def test_url_ends_with_its_key(service: GoogleService, tmp_path: Path) -> None:
    """
    A URL that is asked for three days says that a Google-managed key verifies it for twelve hours.
    """
    _, settings = _signers(service, tmp_path)["metadata"]
    async with open_storage("gs://bucket", endpoint_url=service.url, **settings) as storage:
        url = await storage.presign("key", expires=timedelta(days=3))

    assert timedelta(hours=11) < url.expires_at - datetime.now(UTC) <= timedelta(hours=12)


async def test_concurrent_signers(service: GoogleService) -> None:
    """
    The machine's account and universe are requested once.
    """
    settings = {"metadata_host": service.url.removeprefix("http://"), "iam_endpoint": service.url}
    async with gcp_credentials(None, settings) as credentials:
        signers = await asyncio.gather(*(credentials.url_signer() for _ in range(20)))
        await asyncio.gather(*(signer.sign(b"text", "") for signer in signers))

    paths = [path.rpartition("/")[2] for _, path in service.calls]
    assert sorted(paths) == sorted(["email", "universe-domain", "token", *[f"{EMAIL}:signBlob"] * 20])


async def test_no_credentials() -> None:
    """
    Without credentials, the error lists every place that was checked and is not an outage.
    """
    async with gcp_credentials() as credentials:
        with pytest.raises(UnauthenticatedError) as failure:
            await credentials.url_signer()
    for part in ("GOOGLE_APPLICATION_CREDENTIALS", "application_default_credentials.json", "127.0.0.1:9"):
        assert part in str(failure.value)


async def test_delegates_sign_too(service: GoogleService) -> None:
    """
    The delegation chain is sent with signing requests too.
    """
    async with impersonating(service, credentials_json=key_file(service.url), delegates=[DELEGATE]) as credentials:
        await (await credentials.url_signer()).sign(b"text", "")
    assert service.forms[-1]["delegates"] == [f"projects/-/serviceAccounts/{DELEGATE}"]


async def test_missing_permission_to_sign(service: GoogleService) -> None:
    """
    Missing permission to sign raises ``PermissionDeniedError``, not an authentication error.
    """
    source = AuthConfig(auth_type="token", settings={"token": lambda: service.issue(STORAGE)})
    async with impersonating(service, source=source) as credentials:
        with pytest.raises(PermissionDeniedError, match=f"refused to sign for {TARGET}: insufficient scopes"):
            await (await credentials.url_signer()).sign(b"text", "")


@pytest.mark.parametrize("document", [{}, {"signedBlob": ""}, {"signedBlob": "?"}, {"signedBlob": 7}])
async def test_no_signature(serve: Serve, document: dict[str, Any]) -> None:
    """
    A reply without a signature is an error.
    """

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(document)

    settings = {"token": FAKE_TOKEN, "target_principal": TARGET, "iam_endpoint": await serve(answer)}
    async with gcp_credentials(None, settings) as credentials:
        with pytest.raises(UnavailableError, match="no signedBlob"):
            await (await credentials.url_signer()).sign(b"text", "")


async def test_signing_in_another_universe(tmp_path: Path) -> None:
    """
    Signatures are requested in the universe of the metadata server, unless the settings name another.
    """
    async with google_service(METADATA) as service:
        service.universe = "cloud.example"
        settings = {"metadata_host": service.url.removeprefix("http://")}
        async with gcp_credentials(None, dict(settings)) as credentials:
            signer: Any = await credentials.url_signer()
            assert signer._iam._endpoint == "https://iamcredentials.cloud.example"
            assert signer.account == EMAIL
        auth = AuthConfig(settings={**settings, "universe_domain": "another.example"})
        async with gcp_credentials(auth) as credentials:
            signer = await credentials.url_signer()
            assert signer._iam._endpoint == "https://iamcredentials.another.example"


async def test_user_cannot_sign() -> None:
    """
    A user cannot sign URLs; the error says which credentials can.
    """
    async with google_service(OAUTH) as service, credentials_of(user_document(service.url)) as credentials:
        with pytest.raises(NotSupportedError, match="target_principal"):
            await credentials.url_signer()

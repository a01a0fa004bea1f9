"""
Signatures of an account whose key only Google has.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from asyncstore import open_storage
from asyncstore.auth.gcp import GCPCredentials, gcp_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import (
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.testing.servers.gcs import GCSServer, Settings
from tests.auth.conftest import FAKE_TOKEN, Serve
from tests.auth.gcp_methods import without_own
from tests.auth.gcp_service import (
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
from tests.servers_check.gcs import EMAIL, account, key_file


@pytest.fixture(autouse=True)
def nobodys_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's user."""
    without_own(monkeypatch, tmp_path)


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
    URLs are signed by a key that only Google has, and open the object; the storage's own tokens stay narrow.
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


async def test_many_who_sign_find_out_once(service: GoogleService) -> None:
    """
    Whose account the machine has, and in which cloud, is asked once for all.
    """
    settings = {"metadata_host": service.url.removeprefix("http://"), "iam_endpoint": service.url}
    async with gcp_credentials(None, settings) as credentials:
        signers = await asyncio.gather(*(credentials.url_signer() for _ in range(20)))
        await asyncio.gather(*(signer.sign(b"text", "") for signer in signers))

    paths = [path.rpartition("/")[2] for _, path in service.calls]
    assert sorted(paths) == sorted(["email", "universe-domain", "token", *[f"{EMAIL}:signBlob"] * 20])


async def test_nobody_signs() -> None:
    """
    Without any credentials that is the error, at once and with all places, and not that a server is in trouble.
    """
    async with gcp_credentials() as credentials:
        with pytest.raises(UnauthenticatedError) as failure:
            await credentials.url_signer()
    for part in ("GOOGLE_APPLICATION_CREDENTIALS", "application_default_credentials.json", "127.0.0.1:9"):
        assert part in str(failure.value)


async def test_delegates_sign_too(service: GoogleService) -> None:
    """
    Accounts in between are named for signatures as they are for tokens.
    """
    async with impersonating(service, credentials_json=key_file(service.url), delegates=[DELEGATE]) as credentials:
        await (await credentials.url_signer()).sign(b"text", "")
    assert service.forms[-1]["delegates"] == [f"projects/-/serviceAccounts/{DELEGATE}"]


async def test_signing_has_its_own_right(service: GoogleService) -> None:
    """
    Who may not sign for the account is told so; that is no lack of credentials.
    """
    source = AuthConfig(auth_type="token", settings={"token": lambda: service.issue(STORAGE)})
    async with impersonating(service, source=source) as credentials:
        with pytest.raises(PermissionDeniedError, match=f"does not sign for {TARGET}: insufficient scopes"):
            await (await credentials.url_signer()).sign(b"text", "")


@pytest.mark.parametrize("document", [{}, {"signedBlob": ""}, {"signedBlob": "?"}, {"signedBlob": 7}])
async def test_no_signature(serve: Serve, document: dict[str, Any]) -> None:
    """
    A reply without a signature makes no URL.
    """

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(document)

    settings = {"token": FAKE_TOKEN, "target_principal": TARGET, "iam_endpoint": await serve(answer)}
    async with gcp_credentials(None, settings) as credentials:
        with pytest.raises(UnavailableError, match="no signedBlob"):
            await (await credentials.url_signer()).sign(b"text", "")


async def test_signing_in_another_cloud(tmp_path: Path) -> None:
    """
    Where the metadata server is of another cloud, signatures are asked for there.
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


async def test_user_signs_nothing() -> None:
    """
    A user has no key; the error says who has.
    """
    async with google_service(OAUTH) as service, credentials_of(user_document(service.url)) as credentials:
        with pytest.raises(NotSupportedError, match="target_principal"):
            await credentials.url_signer()

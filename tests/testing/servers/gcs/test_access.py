"""
The stand-in for GCS accepts valid tokens and signatures, and refuses all others.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import google.auth.compute_engine
import google.auth.credentials
import jwt
import pytest
import requests
import yarl
from google.api_core.exceptions import Unauthorized
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request

from asyncstore.testing.servers.gcs import GCSServer, HmacKey, Settings
from tests.servers.gcs_client import (
    EMAIL,
    account,
    in_thread,
    private_key,
    sdk,
    service_account_credentials,
    user_credentials,
)

_SCOPES = ["https://www.googleapis.com/auth/devstorage.full_control"]
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop newer google-auth from asking a fixed address, in a thread, for an account's regions."""
    mixin = getattr(google.auth.credentials, "CredentialsWithRegionalAccessBoundary", None)
    if mixin is not None:
        monkeypatch.setattr(mixin, "_is_regional_access_boundary_lookup_required", lambda self: False)


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    settings = Settings(
        tokens={"fake-token"},
        accounts=[account()],
        hmac_keys=[HmacKey("GOOGFAKE", "fake-hmac-secret")],
        refresh_tokens={"fake-refresh-token"},
    )
    async with GCSServer(buckets=["b-1"], settings=settings) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_tokens(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A request without a token, or with an invalid one, is refused with the reason."""
    address = f"{server.url}/storage/v1/b/b-1"

    async with http.get(address, headers=bearer("fake-token")) as reply:
        assert reply.status == 200
    for headers in ({}, bearer("fake-other"), {"Authorization": "Basic fake"}):
        async with http.get(address, headers=headers) as reply:
            assert reply.status == 401
            assert reply.headers["WWW-Authenticate"].startswith("Bearer realm=")
            assert (await reply.json())["error"]["errors"][0]["location"] == "Authorization"
    async with http.get(f"{server.url}/b-1/a") as reply:
        assert (reply.status, reply.content_type) == (401, "application/xml")
        assert "<Code>AuthenticationRequired</Code>" in await reply.text()


async def test_official_client_with_a_service_account(server: GCSServer) -> None:
    """The official client gets a token from the server and uses it."""

    def work() -> bytes:
        credentials = service_account_credentials(server.url, _SCOPES)
        with sdk(server.url, credentials) as client:
            client.bucket("b-1").blob("a").upload_from_string(b"1")
            return bytes(client.bucket("b-1").blob("a").download_as_bytes())

    assert await in_thread(work) == b"1"
    # The client looks up the bucket in a thread, which may ask for a token at the same time.
    assert server.issuer.calls in ({"jwt-bearer": 1}, {"jwt-bearer": 2})


async def test_self_signed_tokens(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A token that a service account signs for itself is accepted without being issued."""
    credentials = service_account_credentials(server.url, _SCOPES)
    own = credentials.with_always_use_jwt_access(True)
    own._create_self_signed_jwt(None)
    transport: Any = Request
    with requests.Session() as session:
        own.refresh(transport(session))

    async with http.get(f"{server.url}/storage/v1/b/b-1", headers=bearer(own.token)) as reply:
        assert reply.status == 200
    async with http.get(f"{server.url}/storage/v1/b/b-1", headers=bearer(own.token[:-4] + "AAAA")) as reply:
        assert reply.status == 401
    assert not server.issuer.calls


async def test_token_is_fetched_again_after_a_401(server: GCSServer) -> None:
    """A revoked token is refused, and the client asks for a new one."""

    def write(client: Any) -> None:
        client.bucket("b-1").blob("a").upload_from_string(b"1")

    credentials = service_account_credentials(server.url, _SCOPES)
    with sdk(server.url, credentials) as client:
        await in_thread(lambda: write(client))
        asked = server.issuer.calls["jwt-bearer"]
        server.issuer.revoke()
        await in_thread(lambda: write(client))
    refused = [one for one in server.requests if one.method == "POST" and "/upload/" in one.path]
    assert len(refused) == 3
    assert server.issuer.calls["jwt-bearer"] > asked


async def test_issued_tokens_expire(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A token is refused after its lifetime."""
    server.issuer.lifetime = -1
    expired = server.issuer.issue()

    async with http.get(f"{server.url}/storage/v1/b/b-1", headers=bearer(expired)) as reply:
        assert reply.status == 401


async def test_refresh_token(server: GCSServer) -> None:
    """A known refresh token gets an access token; an unknown one is an invalid grant."""

    def user(token: str) -> Any:
        return user_credentials(
            None,
            refresh_token=token,
            token_uri=f"{server.url}/token",
            client_id="fake-client",
            client_secret="fake-client-secret",
        )

    def work() -> None:
        with sdk(server.url, user("fake-refresh-token")) as client:
            assert client.bucket("b-1").exists()
        with requests.Session() as session, pytest.raises(RefreshError, match="expired or revoked"):
            user("fake-other").refresh(Request(session))

    await in_thread(work)
    assert server.issuer.calls == {"refresh_token": 2}


async def test_metadata_server(server: GCSServer, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata server issues a token only to requests with Metadata-Flavor."""
    address = f"{server.url}/computeMetadata/v1/instance/service-accounts/default/token"
    async with http.get(address) as reply:
        assert reply.status == 403
    async with http.get(address, headers={"Metadata-Flavor": "Google"}) as reply:
        assert reply.headers["Metadata-Flavor"] == "Google"
        token = (await reply.json())["access_token"]
    async with http.get(f"{server.url}/storage/v1/b/b-1", headers=bearer(token)) as reply:
        assert reply.status == 200

    machine: Any = google.auth.compute_engine.Credentials

    def work() -> bool:
        with sdk(server.url, machine()) as client:
            return bool(client.bucket("b-1").exists())

    from google.auth.compute_engine import _metadata

    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", server.url.removeprefix("http://"))
    assert await in_thread(work)
    assert server.issuer.calls == {"metadata": 2}


def claims(server: GCSServer, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    valid = {"iss": EMAIL, "scope": _SCOPES[0], "aud": f"{server.url}/token", "iat": now, "exp": now + 3600}
    return {name: value for name, value in {**valid, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({}, None),
        ({"iss": "fake-other@test"}, "account not found"),
        ({"aud": "https://other.invalid/token"}, "audience"),
        ({"scope": None}, "scope"),
        ({"exp": 1}, "short-lived"),
        ({"exp": int(time.time()) + 7200}, "short-lived"),
        ({"iat": int(time.time()) + 600}, "short-lived"),
    ],
)
async def test_assertions(
    server: GCSServer, http: aiohttp.ClientSession, changes: dict[str, Any], description: str | None
) -> None:
    """An assertion is accepted only if all its claims are valid."""
    assertion = jwt.encode(claims(server, **changes), private_key(), algorithm="RS256")
    form = {"grant_type": _JWT_BEARER, "assertion": assertion}
    async with http.post(f"{server.url}/token", data=form) as reply:
        answer = await reply.json()

    if description is None:
        assert answer["token_type"] == "Bearer"
    else:
        assert (reply.status, answer["error"]) == (400, "invalid_grant")
        assert description in answer["error_description"]


async def test_assertion_with_another_signature(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """An assertion that was modified after signing, or not signed at all, is refused."""
    head, body, _ = jwt.encode(claims(server), private_key(), algorithm="RS256").split(".")
    _, _, other = jwt.encode(claims(server, iat=1), private_key(), algorithm="RS256").split(".")
    unsigned = jwt.encode(claims(server), "", algorithm="none")
    for assertion in (f"{head}.{body}.{other}", f"{head}.{body}", unsigned, "", "a.b.c"):
        form = {"grant_type": _JWT_BEARER, "assertion": assertion}
        async with http.post(f"{server.url}/token", data=form) as reply:
            assert (reply.status, (await reply.json())["error"]) == (400, "invalid_grant")
    async with http.post(f"{server.url}/token", data={"grant_type": "password"}) as reply:
        assert (await reply.json())["error"] == "unsupported_grant_type"


async def test_official_client_with_a_wrong_token(server: GCSServer) -> None:
    """The official client raises Unauthorized for an invalid token."""

    def work() -> None:
        with sdk(server.url, user_credentials("fake-other")) as client:
            client.get_bucket("b-1")

    with pytest.raises((Unauthorized, RefreshError)):
        await in_thread(work)


def signed_url(server: GCSServer, **options: Any) -> str:
    """Return a URL signed by the official client."""
    credentials = service_account_credentials(server.url)
    with sdk(server.url, credentials) as client:
        blob = client.bucket("b-1").blob(options.pop("name", "dir/a b"))
        options.setdefault("expiration", dt.timedelta(minutes=5))
        return str(blob.generate_signed_url(version="v4", **options))


@pytest.mark.parametrize("name", ["a", "dir/a b", "ü/+~*'()%2F&=?#"])
async def test_signed_urls(server: GCSServer, http: aiohttp.ClientSession, name: str) -> None:
    """A URL signed by the official client allows the signed operation without a token."""
    put = signed_url(
        server, name=name, method="PUT", content_type="text/x-test", headers={"x-goog-meta-colour": "deep  blue "}
    )
    headers = {"Content-Type": "text/x-test", "x-goog-meta-colour": "deep  blue"}
    async with http.put(_raw(put), data=b"body", headers=headers) as reply:
        assert reply.status == 200, await reply.text()
    get = signed_url(server, name=name, query_parameters={"response-content-type": "text/y"})
    async with http.get(_raw(get)) as reply:
        assert (reply.status, await reply.read()) == (200, b"body"), await reply.text()
        assert reply.content_type == "text/y"
        assert reply.headers["x-goog-meta-colour"] == "deep  blue"


def _raw(url: str) -> yarl.URL:
    # Keep the signed form: yarl would quote it again.
    return yarl.URL(url, encoded=True)


async def refusal(http: aiohttp.ClientSession, url: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    async with http.request(method, _raw(url), headers=headers) as reply:
        text = await reply.text()
    return reply.status, text.partition("<Code>")[2].partition("</Code>")[0]


async def test_invalid_signed_urls(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A tampered, expired or wrongly signed URL is refused with the service's error code."""
    good = signed_url(server)
    mismatch, malformed = (403, "SignatureDoesNotMatch"), (400, "MalformedSecurityHeader")

    assert await refusal(http, good) == (404, "NoSuchKey")
    assert await refusal(http, good, "PUT") == mismatch
    assert await refusal(http, good.replace("/dir/", "/other/")) == mismatch
    assert await refusal(http, good + "&generation=1") == mismatch
    assert await refusal(http, good[:-2] + "00") == mismatch
    assert await refusal(http, good.replace("fake%40", "fake-other%40")) == mismatch
    assert await refusal(http, good, **{"x-goog-meta-a": "b"}) == malformed
    assert await refusal(http, good.replace("X-Goog-Expires=300", "X-Goog-Expires=604801")) == malformed
    expired = signed_url(server, expiration=dt.timedelta(seconds=1))
    old = expired.replace("X-Goog-Date=20", "X-Goog-Date=19")
    assert (await refusal(http, old))[1] == "ExpiredToken"
    signed_header = signed_url(server, headers={"x-goog-meta-a": "b"})
    assert await refusal(http, signed_header) == malformed


async def test_hmac_keys(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """Signatures made with an HMAC key are verified with its secret."""
    good = hmac_url(server, "fake-hmac-secret")
    bad = hmac_url(server, "fake-other")

    assert await refusal(http, good) == (404, "NoSuchKey")
    assert await refusal(http, bad) == (403, "SignatureDoesNotMatch")


async def test_hmac_keys_in_a_header(server: GCSServer, http: aiohttp.ClientSession) -> None:
    """A signature in Authorization covers the headers and the body's digest, and expires within minutes."""
    address = f"{server.url}/b-1/h"
    for secret, age, expected in (
        ("fake-hmac-secret", 0, 200),
        ("fake-other", 0, 403),
        ("fake-hmac-secret", 1200, 403),
    ):
        headers = hmac_headers(server, secret, b"body", age)
        async with http.put(address, data=b"body", headers=headers) as reply:
            assert reply.status == expected, await reply.text()
    async with http.put(address, data=b"BODY", headers=hmac_headers(server, "fake-hmac-secret", b"body", 0)) as reply:
        assert (reply.status, "ContentSHA256Mismatch" in await reply.text()) == (400, True)
    async with http.get(address, headers=bearer("fake-token")) as reply:
        assert await reply.read() == b"body"


async def test_batch_with_a_token(server: GCSServer) -> None:
    """The requests of a batch inherit its token."""

    def work() -> None:
        with sdk(server.url, user_credentials("fake-token")) as client:
            bucket = client.bucket("b-1")
            bucket.blob("a").upload_from_string(b"1")
            with client.batch():
                bucket.blob("a").delete()
            assert not bucket.blob("a").exists()

    await in_thread(work)


def stamps(age: int = 0) -> tuple[str, str]:
    """Return the time *age* seconds ago, and the scope of a signature made then."""
    then = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age)
    return then.strftime("%Y%m%dT%H%M%SZ"), f"{then:%Y%m%d}/auto/storage/goog4_request"


def hmac_signature(secret: str, stamp: str, scope: str, canonical: str) -> str:
    """Sign a canonical request, with the steps in the service's documentation."""
    text = f"GOOG4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"GOOG4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def hmac_headers(server: GCSServer, secret: str, body: bytes, age: int) -> dict[str, str]:
    """Return headers that sign the upload of *body*."""
    stamp, scope = stamps(age)
    digest = hashlib.sha256(body).hexdigest()
    host = server.url.removeprefix("http://")
    lines = f"host:{host}\nx-goog-content-sha256:{digest}\nx-goog-date:{stamp}\n"
    names = "host;x-goog-content-sha256;x-goog-date"
    signature = hmac_signature(secret, stamp, scope, f"PUT\n/b-1/h\n\n{lines}\n{names}\n{digest}")
    credential = f"Credential=GOOGFAKE/{scope}, SignedHeaders={names}, Signature={signature}"
    return {
        "Authorization": f"GOOG4-HMAC-SHA256 {credential}",
        "x-goog-date": stamp,
        "x-goog-content-sha256": digest,
    }


def hmac_url(server: GCSServer, secret: str) -> str:
    """Return a URL signed with an HMAC key."""
    stamp, scope = stamps()
    query = urlencode(
        {
            "X-Goog-Algorithm": "GOOG4-HMAC-SHA256",
            "X-Goog-Credential": f"GOOGFAKE/{scope}",
            "X-Goog-Date": stamp,
            "X-Goog-Expires": "60",
            "X-Goog-SignedHeaders": "host",
        }
    )
    host = server.url.removeprefix("http://")
    canonical = f"GET\n/b-1/a\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    return f"{server.url}/b-1/a?{query}&X-Goog-Signature={hmac_signature(secret, stamp, scope, canonical)}"

"""
A local stand-in for Google's token services. It checks the requests it receives.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from asyncstore.auth.gcp.credentials import GCPCredentials, gcp_credentials
from asyncstore.config import AuthConfig, HTTPOptions
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.gcs_client import EMAIL, private_key

TARGET = "target@test.iam.gserviceaccount.com"
DELEGATE = "between@test.iam.gserviceaccount.com"
AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"
SUBJECT = f"{FAKE_TOKEN}-subject"
AWS_ID = "ASIAFAKEFAKEFAKE0001"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
AWS_TYPE = "urn:ietf:params:aws:token-type:aws4_request"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
IAM_SCOPE = "https://www.googleapis.com/auth/iam"
STORAGE = "https://www.googleapis.com/auth/devstorage.read_write"
FLAVOR = {"Metadata-Flavor": "Google"}

#: The paths of the token endpoints.
OAUTH, STS, IAM, METADATA = "/token", "/v1/token", ":generateAccessToken", "/default/token"
WORKFORCE = "/v1/oauthtoken"


class RefusedError(Exception):
    """A Google service would reject the request."""


@dataclass
class GoogleService:
    """
    Behaves like Google's token services, records its requests, and has a resource that its tokens open.

    Attributes:
        final: Suffix of the path that issues the final credentials; ``status`` and ``delay`` apply to it.
        calls: Method and path of every request.
        forms: The bodies sent to the token endpoints.
        tokens: The tokens that were issued, with their scopes.
        revoked: Tokens that the resource rejects.
        opened: Body sizes of the requests to the resource, including rejected ones.
        crowd: Requests to the resource that must arrive before the first one is answered.
        refusals: Why token requests were rejected.
    """

    final: str
    auth: AuthConfig = field(default_factory=AuthConfig)
    http: HTTPOptions | None = None
    secrets: tuple[str, ...] = (FAKE_SECRET, FAKE_TOKEN)
    status: int = 200
    delay: float = 0.0
    ttl: float = 3600.0
    url: str = ""
    universe: str | None = None
    refresh_tokens: list[str] = field(default_factory=lambda: [f"{FAKE_TOKEN}-refresh"])
    aws_skew: float = 0.0
    calls: list[tuple[str, str]] = field(default_factory=list)
    forms: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    opened: list[int] = field(default_factory=list)
    crowd: int = 0
    refusals: list[str] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    _gathered: asyncio.Event = field(default_factory=asyncio.Event)

    def fetches(self) -> int:
        return len([path for _, path in self.calls if path.endswith(self.final)])

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        self.requests.append({name.lower(): value for name, value in request.headers.items()})
        if request.path == "/resource":
            return await self._resource(request)
        if request.path.endswith(self.final):
            await asyncio.sleep(self.delay)
            if self.status != 200:
                error = {"error": "invalid_request", "error_description": f"refused: client_secret={FAKE_SECRET}"}
                return web.json_response(error, status=self.status, headers=FLAVOR)
        try:
            return await self._answer(request)
        except (RefusedError, KeyError, jwt.InvalidTokenError) as exc:
            self.refusals.append(f"{type(exc).__name__}: {exc}")
            return web.json_response({"error": "invalid_grant", "error_description": str(exc)}, status=400)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/computeMetadata/v1/"):
            return self._metadata(request)
        if request.path == "/subject":
            _require(request.headers.get("Metadata") == "True", "no header Metadata")
            return web.json_response({"access_token": SUBJECT})
        if request.path.startswith("/v1/projects/-/serviceAccounts/"):
            return await self._iam(request)
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if request.path == WORKFORCE:
            return self._workforce(request, form)
        if request.path == STS:
            self._check_exchange(form)
        else:
            self._check_grant(form)
        return web.json_response(
            {"access_token": self.issue(form.get("scope", "")), "expires_in": self.ttl, "token_type": "Bearer"}
        )

    def issue(self, scopes: str) -> str:
        token = f"{FAKE_TOKEN}-{len(self.tokens)}"
        self.tokens[token] = scopes
        return token

    def _check_grant(self, form: dict[str, str]) -> None:
        if form["grant_type"] == "refresh_token":
            _require(form["refresh_token"] == f"{FAKE_TOKEN}-refresh", "another refresh token")
            _require((form["client_id"], form["client_secret"]) == ("fake-id", FAKE_SECRET), "another client")
            return
        _require(form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer", "another grant")
        claims = jwt.decode(
            form["assertion"], private_key().public_key(), algorithms=["RS256"], audience=f"{self.url}{OAUTH}"
        )
        _require(claims["iss"] == EMAIL, "another account")
        _require(claims["exp"] - claims["iat"] <= 3600, "it lasts too long")
        _require(jwt.get_unverified_header(form["assertion"])["kid"] == "fake-key-id", "another key")
        form["scope"] = claims["scope"]
        form["subject"] = claims.get("sub", "")

    def _check_exchange(self, form: dict[str, str]) -> None:
        _require(form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange", "another grant")
        _require(form["requested_token_type"] == "urn:ietf:params:oauth:token-type:access_token", "another token")
        _require(form["audience"] == AUDIENCE, "another audience")
        if form["subject_token_type"] == AWS_TYPE:
            check_aws(form["subject_token"], time.time() + self.aws_skew)
        else:
            _require(form["subject_token_type"] == JWT_TYPE, "another type")
            _require(form["subject_token"] == SUBJECT, "another subject token")

    def _workforce(self, request: web.Request, form: dict[str, str]) -> web.Response:
        """Each refresh token is replaced by the next."""
        _require(set(form) == {"grant_type", "refresh_token"}, "other fields")
        _require(form["refresh_token"] in self.refresh_tokens, "another refresh token")
        client = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        _require(client == f"fake-id:{FAKE_SECRET}", "another client")
        replacement = f"{FAKE_TOKEN}-refresh-{len(self.tokens)}"
        self.refresh_tokens.append(replacement)
        given = {"access_token": self.issue(""), "expires_in": self.ttl, "refresh_token": replacement}
        return web.json_response(given)

    def _metadata(self, request: web.Request) -> web.Response:
        _require(request.headers.get("Metadata-Flavor") == "Google", "no Metadata-Flavor")
        _require("X-Forwarded-For" not in request.headers, "forwarded")
        path = request.path.removeprefix("/computeMetadata/v1/")
        texts = {
            "instance/service-accounts/default/email": EMAIL,
            "instance/zone": "projects/1/zones/europe-west6-b",
            "universe/universe-domain": self.universe or "googleapis.com",
        }
        if path.endswith("/default/token"):
            scopes = request.query.get("scopes", CLOUD_PLATFORM)
            document = {"access_token": self.issue(scopes), "expires_in": self.ttl, "token_type": "Bearer"}
            return web.json_response(document, headers=FLAVOR)
        if path not in texts:
            return web.Response(status=404, headers=FLAVOR)
        return web.Response(text=texts[path], headers=FLAVOR)

    async def _iam(self, request: web.Request) -> web.Response:
        document = json.loads(await request.text())
        self.forms.append(document)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.tokens or token in self.revoked:
            return web.json_response(
                {"error": {"code": 401, "message": "expired", "status": "UNAUTHENTICATED"}}, status=401
            )
        if not {CLOUD_PLATFORM, IAM_SCOPE} & set(self.tokens[token].split()):
            error = {"code": 403, "message": "insufficient scopes", "status": "PERMISSION_DENIED"}
            return web.json_response({"error": error}, status=403)
        _require(request.content_type == "application/json", "no JSON")
        account, _, verb = request.path.rpartition("/")[2].partition(":")
        if verb == "signBlob":
            signature = private_key().sign(base64.b64decode(document["payload"]), PKCS1v15(), SHA256())
            return web.json_response({"keyId": "fake", "signedBlob": base64.b64encode(signature).decode()})
        _require(account == TARGET, f"another account: {account}")
        _require(verb == "generateAccessToken", f"another verb: {verb}")
        end = datetime.now(UTC) + timedelta(seconds=self.ttl)
        given = self.issue(" ".join(document["scope"]))
        return web.json_response({"accessToken": given, "expireTime": end.strftime("%Y-%m-%dT%H:%M:%SZ")})

    async def _resource(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.opened.append(len(await request.read()))
        if len(self.opened) >= self.crowd:
            self._gathered.set()
        await self._gathered.wait()
        valid = token in self.tokens and token not in self.revoked
        return web.Response(status=200 if valid else 401)


def check_aws(token: str, now: float) -> None:
    """
    Check a signed ``GetCallerIdentity`` request like AWS does, comparing with botocore's signature.
    """
    document = json.loads(unquote(token))
    headers = {item["key"]: item["value"] for item in document["headers"]}
    names = {"Authorization", "host", "x-amz-date", "x-amz-security-token", "x-goog-cloud-target-resource"}
    _require(set(headers) == names, f"headers {sorted(headers)}")
    _require(headers["x-goog-cloud-target-resource"] == AUDIENCE, "signed for another audience")
    url = urlsplit(document["url"])
    _require(document["method"] == "POST", "another verb")
    _require(url.hostname == headers["host"] == "sts.eu-central-2.amazonaws.com", "another host")
    _require(parse_qs(url.query) == {"Action": ["GetCallerIdentity"], "Version": ["2011-06-15"]}, "another action")
    made = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    _require(abs(made - now) < 300, "the signature has expired")
    given = headers.pop("Authorization")
    signer = SigV4Auth(BotocoreCredentials(AWS_ID, FAKE_SECRET, FAKE_TOKEN), "sts", "eu-central-2")
    signed = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest("POST", document["url"], headers={name: headers[name] for name in signed})
    request.context["timestamp"] = headers["x-amz-date"]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    _require(given.endswith(f"Signature={signer.signature(text, request)}"), "another signature")
    _require(given.startswith(f"AWS4-HMAC-SHA256 Credential={AWS_ID}/"), "another key")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise RefusedError(message)


@asynccontextmanager
async def google_service(final: str) -> AsyncIterator[GoogleService]:
    """
    Run the server while the block runs.
    """
    service = GoogleService(final)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await service(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    service.url = str(server.make_url("/")).rstrip("/")
    try:
        yield service
    finally:
        await server.close()


def user_document(url: str) -> dict[str, str]:
    """The document that gcloud writes for a user."""
    return {
        "type": "authorized_user",
        "client_id": "fake-id",
        "client_secret": FAKE_SECRET,
        "refresh_token": f"{FAKE_TOKEN}-refresh",
        "token_uri": f"{url}{OAUTH}",
    }


def external_user_document(url: str) -> dict[str, str]:
    """The document that gcloud writes for a workforce pool user."""
    return {
        "type": "external_account_authorized_user",
        "audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/q",
        "client_id": "fake-id",
        "client_secret": FAKE_SECRET,
        "refresh_token": f"{FAKE_TOKEN}-refresh",
        "token_url": f"{url}{WORKFORCE}",
    }


def external_document(url: str, source: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The document that ``gcloud iam workload-identity-pools create-cred-config`` writes."""
    return {
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": JWT_TYPE,
        "token_url": f"{url}{STS}",
        "credential_source": source,
        **more,
    }


def aws_document(base: str, **source: Any) -> dict[str, Any]:
    """The same for a workload on AWS."""
    verification = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
    given = {"environment_id": "aws1", "regional_cred_verification_url": verification, **source}
    return external_document(base, given, subject_token_type=AWS_TYPE)


def impersonation_url(url: str, account: str = TARGET) -> str:
    """The URL that issues tokens of an account."""
    return f"{url}/v1/projects/-/serviceAccounts/{account}:generateAccessToken"


def impersonated_document(url: str, source: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The document that ``gcloud auth application-default login --impersonate-service-account`` writes."""
    return {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": impersonation_url(url),
        "source_credentials": source,
        **more,
    }


def credentials_of(document: Any, **settings: Any) -> GCPCredentials:
    return gcp_credentials(None, {"credentials_json": document, **settings})


async def opens(service: GoogleService, document: Any, **settings: Any) -> bool:
    """Return whether the credentials of a document open the server's resource."""
    async with AsyncExitStack() as stack:
        credentials = await stack.enter_async_context(credentials_of(document, **settings))
        session = await stack.enter_async_context(credentials.http_client([service.url]))
        return (await session.get(f"{service.url}/resource")).status == 200

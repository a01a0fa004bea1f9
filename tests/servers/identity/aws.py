"""
A stand-in for the AWS services that issue keys; it checks each caller.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.config import AuthConfig
from tests.auth.aws.sigv4_check import is_signed_by, key_id, signed_at
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.tls import ThrowawayCA

ROLE = "arn:aws:iam::123456789012:role/r"

#: The first keys that a service issues.
ID = "ASIAFAKEFAKEFAKE0001"
KEYS = AWSKeys(ID, FAKE_SECRET, FAKE_TOKEN)

#: Keys whose signature the token service accepts, besides those that it issued.
FAKE_SOURCE_SECRET = "FAKE0source0secret0for0tests0only"
SOURCE = AWSKeys("AKIAFAKEFAKEFAKE0000", FAKE_SOURCE_SECRET)
SOURCE_SETTINGS = {"access_key_id": SOURCE.access_key_id, "secret_access_key": SOURCE.secret_access_key}
#: The profile "base" with these keys.
BASE = f"[profile base]\naws_access_key_id={SOURCE.access_key_id}\naws_secret_access_key={SOURCE.secret_access_key}\n"

FAKE_IMDS_TOKEN = "FAKE0imds0token0for0tests0only"
FAKE_REFRESH_TOKEN = "FAKE0refresh0token0for0tests0only"

# AWS accepts signatures whose time differs by up to this many seconds.
_TOLERANCE = 300

_CODES = {400: "ValidationError", 403: "AccessDenied", 500: "InternalFailure"}


def ends(seconds: float = 3600) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Service:
    """
    Answers like STS, SSO and both metadata services, and records the requests.

    Attributes:
        signers: Keys that may assume roles; issued keys are added.
        token: The token that web identities, containers and sign-ons must present.
        status: Returned instead of keys, unless it is 200.
        code: The STS error code for it.
        clock: Seconds by which the clock of the service is ahead.
        renewal_status: Returned when a sign-on or a session is refreshed.
        proofs: The proofs of possession with which sessions were refreshed.
        first_version: Whether the metadata service supports only IMDSv1.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.signed_by: list[str | None] = []
        self.issued: list[AWSKeys] = []
        self.signers = {SOURCE.access_key_id: SOURCE}
        self.token = FAKE_TOKEN
        self.status = 200
        self.code: str | None = None
        self.message = "no"
        self.delay = 0.0
        self.ttl = 3600.0
        self.clock = 0.0
        self.first_version = False
        self.renewal_status = 200
        self.proofs: list[str] = []

    @property
    def form(self) -> dict[str, str]:
        """The last form sent to the token service."""
        return self.forms[-1]

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        await asyncio.sleep(self.delay)
        reply = self._error(request) if self.status != 200 else await self._answer(request)
        reply.headers["Date"] = formatdate(time.time() + self.clock, usegmt=True)
        return reply

    async def _answer(self, request: web.Request) -> web.Response:
        if (request.method, request.path) == ("POST", "/"):
            return await self._sts(request)
        if request.path == "/token":
            return await self._sign_on(request)
        if request.path == "/v1/token":
            return await self._login(request)
        if request.path == "/federation/credentials":
            return self._sso(request)
        if request.path.startswith("/latest"):
            return self._metadata(request)
        if request.headers.get("Authorization") != self.token:
            return web.json_response({"code": "AccessDenied", "message": FAKE_SECRET}, status=403)
        return web.json_response(self._document())

    def _error(self, request: web.Request) -> web.Response:
        code = self.code or _CODES.get(self.status, "Refused")
        if request.method == "POST":
            return refusal(self.status, code, self.message)
        return web.json_response({"code": code, "message": FAKE_SECRET}, status=self.status)

    def _issue(self) -> AWSKeys:
        number = len(self.issued) + 1
        more = "" if number == 1 else str(number)
        keys = AWSKeys(f"ASIAFAKEFAKEFAKE{number:04}", FAKE_SECRET + more, FAKE_TOKEN + more)
        self.issued.append(keys)
        self.signers[keys.access_key_id] = keys
        return keys

    async def _sts(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        self.signed_by.append(key_id(request))
        if form["Action"] == "AssumeRoleWithWebIdentity":
            if "Authorization" in request.headers or form["WebIdentityToken"] != self.token:
                return refusal(400, "InvalidIdentityToken", "no such token")
        elif (refused := await self._refused(request)) is not None:
            return refused
        return web.Response(text=self._granted(form["Action"]), content_type="text/xml")

    async def _refused(self, request: web.Request) -> web.Response | None:
        keys = self.signers.get(key_id(request) or "")
        if keys is None:
            return refusal(403, "InvalidClientTokenId", "the security token included in the request is invalid")
        if not await is_signed_by(request, keys):
            return refusal(403, "SignatureDoesNotMatch", "the signature we calculated does not match")
        if abs(signed_at(request) - time.time() - self.clock) > _TOLERANCE:
            return refusal(403, "SignatureDoesNotMatch", "Signature expired")
        return None

    def _granted(self, action: str) -> str:
        keys = self._issue()
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>'
            f"<AccessKeyId>{keys.access_key_id}</AccessKeyId><SecretAccessKey>{keys.secret_access_key}</SecretAccessKey>"
            f"<SessionToken>{keys.session_token}</SessionToken><Expiration>{ends(self.ttl)}</Expiration></Credentials>"
            f"<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId>"
            f"</AssumedRoleUser></{action}Result><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>"
            f"</{action}Response>"
        )

    def _document(self) -> dict[str, str]:
        keys = self._issue()
        return {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": str(keys.session_token),
            "Expiration": ends(self.ttl),
        }

    def _sso(self, request: web.Request) -> web.Response:
        if request.headers.get("x-amz-sso_bearer_token") != self.token:
            return web.json_response({"message": "Session token not found or invalid"}, status=401)
        assert request.query["role_name"]
        assert request.query["account_id"]
        keys = self._issue()
        granted: dict[str, Any] = {
            "accessKeyId": keys.access_key_id,
            "secretAccessKey": keys.secret_access_key,
            "sessionToken": keys.session_token,
            "expiration": int((time.time() + self.ttl) * 1000),
        }
        return web.json_response({"roleCredentials": granted})

    async def _sign_on(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["grantType"] == "refresh_token"
        assert asked["refreshToken"] == FAKE_REFRESH_TOKEN
        if self.renewal_status != 200:
            return web.json_response(
                {"error": "invalid_grant", "error_description": FAKE_SECRET}, status=self.renewal_status
            )
        return web.json_response({"accessToken": self.token, "expiresIn": 3600, "tokenType": "Bearer"})

    async def _login(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert set(asked) == {"clientId", "grantType", "refreshToken"}
        assert asked["grantType"] == "refresh_token"
        assert asked["refreshToken"].startswith(FAKE_REFRESH_TOKEN)
        self.proofs.append(request.headers["DPoP"])
        if self.renewal_status != 200:
            refused = {"error": "TOKEN_EXPIRED", "message": f"the session of {asked['refreshToken']} has expired"}
            return web.json_response(refused, status=self.renewal_status)
        keys = self._issue()
        token = {
            "accessKeyId": keys.access_key_id,
            "secretAccessKey": keys.secret_access_key,
            "sessionToken": keys.session_token,
        }
        granted = {"accessToken": token, "expiresIn": int(self.ttl), "tokenType": "aws_sigv4"}
        return web.json_response({**granted, "refreshToken": f"{FAKE_REFRESH_TOKEN}{len(self.issued)}"})

    def _metadata(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            if self.first_version:
                return web.Response(status=404)
            assert 0 < int(request.headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21_600
            return web.Response(text=FAKE_IMDS_TOKEN)
        if not self.first_version and request.headers.get("x-aws-ec2-metadata-token") != FAKE_IMDS_TOKEN:
            return web.Response(status=401)
        if request.path.endswith("placement/region"):
            return web.Response(text="eu-central-2")
        if request.path.endswith("security-credentials/"):
            return web.Response(text="role-1")
        assert request.path.endswith("/role-1")
        return web.json_response(self._document())


def refusal(status: int, code: str, message: str) -> web.Response:
    """Return an STS error, with a secret in a part that must not be shown."""
    return web.Response(
        status=status,
        text=f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
        f"<Detail>{FAKE_SECRET}</Detail></Error><RequestId>id-2</RequestId></ErrorResponse>",
        content_type="text/xml",
    )


@asynccontextmanager
async def serving(service: Service, tls: ThrowawayCA | None = None) -> AsyncIterator[str]:
    """Serve all paths with *service*, over TLS if *tls* is set; yields the URL."""
    app = web.Application()

    # aiohttp accepts only functions.
    async def handle(request: web.Request) -> web.StreamResponse:
        return await service(request)

    app.router.add_route("*", "/{path:.*}", handle)
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.cert_file, tls.key_file)
    server = TestServer(app, scheme="https" if tls else "http")
    await server.start_server(ssl=context)
    try:
        yield str(server.make_url("/")).rstrip("/")
    finally:
        await server.close()


async def keys_of(auth: AuthConfig | None = None, /, **settings: Any) -> AWSKeys | None:
    async with aws_credentials(auth, settings) as credentials:
        return (await credentials.get()).value


def write_profiles(directory: Path, text: str) -> None:
    (directory / "config").write_text(text)

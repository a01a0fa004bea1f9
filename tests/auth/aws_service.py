"""
A stand-in for the AWS services that give keys, on this machine.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from asyncstore.auth.aws import aws_credentials
from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.config import AuthConfig
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN

ID = "ASIAFAKEFAKEFAKE0001"
KEYS = AWSKeys(ID, FAKE_SECRET, FAKE_TOKEN)


def ends(seconds: float = 3600) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Service:
    """
    Answers as STS, SSO and both metadata services do, and counts.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.status = 200
        self.delay = 0.0
        self.ttl = 3600.0
        self.form: dict[str, str] = {}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        await asyncio.sleep(self.delay)
        if self.status != 200:
            return web.Response(status=self.status, text=f"<Error>{FAKE_SECRET}</Error>")
        if request.method == "POST":
            self.form = {name: str(value) for name, value in (await request.post()).items()}
            return web.Response(text=self._sts(self.form["Action"]), content_type="text/xml")
        if request.path == "/federation/credentials":
            assert request.headers["x-amz-sso_bearer_token"] == FAKE_TOKEN
            return web.json_response({"roleCredentials": self._sso()})
        if request.path.startswith("/latest"):
            return self._metadata(request)
        assert request.headers["Authorization"] == FAKE_TOKEN
        return web.json_response(self._document())

    def _document(self) -> dict[str, str]:
        return {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": ID,
            "SecretAccessKey": FAKE_SECRET,
            "Token": FAKE_TOKEN,
            "Expiration": ends(self.ttl),
        }

    def _sso(self) -> dict[str, Any]:
        return {
            "accessKeyId": ID,
            "secretAccessKey": FAKE_SECRET,
            "sessionToken": FAKE_TOKEN,
            "expiration": int((time.time() + self.ttl) * 1000),
        }

    def _sts(self, action: str) -> str:
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>'
            f"<AccessKeyId>{ID}</AccessKeyId><SecretAccessKey>{FAKE_SECRET}</SecretAccessKey>"
            f"<SessionToken>{FAKE_TOKEN}</SessionToken><Expiration>{ends(self.ttl)}</Expiration></Credentials>"
            f"<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId>"
            f"</AssumedRoleUser></{action}Result><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>"
            f"</{action}Response>"
        )

    def _metadata(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            return web.Response(text="imds-token")
        if request.headers.get("x-aws-ec2-metadata-token") != "imds-token":
            return web.Response(status=401)
        if request.path.endswith("placement/region"):
            return web.Response(text="eu-central-2")
        if request.path.endswith("security-credentials/"):
            return web.Response(text="role-1")
        return web.json_response(self._document())


async def keys_of(auth: AuthConfig | None = None, **settings: Any) -> AWSKeys | None:
    async with aws_credentials(auth, settings) as credentials:
        return (await credentials.get()).value


def write_profiles(directory: Path, text: str) -> None:
    (directory / "config").write_text(text)

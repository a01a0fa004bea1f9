"""
Every method of GitHub with its local service, for the tests that all methods must pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.github import App, GitHubServer
from tests.auth.cases import Case, Start

#: Looks like a GitHub token, but is not valid anywhere.
FAKE = "ghp_FAKE0token0for0tests0only"
APP_ID = "Iv1.fake"
INSTALLATION = 42
LOGIN = "octocat"

VARIABLES = (
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "GITHUB_API_URL",
    "GH_HOST",
    "GITHUB_APP_ID",
    "GITHUB_APP_PRIVATE_KEY",
    "GITHUB_APP_PRIVATE_KEY_PATH",
    "GITHUB_APP_INSTALLATION_ID",
)

_TOKENS = r"/app/installations/\d+/access_tokens"


@cache
def app_key() -> str:
    """Return the private key of an app; it is slow to generate, so all tests share one."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.PrivateFormat.TraditionalOpenSSL
    return made.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption()).decode()


@cache
def app_public_key() -> str:
    key = serialization.load_pem_private_key(app_key().encode(), None)
    pem = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, pem).decode()


def new_app(**details: Any) -> App:
    known: dict[str, Any] = {"installations": {INSTALLATION: LOGIN}, **details}
    return App(app_id=APP_ID, public_key=app_public_key(), **known)


class Asked:
    """
    An app that is registered on the GitHub test server.
    """

    http: HTTPOptions | None = None

    def __init__(self, server: GitHubServer, app: App, auth: AuthConfig) -> None:
        self.server = server
        self.app = app
        self.auth = auth
        self._fault = server.inject(Fault(status=200, path=_TOKENS, times=0))
        self._delay = 0.0
        self.secrets: tuple[str, ...] = (app_key().splitlines()[5], f"ghs_{APP_ID}_", FAKE)

    @property
    def status(self) -> int:
        return self._fault.status or 200

    @status.setter
    def status(self, status: int) -> None:
        self._fault.status = status
        self._fault.body = f'{{"message": "No to {FAKE}"}}'.encode()
        self._fault.times = 0 if status == 200 else None

    @property
    def delay(self) -> float:
        return self._delay

    @delay.setter
    def delay(self, delay: float) -> None:
        self._delay = delay
        self.app.delay = delay

    @property
    def ttl(self) -> float:
        return self.app.token_seconds

    @ttl.setter
    def ttl(self, ttl: float) -> None:
        self.app.token_seconds = ttl

    def fetches(self) -> int:
        return sum(one.path.endswith("/access_tokens") for one in self.server.requests)


class Alone:
    """
    A method that sends no request.
    """

    http: HTTPOptions | None = None
    secrets: tuple[str, ...] = (FAKE,)
    status = 200
    delay = 0.0
    ttl = 0.0

    def __init__(self, auth: AuthConfig) -> None:
        self.auth = auth

    def fetches(self) -> int:
        return 0


def github(auth_type: str, **settings: Any) -> AuthConfig:
    return AuthConfig(provider="github", auth_type=auth_type, settings=settings)


def clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all GitHub settings of this machine."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@asynccontextmanager
async def _app(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Asked]:
    await asyncio.to_thread(app_public_key)
    clear(monkeypatch)
    key = folder / "app.pem"
    key.touch(mode=0o600)
    key.write_text(app_key())
    async with GitHubServer() as server:
        auth = github(
            "app",
            client_id=APP_ID,
            private_key_file=str(key),
            installation_id=INSTALLATION,
            base_url=server.api_url,
        )
        yield Asked(server, server.add_app(new_app()), auth)


def _alone(prepare: Callable[[pytest.MonkeyPatch], AuthConfig]) -> Start:
    @asynccontextmanager
    async def start(monkeypatch: pytest.MonkeyPatch, _: Path) -> AsyncIterator[Alone]:
        clear(monkeypatch)
        yield Alone(prepare(monkeypatch))

    return start


def _token(_: pytest.MonkeyPatch) -> AuthConfig:
    return github("token", token=FAKE)


def _environment(monkeypatch: pytest.MonkeyPatch) -> AuthConfig:
    monkeypatch.setenv("GH_TOKEN", FAKE)
    return github("environment")


def _default(monkeypatch: pytest.MonkeyPatch) -> AuthConfig:
    monkeypatch.setenv("GITHUB_TOKEN", FAKE)
    return github("default")


def _anonymous(_: pytest.MonkeyPatch) -> AuthConfig:
    return github("anonymous")


_ALONE = {"default": _default, "token": _token, "environment": _environment, "anonymous": _anonymous}

CASES: dict[str, Case] = {
    "app": Case("github", "app", _app),
    **{name: Case("github", name, _alone(prepare), refreshes=False) for name, prepare in _ALONE.items()},
}

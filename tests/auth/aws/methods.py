"""
Every method of AWS with its local service, for the tests that all methods must pass.
"""

from __future__ import annotations

import hashlib
import json
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncstore.config import AuthConfig, HTTPOptions
from tests.auth.cases import Case, FromService, Start
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.identity.aws import (
    FAKE_IMDS_TOKEN,
    FAKE_REFRESH_TOKEN,
    FAKE_SOURCE_SECRET,
    ID,
    ROLE,
    SOURCE,
    SOURCE_SETTINGS,
    Service,
    ends,
    serving,
    write_profiles,
)

SECRETS = (FAKE_SECRET, FAKE_TOKEN, FAKE_SOURCE_SECRET, FAKE_IMDS_TOKEN)

#: Sets up what a method needs besides its service; says what to ask for.
Prepare = Callable[[str, pytest.MonkeyPatch, Path], AuthConfig]


class Asked(FromService):
    """
    A method whose keys the stand-in issues.

    Args:
        first: The first request of each fetch.
    """

    http: HTTPOptions | None = None
    secrets: tuple[str, ...] = SECRETS

    def __init__(self, service: Service, auth: AuthConfig, first: tuple[str, str]) -> None:
        super().__init__(service)
        self.service = service
        self.auth = auth
        self._first = first

    def fetches(self) -> int:
        return self.service.calls.count(self._first)


class Alone:
    """
    A method that sends no request.
    """

    http: HTTPOptions | None = None
    secrets: tuple[str, ...] = SECRETS
    status = 200
    delay = 0.0
    ttl = 0.0

    def __init__(self, auth: AuthConfig) -> None:
        self.auth = auth

    def fetches(self) -> int:
        return 0


class Program:
    """
    A method whose keys a program prints; a file tells the program what to do.
    """

    http: HTTPOptions | None = None
    secrets: tuple[str, ...] = SECRETS

    def __init__(self, folder: Path) -> None:
        self._orders = folder / "orders"
        self._runs = folder / "runs"
        self._status = 200
        self._delay = 0.0
        self._ttl = 3600.0
        self._write()
        self.auth = _auth("process", credential_process=[str(self._script(folder))])

    def _script(self, folder: Path) -> Path:
        script = folder / "program"
        script.write_text(
            f"#!{sys.executable} -IS\n"
            "import datetime, json, sys, time\n"
            f"open({str(self._runs)!r}, 'a').write('.')\n"
            f"runs = len(open({str(self._runs)!r}).read())\n"
            f"orders = json.load(open({str(self._orders)!r}))\n"
            "time.sleep(orders['delay'])\n"
            f"if orders['status'] != 200: sys.exit({FAKE_SECRET!r})\n"
            "end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=orders['ttl'])\n"
            f"keys = dict(AccessKeyId=f'ASIAFAKEFAKEFAKE{{runs:04}}', SecretAccessKey={FAKE_SECRET!r} + str(runs))\n"
            f"print(json.dumps(dict(keys, Version=1, SessionToken={FAKE_TOKEN!r}, Expiration=end.isoformat())))\n"
        )
        script.chmod(stat.S_IRWXU)
        return script

    def _write(self) -> None:
        self._orders.write_text(json.dumps({"status": self._status, "delay": self._delay, "ttl": self._ttl}))

    @property
    def status(self) -> int:
        return self._status

    @status.setter
    def status(self, status: int) -> None:
        self._status = status
        self._write()

    @property
    def delay(self) -> float:
        return self._delay

    @delay.setter
    def delay(self, delay: float) -> None:
        self._delay = delay
        self._write()

    @property
    def ttl(self) -> float:
        return self._ttl

    @ttl.setter
    def ttl(self, ttl: float) -> None:
        self._ttl = ttl
        self._write()

    def fetches(self) -> int:
        return len(self._runs.read_text()) if self._runs.exists() else 0


def _asked(prepare: Prepare, method: str, path: str) -> Start:
    @asynccontextmanager
    async def start(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Asked]:
        service = Service()
        async with serving(service) as url:
            yield Asked(service, prepare(url, monkeypatch, folder), (method, path))

    return start


def _alone(prepare: Callable[[pytest.MonkeyPatch], AuthConfig]) -> Start:
    @asynccontextmanager
    async def start(monkeypatch: pytest.MonkeyPatch, _: Path) -> AsyncIterator[Alone]:
        yield Alone(prepare(monkeypatch))

    return start


@asynccontextmanager
async def _program(_: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[Program]:
    yield Program(folder)


def _auth(auth_type: str, **settings: Any) -> AuthConfig:
    return AuthConfig(provider="aws", auth_type=auth_type, settings=settings)


def _assume_role(url: str, _: pytest.MonkeyPatch, __: Path) -> AuthConfig:
    return _auth("assume_role", role_arn=ROLE, sts_endpoint=url, **SOURCE_SETTINGS)


def _web_identity(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    (folder / "token").write_text(FAKE_TOKEN)
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(folder / "token"))
    return _auth("web_identity", sts_endpoint=url)


def _container(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    (folder / "token").write_text(FAKE_TOKEN)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/creds")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(folder / "token"))
    return _auth("container")


def _instance_profile(url: str, monkeypatch: pytest.MonkeyPatch, _: Path) -> AuthConfig:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    return _auth("instance_profile", metadata_endpoint=url)


def _profile(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    write_profiles(
        folder,
        f"[profile base]\naws_access_key_id={SOURCE.access_key_id}\naws_secret_access_key={SOURCE.secret_access_key}\n"
        f"[profile lab]\nrole_arn={ROLE}\nsource_profile=base\n",
    )
    return _auth("profile", profile="lab")


def sign_in(folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Path:
    """Write a profile ``work`` and the file that ``aws sso login`` stores for it; returns that file."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    write_profiles(
        folder,
        "[profile work]\nsso_session=corp\nsso_account_id=1\nsso_role_name=r\n"
        "[sso-session corp]\nsso_region=us-east-1\nsso_start_url=https://sso.example/start\n"
        "sso_registration_scopes=sso:account:access\n",
    )
    monkeypatch.setenv("HOME", str(folder))
    cached = folder / ".aws/sso/cache" / f"{hashlib.sha1(b'corp').hexdigest()}.json"
    cached.parent.mkdir(parents=True)
    cached.write_text(json.dumps({"accessToken": FAKE_TOKEN, "expiresAt": ends(), **changed}))
    cached.chmod(0o600)
    return cached


def _sso(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", url)
    sign_in(folder, monkeypatch)
    return _auth("sso", profile="work")


def log_in(folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Path:
    """Write a profile ``console`` and the file that ``aws login`` stores for it; returns that file."""
    session = "arn:aws:iam::123456789012:user/ada"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    write_profiles(folder, f"[profile console]\nlogin_session={session}\nregion=eu-west-1\n")
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(folder / "sessions"))
    cached = folder / "sessions" / f"{hashlib.sha256(session.encode()).hexdigest()}.json"
    cached.parent.mkdir()
    keys = {"accessKeyId": "ASIAFAKEOLD", "secretAccessKey": FAKE_SECRET, "sessionToken": FAKE_TOKEN}
    document = {
        "accessToken": {**keys, "accountId": "123456789012", "expiresAt": ends(-60)},
        "refreshToken": FAKE_REFRESH_TOKEN,
        "clientId": "arn:aws:signin:::devtools/same-device",
        "tokenType": "aws_sigv4",
        "dpopKey": _ec_key(),
    }
    cached.write_text(json.dumps({**document, **changed}))
    cached.chmod(0o600)
    return cached


def _ec_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


class LoggedIn(Asked):
    """
    A session whose keys have expired for each new reader: valid ones are read without the service.
    """

    def __init__(self, service: Service, file: Path) -> None:
        self._file = file
        self._expired = file.read_text()
        super().__init__(service, _auth("login", profile="console"), ("POST", "/v1/token"))

    @property
    def auth(self) -> AuthConfig:
        self._file.write_text(self._expired)
        return self._auth

    @auth.setter
    def auth(self, auth: AuthConfig) -> None:
        self._auth = auth


@asynccontextmanager
async def _login(monkeypatch: pytest.MonkeyPatch, folder: Path) -> AsyncIterator[LoggedIn]:
    service = Service()
    async with serving(service) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SIGNIN", url)
        yield LoggedIn(service, log_in(folder, monkeypatch))


def _default(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> AuthConfig:
    _container(url, monkeypatch, folder)
    return _auth("default")


def _environment(monkeypatch: pytest.MonkeyPatch) -> AuthConfig:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FAKE_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", FAKE_TOKEN)
    return _auth("environment")


def _static(_: pytest.MonkeyPatch) -> AuthConfig:
    return _auth("static", access_key_id=ID, secret_access_key=FAKE_SECRET, session_token=FAKE_TOKEN)


def _anonymous(_: pytest.MonkeyPatch) -> AuthConfig:
    return _auth("anonymous")


_ASKED: dict[str, tuple[Prepare, str, str]] = {
    "default": (_default, "GET", "/creds"),
    "profile": (_profile, "POST", "/"),
    "sso": (_sso, "GET", "/federation/credentials"),
    "assume_role": (_assume_role, "POST", "/"),
    "web_identity": (_web_identity, "POST", "/"),
    "container": (_container, "GET", "/creds"),
    "instance_profile": (_instance_profile, "PUT", "/latest/api/token"),
}

_ALONE = {"static": _static, "environment": _environment, "anonymous": _anonymous}

CASES: dict[str, Case] = {
    **{name: Case("aws", name, _asked(*how)) for name, how in _ASKED.items()},
    "process": Case("aws", "process", _program),
    "login": Case("aws", "login", _login),
    **{name: Case("aws", name, _alone(prepare), refreshes=False) for name, prepare in _ALONE.items()},
}

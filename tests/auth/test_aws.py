"""
Every way to find AWS keys, against servers on this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import stat
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from botocore.tokens import SSOTokenProvider

from asyncstore.auth import aws_sdk
from asyncstore.auth.aws import aws_credentials
from asyncstore.auth.credentials import Scope, Secret
from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, NotSupportedError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve

ID = "ASIAFAKEFAKEFAKE0001"
KEYS = AWSKeys(ID, FAKE_SECRET, FAKE_TOKEN)


def _ends(seconds: float = 3600) -> str:
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
            "Expiration": _ends(self.ttl),
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
            f"<SessionToken>{FAKE_TOKEN}</SessionToken><Expiration>{_ends(self.ttl)}</Expiration></Credentials>"
            f"<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId>"
            f"</AssumedRoleUser></{action}Result><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>"
            f"</{action}Response>"
        )

    def _metadata(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            return web.Response(text="imds-token")
        if request.headers.get("x-aws-ec2-metadata-token") != "imds-token":
            return web.Response(status=401)
        if request.path.endswith("availability-zone/"):
            return web.Response(text="eu-central-2b")
        if request.path.endswith("security-credentials/"):
            return web.Response(text="role-1")
        return web.json_response(self._document())


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service, serve: Serve) -> str:
    return await serve(service)


def _profiles(directory: Path, text: str) -> None:
    (directory / "config").write_text(text)


async def _keys(auth: AuthConfig | None = None, **settings: Any) -> AWSKeys | None:
    async with aws_credentials(auth, settings) as credentials:
        return (await credentials.get()).value


# Core methods: no SDK.


async def _sleepy() -> str:
    return FAKE_SECRET


@pytest.mark.parametrize("secret", [FAKE_SECRET, Secret(FAKE_SECRET), lambda: Secret(FAKE_SECRET), _sleepy])
async def test_static_keys(secret: object) -> None:
    """
    Keys come as text, secrets, or functions of either kind.
    """
    assert await _keys(access_key_id=ID, aws_secret_access_key=secret, session_token=FAKE_TOKEN) == KEYS


async def test_settings_of_others_are_left() -> None:
    """
    The factory takes what it knows out of the settings, and leaves the rest to the driver.
    """
    settings = {"access_key_id": ID, "secret_access_key": "fake", "addressing_style": "path"}

    credentials = aws_credentials(None, settings)

    assert settings == {"addressing_style": "path"}
    assert credentials.auth_type == "static"


async def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The three variables are the keys, for ``environment`` and first of all for ``default``.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FAKE_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", FAKE_TOKEN)
    monkeypatch.setattr(aws_sdk, "find_keys", None)

    assert await _keys(AuthConfig(auth_type="environment")) == KEYS
    assert await _keys() == KEYS


async def test_half_a_key_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An id without its secret is a mistake to report, not a reason to look on.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)

    with pytest.raises(ConfigurationError, match="AWS_SECRET_ACCESS_KEY"):
        await _keys()


async def test_anonymous() -> None:
    """
    Anonymous access has no keys, and can sign no URL.
    """
    async with aws_credentials(AuthConfig(auth_type="anonymous")) as credentials:
        lease = await credentials.get()

        assert credentials.anonymous
        assert lease.value is None
        with pytest.raises(NotSupportedError):
            credentials.presign("GET", "https://h/k", lease, Scope("r"), expires=timedelta(hours=1))


@pytest.mark.parametrize(
    ("auth", "settings", "message"),
    [
        (AuthConfig(auth_type="magic"), {}, "no auth_type 'magic'; it has default, static"),
        (AuthConfig(settings={"acess_key_id": "x"}), {}, "unknown settings .*acess_key_id.*access_key_id"),
        (AuthConfig(auth_type="static"), {}, "need access_key_id and secret_access_key"),
        (None, {"access_key_id": "x"}, "need secret_access_key"),
        (None, {"access_key_id": "x", "secret_access_key": "y", "anonymous": True}, "anonymous access needs no"),
        (AuthConfig(auth_type="profile"), {"secret_access_key": "y"}, "takes no secret_access_key"),
        (AuthConfig(auth_type="profile"), {"anonymous": True}, "is not anonymous"),
        (None, {"access_key_id": "x", "aws_access_key_id": "y"}, "not both"),
    ],
)
def test_wrong_settings_are_refused(auth: AuthConfig | None, settings: dict[str, Any], message: str) -> None:
    """
    What cannot be meant is refused when credentials are made, in words that help.
    """
    with pytest.raises(ConfigurationError, match=message):
        aws_credentials(auth, settings)


async def test_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A method that has nothing to offer gives way to the next; if all have none, all are named.
    """
    nothing = AuthConfig(auth_type="environment")
    anonymous = AuthConfig(auth_type="environment", fallback=AuthConfig(auth_type="anonymous"))

    assert await _keys(anonymous) is None
    with pytest.raises(UnauthenticatedError, match=r"AWS_ACCESS_KEY_ID.*AWS_ACCESS_KEY_ID"):
        await _keys(AuthConfig(auth_type="environment", fallback=nothing))


# Methods of the SDK.


async def test_profile_with_keys(aws_files: Path) -> None:
    """
    Keys of a named profile are read from the shared file.
    """
    (aws_files / "credentials").write_text(
        f"[lab]\naws_access_key_id={ID}\naws_secret_access_key={FAKE_SECRET}\naws_session_token={FAKE_TOKEN}\n"
    )

    async with aws_credentials(None, {"profile": "lab"}) as credentials:
        assert (await credentials.get()).value == KEYS
        assert credentials.source == "profile 'lab' (shared-credentials-file)"


async def test_missing_profile_is_named() -> None:
    """
    A profile that does not exist is a wrong setting.
    """
    with pytest.raises(ConfigurationError, match="'lab'"):
        await _keys(profile="lab")


async def test_assume_role(aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A role of a profile is assumed with the keys of its source, once for fifty callers.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    _profiles(
        aws_files,
        "[profile base]\naws_access_key_id=AKIDFAKE\naws_secret_access_key=fake\n"
        "[profile role]\nrole_arn=arn:aws:iam::123456789012:role/r\nsource_profile=base\nexternal_id=ext-1\n",
    )

    async with aws_credentials(None, {"profile": "role"}) as credentials:
        leases = await asyncio.gather(*(credentials.get() for _ in range(50)))

    assert {lease.value for lease in leases} == {KEYS}
    assert len(service.calls) == 1
    assert service.form["ExternalId"] == "ext-1"


async def test_short_role_is_not_renewed_by_every_request(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A session of a quarter of an hour serves many requests.
    """
    service.ttl = 900
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    token = aws_files / "token"
    token.write_text(FAKE_TOKEN)

    async with aws_credentials(
        None, {"role_arn": "arn:aws:iam::123456789012:role/r", "web_identity_token_file": token}
    ) as credentials:
        for _ in range(5):
            await credentials.get()
        lease = credentials.current()

    assert len(service.calls) == 1
    assert lease is not None
    assert lease.expires_at == pytest.approx(time.monotonic() + 840, abs=10)


async def test_web_identity(aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The token file and the role of the environment are traded for keys, without signing.
    """
    token = aws_files / "token"
    token.write_text(FAKE_TOKEN)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))

    assert await _keys(AuthConfig(auth_type="web_identity")) == KEYS
    assert await _keys() == KEYS
    assert service.form["WebIdentityToken"] == FAKE_TOKEN


async def test_container(aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The container's service is asked with the token of its file; seldom, even if the keys do not last.
    """
    service.ttl = 600
    token = aws_files / "token"
    token.write_text(FAKE_TOKEN)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/creds")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))

    assert await _keys(AuthConfig(auth_type="container")) == KEYS
    assert service.calls == [("GET", "/creds")]


async def test_instance_profile(url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The instance's service gives keys and region, by its second version.
    """
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)

    async with aws_credentials(AuthConfig(auth_type="instance_profile")) as credentials:
        assert (await credentials.get()).value == KEYS
        assert [method for method, _ in service.calls] == ["PUT", "GET", "GET"]
        assert await credentials.region() == "eu-central-2"


async def test_first_version_of_instance_metadata_is_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A service without tokens is not asked for keys, unless that is allowed.
    """
    calls = []

    async def first_version(request: web.Request) -> web.StreamResponse:
        calls.append(request.method)
        if request.method == "PUT":
            return web.Response(status=404)
        if request.path.endswith("security-credentials/"):
            return web.Response(text="role-1")
        return web.json_response(Service()._document())

    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", await serve(first_version))

    with pytest.raises((UnauthenticatedError, UnavailableError)):
        await _keys(AuthConfig(auth_type="instance_profile"))
    assert set(calls) == {"PUT"}
    assert await _keys(AuthConfig(auth_type="instance_profile", settings={"imds_v1": True})) == KEYS


async def test_sso(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The token of a sign-on is traded for the keys of a role.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", url)
    _profiles(
        aws_files,
        "[profile work]\nsso_session=corp\nsso_account_id=1\nsso_role_name=r\n"
        "[sso-session corp]\nsso_region=us-east-1\nsso_start_url=https://sso.example/start\n",
    )
    # botocore has worked out the directory by the time that HOME is ours.
    monkeypatch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", str(aws_files))
    cached = aws_files / f"{hashlib.sha1(b'corp').hexdigest()}.json"
    cached.write_text(json.dumps({"accessToken": FAKE_TOKEN, "expiresAt": _ends()}))

    assert await _keys(AuthConfig(auth_type="sso"), profile="work") == KEYS


def _process(directory: Path, script: str) -> None:
    file = directory / "process"
    file.write_text(f"#!{sys.executable}\n{script}\n")
    file.chmod(stat.S_IRWXU)
    _profiles(directory, f"[profile lab]\ncredential_process={file}\n")


async def test_process(aws_files: Path) -> None:
    """
    A program can print the keys.
    """
    document = {"Version": 1, "AccessKeyId": ID, "SecretAccessKey": FAKE_SECRET, "SessionToken": FAKE_TOKEN}
    _process(aws_files, f"print({json.dumps(document)!r})")

    assert await _keys(profile="lab") == KEYS


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"import sys; sys.exit('{FAKE_SECRET}')", "ended with an error"),
        (f"print('{FAKE_SECRET}')", "no valid JSON"),
    ],
)
async def test_process_that_goes_wrong_tells_nothing(aws_files: Path, script: str, message: str) -> None:
    """
    What the program wrote is not repeated.
    """
    _process(aws_files, script)

    with pytest.raises(UnauthenticatedError, match=message) as caught:
        await _keys(profile="lab")
    assert FAKE_SECRET not in "".join(traceback.format_exception(caught.value))


async def test_process_that_hangs_is_killed(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A program has a time limit, and does not outlive it.
    """
    monkeypatch.setattr(aws_sdk, "TIMEOUT", 2.0)
    _process(
        aws_files, f"import os, time; open({str(aws_files / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )

    with pytest.raises(UnavailableError, match="no answer"):
        await _keys(profile="lab")

    pid = (aws_files / "pid").read_text()
    await _until(lambda: not Path(f"/proc/{pid}").exists())


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def test_mfa_does_not_prompt(aws_files: Path) -> None:
    """
    Nobody sits at the keyboard of a library.
    """
    _profiles(
        aws_files,
        "[profile base]\naws_access_key_id=AKIDFAKE\naws_secret_access_key=fake\n"
        "[profile role]\nrole_arn=arn:aws:iam::123456789012:role/r\nsource_profile=base\nmfa_serial=serial\n",
    )

    with pytest.raises(ConfigurationError, match="MFA"):
        await _keys(profile="role")


async def test_chain_says_what_it_tried() -> None:
    """
    Whoever has no credentials learns where they were looked for.
    """
    with pytest.raises(UnauthenticatedError, match=r"tried env, assume-role, .*container-role, iam-role"):
        await _keys()


async def test_missing_sdk_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without the SDK the error says what to install.
    """
    monkeypatch.setitem(sys.modules, "aiobotocore", None)

    with pytest.raises(ConfigurationError, match=r"asyncstore\[s3\]"):
        await _keys(profile="lab")


async def test_failing_service_is_asked_once(
    aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Forty callers of a service that is down wait for one resolution, and the next twenty for none.
    """
    service.status = 500
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/creds")
    async with aws_credentials(AuthConfig(auth_type="container")) as credentials:
        first = await asyncio.gather(*(credentials.get() for _ in range(40)), return_exceptions=True)
        asked = len(service.calls)
        second = await asyncio.gather(*(credentials.get() for _ in range(20)), return_exceptions=True)

    assert all(isinstance(error, UnavailableError) for error in [*first, *second])
    # One resolution is the SDK's own three attempts.
    assert asked == len(service.calls) <= 3


async def test_cancelled_waiter_takes_nobody_along(
    url: str, aws_files: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Cancelling the caller that started the fetch leaves it to the others.
    """
    service.delay = 0.2
    (aws_files / "token").write_text(FAKE_TOKEN)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/creds")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(aws_files / "token"))
    async with aws_credentials(AuthConfig(auth_type="container")) as credentials:
        waiters = [asyncio.create_task(credentials.get()) for _ in range(5)]
        await asyncio.sleep(0.05)
        waiters[0].cancel()
        leases = await asyncio.gather(*waiters[1:])

    assert {lease.value for lease in leases} == {KEYS}
    assert len(service.calls) == 1


async def test_nothing_secret_is_printed(
    aws_files: Path,
    url: str,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """
    With every logger at DEBUG, no secret is in a log, a repr or a traceback, in success and in failure.
    """
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    _profiles(
        aws_files,
        f"[profile base]\naws_access_key_id=AKIDFAKE\naws_secret_access_key={FAKE_SECRET}\n"
        f"aws_session_token={FAKE_TOKEN}\n"
        "[profile role]\nrole_arn=arn:aws:iam::123456789012:role/r\nsource_profile=base\n",
    )
    shown = []
    for status in (200, 500):
        service.status = status
        async with aws_credentials(None, {"profile": "role"}) as credentials:
            shown += [repr(credentials), credentials.source]
            try:
                shown.append(repr(await credentials.get()))
            except UnavailableError as exc:
                shown += traceback.format_exception(exc)

    printed = "\n".join([*shown, caplog.text, *capfd.readouterr()])
    assert "botocore" in caplog.text
    assert FAKE_SECRET not in printed
    assert FAKE_TOKEN not in printed


# What drivers ask besides keys.


async def test_region_order(aws_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is given goes before AWS_REGION, that before AWS_DEFAULT_REGION, and that before the profile.
    """
    keys = {"access_key_id": ID, "secret_access_key": "fake"}

    async def region(given: str | None = None) -> str | None:
        return await aws_credentials(None, dict(keys), region=given).region()

    assert await region() is None
    _profiles(aws_files, "[default]\nregion = from-profile\n")
    assert await region() == "from-profile"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "from-default-variable")
    assert await region() == "from-default-variable"
    monkeypatch.setenv("AWS_REGION", "from-variable")
    assert await region() == "from-variable"
    assert await region("given") == "given"


def test_service_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The service's own variable goes before the one for all services.
    """
    credentials = aws_credentials(AuthConfig(auth_type="anonymous"))

    assert credentials.service_endpoint() is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://all.example")
    assert credentials.service_endpoint() == "https://all.example"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example")
    assert credentials.service_endpoint("s3") == "https://s3.example"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert credentials.service_endpoint() is None


async def test_sdk_client_signs_with_our_lease(serve: Serve) -> None:
    """
    The native client asks our credentials, one fetch for twenty requests.
    """
    seen = []
    fetched = []

    async def bucket(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response()

    def secret() -> str:
        fetched.append(1)
        return FAKE_SECRET

    url = await serve(bucket)
    async with aws_credentials(None, {"access_key_id": ID, "secret_access_key": secret}, region="r-1") as credentials:
        session = await credentials.for_botocore()
        async with session.create_client("s3", endpoint_url=url) as client:
            await asyncio.gather(*(client.head_object(Bucket="b", Key="k") for _ in range(20)))

    assert len(seen) == 20
    assert all(header.startswith(f"AWS4-HMAC-SHA256 Credential={ID}/") and "/r-1/s3/" in header for header in seen)
    assert len(fetched) == 1


async def test_anonymous_sdk_client_does_not_sign(serve: Serve) -> None:
    """
    The native client of anonymous access is anonymous.
    """
    seen = []

    async def bucket(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response()

    url = await serve(bucket)
    session = await aws_credentials(None, {"anonymous": True}, region="r-1").for_botocore()
    async with session.create_client("s3", endpoint_url=url) as client:
        await client.head_object(Bucket="b", Key="k")

    assert seen == [None]

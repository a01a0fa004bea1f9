"""
AWS keys by the SDK's resolvers, against services on this machine.
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
from pathlib import Path

import pytest
from aiohttp import web
from botocore.tokens import SSOTokenProvider

from asyncstore.auth import aws_sdk
from asyncstore.auth.aws import aws_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.aws_service import ID, KEYS, Service, ends, keys_of, write_profiles
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def url(service: Service, serve: Serve) -> str:
    return await serve(service)


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
        await keys_of(profile="lab")


async def test_assume_role(aws_files: Path, url: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A role of a profile is assumed with the keys of its source, once for fifty callers.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    write_profiles(
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

    assert await keys_of(AuthConfig(auth_type="web_identity")) == KEYS
    assert await keys_of() == KEYS
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

    assert await keys_of(AuthConfig(auth_type="container")) == KEYS
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
        await keys_of(AuthConfig(auth_type="instance_profile"))
    assert set(calls) == {"PUT"}
    assert await keys_of(AuthConfig(auth_type="instance_profile", settings={"imds_v1": True})) == KEYS


async def test_sso(aws_files: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The token of a sign-on is traded for the keys of a role.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", url)
    write_profiles(
        aws_files,
        "[profile work]\nsso_session=corp\nsso_account_id=1\nsso_role_name=r\n"
        "[sso-session corp]\nsso_region=us-east-1\nsso_start_url=https://sso.example/start\n",
    )
    # botocore has worked out the directory by the time that HOME is ours.
    monkeypatch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", str(aws_files))
    cached = aws_files / f"{hashlib.sha1(b'corp').hexdigest()}.json"
    cached.write_text(json.dumps({"accessToken": FAKE_TOKEN, "expiresAt": ends()}))

    assert await keys_of(AuthConfig(auth_type="sso"), profile="work") == KEYS


def _process(directory: Path, script: str) -> None:
    file = directory / "process"
    file.write_text(f"#!{sys.executable}\n{script}\n")
    file.chmod(stat.S_IRWXU)
    write_profiles(directory, f"[profile lab]\ncredential_process={file}\n")


async def test_process(aws_files: Path) -> None:
    """
    A program can print the keys.
    """
    document = {"Version": 1, "AccessKeyId": ID, "SecretAccessKey": FAKE_SECRET, "SessionToken": FAKE_TOKEN}
    _process(aws_files, f"print({json.dumps(document)!r})")

    assert await keys_of(profile="lab") == KEYS


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
        await keys_of(profile="lab")
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
        await keys_of(profile="lab")

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
    write_profiles(
        aws_files,
        "[profile base]\naws_access_key_id=AKIDFAKE\naws_secret_access_key=fake\n"
        "[profile role]\nrole_arn=arn:aws:iam::123456789012:role/r\nsource_profile=base\nmfa_serial=serial\n",
    )

    with pytest.raises(ConfigurationError, match="MFA"):
        await keys_of(profile="role")


async def test_chain_says_what_it_tried() -> None:
    """
    Whoever has no credentials learns where they were looked for.
    """
    with pytest.raises(UnauthenticatedError, match=r"environment: .*; profile: .*; web_.*; container: .*; instance_"):
        await keys_of()


async def test_missing_sdk_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without the SDK the error says what to install.
    """
    monkeypatch.setitem(sys.modules, "aiobotocore", None)

    with pytest.raises(ConfigurationError, match=r"asyncstore\[s3\]"):
        await keys_of(profile="lab")


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
    write_profiles(
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

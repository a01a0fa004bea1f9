"""
Roles that are assumed with keys or with a token of an identity provider.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from asyncstore import AuthConfig, HTTPOptions
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_SECRET
from tests.servers.identity.aws import (
    FAKE_SOURCE_SECRET,
    KEYS,
    ROLE,
    SOURCE,
    SOURCE_SETTINGS,
    Service,
    keys_of,
    write_profiles,
)


async def test_everything_that_is_set_is_sent(sts: str, service: Service) -> None:
    """
    The request contains all settings of the session and is signed with the source's keys.
    """
    keys = await keys_of(
        AuthConfig(auth_type="assume_role"),
        role_arn=ROLE,
        **SOURCE_SETTINGS,
        role_session_name="lab-1",
        external_id="external-1",
        duration=900,
        policy={"Version": "2012-10-17", "Statement": []},
        policy_arns="arn:aws:iam::aws:policy/A, arn:aws:iam::aws:policy/B",
        source_identity="ada",
        tags="team=red,stage=test",
        transitive_tag_keys=["team"],
    )

    assert keys == KEYS
    assert service.signed_by == [SOURCE.access_key_id]
    assert service.form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "lab-1",
        "ExternalId": "external-1",
        "DurationSeconds": "900",
        "Policy": '{"Version": "2012-10-17", "Statement": []}',
        "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/A",
        "PolicyArns.member.2.arn": "arn:aws:iam::aws:policy/B",
        "SourceIdentity": "ada",
        "Tags.member.1.Key": "team",
        "Tags.member.1.Value": "red",
        "Tags.member.2.Key": "stage",
        "Tags.member.2.Value": "test",
        "TransitiveTagKeys.member.1": "team",
    }


async def test_what_is_not_set_is_not_sent(sts: str, service: Service) -> None:
    """
    Without further settings the request names only the role and the session.
    """
    await keys_of(role_arn=ROLE, **SOURCE_SETTINGS)

    assert set(service.form) == {"Action", "Version", "RoleArn", "RoleSessionName"}
    assert service.form["RoleSessionName"].startswith("asyncstore-")


async def test_tags_as_mapping_and_policy_as_text(sts: str, service: Service) -> None:
    """
    Tags can also be a mapping and a policy text.
    """
    policy = json.dumps({"Statement": []})

    await keys_of(role_arn=ROLE, **SOURCE_SETTINGS, tags={"team": "a=b"}, policy=policy)

    assert (service.form["Tags.member.1.Key"], service.form["Tags.member.1.Value"]) == ("team", "a=b")
    assert service.form["Policy"] == policy


async def test_wrong_secret_is_refused(sts: str) -> None:
    """
    The service checks the signature: a wrong secret gets no keys.
    """
    wrong = {**SOURCE_SETTINGS, "secret_access_key": "FAKE-other"}

    with pytest.raises(UnauthenticatedError, match="signature we calculated") as caught:
        await keys_of(role_arn=ROLE, **wrong)
    assert (caught.value.code, caught.value.status) == ("SignatureDoesNotMatch", 403)


async def _code() -> str:
    await asyncio.sleep(0.01)
    return "123456"


@pytest.mark.parametrize("code", [_code, lambda: "123456"])
async def test_mfa(sts: str, service: Service, code: Any) -> None:
    """
    A function returns the code of the device and is called for each request.
    """
    asked = []

    async def mfa_token() -> str:
        asked.append(1)
        value = code()
        return value if isinstance(value, str) else str(await value)

    settings = {"role_arn": ROLE, **SOURCE_SETTINGS, "mfa_serial": "arn:aws:iam::1:mfa/ada", "mfa_token": mfa_token}
    async with aws_credentials(None, settings) as credentials:
        lease = await credentials.get()
        await credentials.refresh(lease)

    assert len(asked) == 2
    assert [(form["SerialNumber"], form["TokenCode"]) for form in service.forms] == [
        ("arn:aws:iam::1:mfa/ada", "123456")
    ] * 2


async def test_invalid_mfa_code(sts: str, service: Service) -> None:
    """
    A code that is not six digits is neither sent nor shown.
    """
    with pytest.raises(UnauthenticatedError, match="six digits") as caught:
        await keys_of(role_arn=ROLE, **SOURCE_SETTINGS, mfa_serial="serial", mfa_token=lambda: "FAKE-12345")
    assert "FAKE-12345" not in str(caught.value)
    assert service.calls == []


def _source_as_config() -> Any:
    return AuthConfig(auth_type="static", settings=SOURCE_SETTINGS)


def _source_as_table() -> Any:
    return {"auth_type": "static", "settings": SOURCE_SETTINGS}


def _source_with_fallback() -> Any:
    return {"auth_type": "environment", "fallback": {"auth_type": "static", "settings": SOURCE_SETTINGS}}


@pytest.mark.parametrize("source", [_source_as_config, _source_as_table, _source_with_fallback])
async def test_source(sts: str, service: Service, source: Any) -> None:
    """
    Any other configuration can assume the role, as a record or as the tables of a file.
    """
    assert await keys_of(role_arn=ROLE, source=source()) == KEYS
    assert service.signed_by == [SOURCE.access_key_id]


async def test_source_is_the_default_chain(sts: str, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a source the default chain assumes the role.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SOURCE.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SOURCE.secret_access_key)

    async with aws_credentials(None, {"role_arn": ROLE}) as credentials:
        assert (await credentials.get()).value == KEYS
        assert credentials.setting_sources() == {
            "role_arn": "settings",
            "source.access_key_id": "AWS_ACCESS_KEY_ID",
            "source.secret_access_key": "AWS_SECRET_ACCESS_KEY",
        }
        assert credentials.source == f"{ROLE}, with default (environment: environment)"


async def test_role_of_a_role_of_a_role(sts: str, service: Service) -> None:
    """
    The keys of each role sign for the next, with their session token.
    """
    source: Any = AuthConfig(auth_type="static", settings=SOURCE_SETTINGS)
    for name in "ab":
        source = AuthConfig(auth_type="assume_role", settings={"role_arn": f"{ROLE}/{name}", "source": source})

    keys = await keys_of(role_arn=f"{ROLE}/c", source=source)

    assert keys == service.issued[2]
    assert [form["RoleArn"] for form in service.forms] == [f"{ROLE}/{name}" for name in "abc"]
    assert service.signed_by == [SOURCE.access_key_id, *(issued.access_key_id for issued in service.issued[:2])]


async def test_expired_source_is_refreshed(sts: str, service: Service) -> None:
    """
    If STS reports that the source's keys have expired, they are refreshed and the request is repeated.
    """
    rotated = AWSKeys("AKIAFAKEFAKEFAKE0009", "FAKE-rotated")
    service.signers[rotated.access_key_id] = rotated
    secrets = iter([SOURCE, rotated])
    now: list[AWSKeys] = []

    def key_id() -> str:
        now.append(next(secrets))
        service.status, service.code = (400, "ExpiredToken") if now[-1] is SOURCE else (200, None)
        return now[-1].access_key_id

    source = AuthConfig(
        auth_type="static",
        settings={"access_key_id": key_id, "secret_access_key": lambda: now[-1].secret_access_key},
    )

    assert await keys_of(role_arn=ROLE, source=source) == KEYS
    assert service.signed_by == [rotated.access_key_id]
    assert len(service.calls) == 2


async def test_clock_skew_is_corrected(sts: str, service: Service) -> None:
    """
    Clock skew of a quarter of an hour costs one more request, once.
    """
    service.clock = 900
    async with aws_credentials(None, {"role_arn": ROLE, **SOURCE_SETTINGS}) as credentials:
        lease = await credentials.get()
        assert len(service.calls) == 2
        await credentials.refresh(lease)

    assert len(service.calls) == 3


async def test_refusal_names_the_reason_and_no_secret(sts: str, service: Service) -> None:
    """
    The error shows the message of STS, which says who may not do what, but nothing that was sent.
    """
    service.status = 403
    service.message = f"User: arn:aws:iam::1:user/ada may not sts:AssumeRole ({FAKE_SOURCE_SECRET})"

    with pytest.raises(UnauthenticatedError, match=r"user/ada may not sts:AssumeRole") as caught:
        await keys_of(role_arn=ROLE, **SOURCE_SETTINGS)
    assert "FAKE0" not in str(caught.value) + repr(caught.value)
    assert (caught.value.code, caught.value.request_id) == ("AccessDenied", "id-2")


@pytest.mark.parametrize(("status", "code"), [(503, "ServiceUnavailable"), (400, "Throttling")])
async def test_transient_errors(sts: str, service: Service, status: int, code: str) -> None:
    """
    A busy service is unavailable; a rejection is permanent.
    """
    service.status, service.code = status, code

    with pytest.raises(UnavailableError) as caught:
        await keys_of(role_arn=ROLE, **SOURCE_SETTINGS)
    assert caught.value.code == code


@pytest.mark.parametrize("endpoint", ["http://sts.example", "ftp://127.0.0.1", "http://127.0.0.1:1@sts.example", "sts"])
async def test_plain_http_is_for_this_machine(endpoint: str) -> None:
    """
    Keys are not requested over plain HTTP from another host.
    """
    with pytest.raises(ConfigurationError, match=r"use https|is not the URL"):
        await keys_of(role_arn=ROLE, **SOURCE_SETTINGS, sts_endpoint=endpoint)


async def test_token_service_of_the_region(aws_files: Path, sts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The region of the token service is the given one, else that of the environment or the source's profile, else none.
    """
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    unreachable = HTTPOptions(proxy=f"{sts}/FAKE-no-proxy")

    async def asked(region: str | None = None) -> str:
        source = AuthConfig(auth_type="static", settings=SOURCE_SETTINGS)
        auth = AuthConfig(auth_type="assume_role", settings={"role_arn": ROLE, "source": source}, region=region)
        async with aws_credentials(auth, http=unreachable) as credentials:
            with pytest.raises(UnavailableError, match="no answer from") as caught:
                await credentials.get()
        return str(caught.value)

    assert "//sts.amazonaws.com" in await asked()
    write_profiles(aws_files, "[default]\nregion = cn-north-1\n")
    assert "//sts.cn-north-1.amazonaws.com.cn" in await asked()
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert "//sts.eu-west-1.amazonaws.com" in await asked()
    assert "//sts.us-west-2.amazonaws.com" in await asked("us-west-2")


async def test_region_that_is_not_of_aws(sts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A region of another provider has no token service of AWS unless an endpoint is set.
    """
    settings = {"role_arn": ROLE, **SOURCE_SETTINGS}
    assert await keys_of(AuthConfig(region="lab"), **settings, sts_endpoint=sts) == KEYS
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")

    with pytest.raises(ConfigurationError, match="'lab' is not an AWS region"):
        await keys_of(AuthConfig(region="lab"), **settings)


async def test_expired_keys_are_rejected(sts: str, service: Service) -> None:
    """
    A service that issues expired keys is not asked again at once.
    """
    service.ttl = -10

    with pytest.raises(UnauthenticatedError, match="already expired"):
        await keys_of(role_arn=ROLE, **SOURCE_SETTINGS)
    assert service.issued[0].secret_access_key == FAKE_SECRET

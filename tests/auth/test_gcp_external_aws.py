"""
External accounts of AWS: a signed question instead of a token.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from google.auth import aws as google_aws
from google.auth import external_account as google_external

from asyncstore.auth import gcp_subject_aws, token_service
from asyncstore.config import AuthConfig
from asyncstore.errors import UnauthenticatedError
from tests.auth.aws_service import Service as AWSService
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.auth.gcp_methods import without_own
from tests.auth.gcp_service import (
    AWS_ID,
    STS,
    GoogleService,
    aws_document,
    credentials_of,
    google_service,
    opens,
)


@pytest.fixture(autouse=True)
def nobodys_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of this machine's user."""
    without_own(monkeypatch, tmp_path)


@pytest.fixture
async def service() -> AsyncIterator[GoogleService]:
    async with google_service(STS) as running:
        yield running


async def test_aws_is_signed_as_google_does(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The signed question has the parts that Google's own client sends, in its form.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", AWS_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FAKE_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", FAKE_TOKEN)
    monkeypatch.setenv("AWS_REGION", "eu-central-2")
    document = aws_document(service.url)
    # google-auth's functions are untyped, though the package says that it has types.
    theirs: Any = google_aws.Credentials
    theirs = theirs.from_info(document)

    assert await opens(service, document)
    ours = json.loads(unquote(service.forms[0]["subject_token"]))
    other = json.loads(unquote(theirs.retrieve_subject_token(None)))
    assert service.forms[0]["grant_type"] == google_external._STS_GRANT_TYPE
    assert (ours["url"], ours["method"]) == (other["url"], other["method"])
    assert {item["key"] for item in ours["headers"]} == {item["key"] for item in other["headers"]}
    # For whom it is cannot be changed on the way, which Google recommends.
    signature = next(item["value"] for item in ours["headers"] if item["key"] == "Authorization")
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource," in signature


async def test_aws_instance(service: GoogleService, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without variables the instance's service gives keys and region, by its second version.
    """
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    instance = AWSService()
    url = await serve(instance)
    document = aws_document(service.url, url=f"{url}/latest/meta-data/iam/security-credentials")

    assert await opens(service, document)
    assert ("PUT", "/latest/api/token") in instance.calls
    assert ("GET", "/latest/meta-data/placement/region") in instance.calls


async def test_aws_keys_of_the_environment_in_the_region_of_the_instance(
    service: GoogleService, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Keys come from variables and the region from the instance, if no variable has it.
    """
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", AWS_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", FAKE_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", FAKE_TOKEN)
    instance = AWSService()
    url = await serve(instance)

    assert await opens(service, aws_document(service.url, url=f"{url}/latest/meta-data/iam/security-credentials"))
    assert ("GET", "/latest/meta-data/placement/region") in instance.calls
    assert not [path for _, path in instance.calls if "security-credentials" in path]


async def test_aws_source(service: GoogleService) -> None:
    """
    Any credentials for AWS can sign, if they are named.
    """
    keys = {"access_key_id": AWS_ID, "secret_access_key": FAKE_SECRET, "session_token": FAKE_TOKEN}
    source = {"auth_type": "static", "settings": keys, "region": "eu-central-2"}

    assert await opens(service, aws_document(service.url), aws_source=source)


async def test_aws_without_a_region(service: GoogleService) -> None:
    """
    If nobody knows the region, the error says how to name it.
    """
    source = AuthConfig(auth_type="static", settings={"access_key_id": AWS_ID, "secret_access_key": FAKE_SECRET})

    async with credentials_of(aws_document(service.url), aws_source=source) as credentials:
        with pytest.raises(UnauthenticatedError, match="AWS_REGION"):
            await credentials.get()
    assert service.calls == []


async def test_aws_without_keys(service: GoogleService) -> None:
    """
    All places where keys were looked for are named.
    """
    async with credentials_of(aws_document(service.url)) as credentials:
        with pytest.raises(UnauthenticatedError) as failure:
            await credentials.get()
    for part in ("AWS_ACCESS_KEY_ID", "web_identity", "container", "AWS_EC2_METADATA_DISABLED"):
        assert part in str(failure.value)


async def test_aws_clock_is_learnt(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the signature is refused and the clocks differ, it is dated by Google's.
    """
    real = time.time
    slow = type("clock", (), {"time": staticmethod(lambda: real() - 3600)})
    monkeypatch.setattr(gcp_subject_aws, "time", slow)
    monkeypatch.setattr(token_service, "time", slow)
    keys = {"access_key_id": AWS_ID, "secret_access_key": FAKE_SECRET, "session_token": FAKE_TOKEN}
    source = {"auth_type": "static", "settings": keys, "region": "eu-central-2"}

    assert await opens(service, aws_document(service.url), aws_source=source)
    assert service.refusals == ["RefusedError: the signature has expired"]
    assert service.fetches() == 2

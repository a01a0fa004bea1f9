"""
External accounts on AWS: a signed request instead of a token.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from google.auth import aws as google_aws
from google.auth import external_account as google_external

from asyncstore.auth.gcp import subject_aws as gcp_subject_aws
from asyncstore.config import AuthConfig
from asyncstore.errors import UnauthenticatedError
from asyncstore.http.clock import ServerClock
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN, Serve
from tests.servers.identity.aws import Service as AWSService
from tests.servers.identity.gcp import (
    AWS_ID,
    STS,
    GoogleService,
    aws_document,
    credentials_of,
    google_service,
    opens,
)


@pytest.fixture
async def service() -> AsyncIterator[GoogleService]:
    async with google_service(STS) as running:
        yield running


async def test_request_matches_googles_client(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The signed request has the same form and fields as that of Google's client.
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
    # The audience is signed, as Google recommends.
    signature = next(item["value"] for item in ours["headers"] if item["key"] == "Authorization")
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource," in signature


async def test_aws_instance(service: GoogleService, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without variables keys and region come from the instance metadata service (IMDSv2).
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
    With keys but no region in the environment, the region comes from the instance.
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
    ``aws_source`` can be any AWS credentials.
    """
    keys = {"access_key_id": AWS_ID, "secret_access_key": FAKE_SECRET, "session_token": FAKE_TOKEN}
    source = {"auth_type": "static", "settings": keys, "region": "eu-central-2"}

    assert await opens(service, aws_document(service.url), aws_source=source)


async def test_aws_without_a_region(service: GoogleService) -> None:
    """
    If the region is unknown, the error says how to set it.
    """
    source = AuthConfig(auth_type="static", settings={"access_key_id": AWS_ID, "secret_access_key": FAKE_SECRET})

    async with credentials_of(aws_document(service.url), aws_source=source) as credentials:
        with pytest.raises(UnauthenticatedError, match="AWS_REGION"):
            await credentials.get()
    assert service.calls == []


async def test_aws_without_keys(service: GoogleService) -> None:
    """
    The error lists every place that was checked for keys.
    """
    async with credentials_of(aws_document(service.url)) as credentials:
        with pytest.raises(UnauthenticatedError) as failure:
            await credentials.get()
    for part in ("AWS_ACCESS_KEY_ID", "web_identity", "container", "AWS_EC2_METADATA_DISABLED"):
        assert part in str(failure.value)


async def test_clock_skew(service: GoogleService, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the signature is rejected and the clocks differ, the request is signed again with Google's time.
    """
    real = time.time

    def slow() -> float:
        return real() - 3600

    monkeypatch.setattr(gcp_subject_aws, "time", SimpleNamespace(time=slow))
    monkeypatch.setattr(ServerClock.__init__, "__defaults__", (slow,))
    keys = {"access_key_id": AWS_ID, "secret_access_key": FAKE_SECRET, "session_token": FAKE_TOKEN}
    source = {"auth_type": "static", "settings": keys, "region": "eu-central-2"}

    assert await opens(service, aws_document(service.url), aws_source=source)
    assert service.refusals == ["RefusedError: the signature has expired"]
    assert service.fetches() == 2

"""
Presigned URLs of S3: what is signed, and when they really expire. The conformance suite uses them.
"""

import base64
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncstore import (
    Checksum,
    ChecksumAlgorithm,
    ConfigurationError,
    InvalidRequestError,
    NotSupportedError,
    PresignedURL,
    PresignOptions,
    open_storage,
)

KEYS: dict[str, Any] = {
    "region": "eu-central-1",
    "access_key_id": "AKIAFAKE",
    "secret_access_key": "fake-secret",
}
MD5 = Checksum(ChecksumAlgorithm.MD5, bytes(16))
SHA256 = Checksum(ChecksumAlgorithm.SHA256, bytes(32))


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"content_type": "text/plain"}, {"Content-Type": "text/plain"}),
        ({"if_none_match": "*"}, {"If-None-Match": "*"}),
        ({"checksum": MD5}, {"Content-MD5": MD5.base64()}),
        ({"checksum": SHA256}, {"x-amz-checksum-sha256": SHA256.base64()}),
        ({"upload_id": "u", "part_number": 2, "checksum": MD5}, {"Content-MD5": MD5.base64()}),
    ],
)
async def test_signed_headers_are_told(options: dict[str, Any], headers: dict[str, str]) -> None:
    """
    Each header that is signed is one that the URL tells, and nothing else is signed.
    """
    async with open_storage("s3://bucket", **KEYS) as storage:
        url = await storage.presign("key", method="PUT", options=PresignOptions(**options))

    assert url.headers == headers
    assert query_of(url)["X-Amz-SignedHeaders"] == ";".join(sorted(["host", *map(str.lower, headers)]))


async def test_parameters() -> None:
    """
    What concerns a part, a version or the reply is in the query, where the signature covers it.
    """
    async with open_storage("s3://bucket", **KEYS) as storage:
        part = query_of(await storage.presign("key", method="PUT", upload_id="u", part_number=2))
        read = query_of(await storage.presign("key", version_id="v", response_content_disposition="inline"))
        plain = query_of(await storage.presign("key"))

    assert (part["uploadId"], part["partNumber"]) == ("u", "2")
    assert (read["versionId"], read["response-content-disposition"]) == ("v", "inline")
    assert set(plain) == {f"X-Amz-{name}" for name in _SIGNATURE}


_SIGNATURE = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")


async def test_part_of_an_encrypted_upload() -> None:
    """
    A part of an upload whose encryption AWS's own key does needs no header, unlike an object.
    """
    async with open_storage("s3://bucket", sse="aws:kms", **KEYS) as storage:
        url = await storage.presign("key", method="PUT", upload_id="u", part_number=1)

    assert url.headers == {}


@pytest.mark.parametrize("lifetime", [timedelta(minutes=10), timedelta(hours=2)])
async def test_url_ends_with_its_keys(lifetime: timedelta) -> None:
    """
    A URL that is asked for an hour says that it ends earlier, if the keys do.
    """
    ends = datetime.now(UTC) + lifetime
    keys = {
        "Version": 1,
        "AccessKeyId": "ASIAFAKE",
        "SecretAccessKey": "fake-secret",
        "SessionToken": "fake-token",
        "Expiration": ends.isoformat(),
    }
    program = [sys.executable, "-c", f"print({json.dumps(keys)!r})"]
    async with open_storage("s3://bucket", region="eu-central-1", credential_process=program) as storage:
        url = await storage.presign("key", expires=timedelta(hours=1))

    expected = min(ends, datetime.now(UTC) + timedelta(hours=1))
    assert abs(url.expires_at - expected) < timedelta(minutes=2)
    assert query_of(url)["X-Amz-Expires"] == "3600"


async def test_url_is_a_secret() -> None:
    """
    The text is the URL; its repr shows neither the signature nor the key id.
    """
    async with open_storage("s3://bucket", **KEYS) as storage:
        url = await storage.presign("key")

    assert "X-Amz-Signature=" in str(url)
    assert f"{url}" == str(url)
    assert repr(url).startswith("<PresignedURL https://bucket.s3.eu-central-1.amazonaws.com/key?*** until ")
    assert "AKIAFAKE" not in repr(url)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("GET", {"content_type": "a/b"}, "content_type is for URLs to PUT, not to GET"),
        ("HEAD", {"response_cache_control": "no-store"}, "response_cache_control is for URLs to GET, not to HEAD"),
        ("PUT", {"version_id": "v"}, "version_id is for URLs to GET or HEAD or DELETE, not to PUT"),
    ],
)
async def test_options_of_other_methods(method: str, options: dict[str, Any], message: str) -> None:
    """
    An option that the method has no use for is refused.
    """
    async with open_storage("s3://bucket", **KEYS) as storage:
        with pytest.raises(InvalidRequestError, match=message):
            await storage.presign("key", method=method, options=PresignOptions(**options))


async def test_storage_without_checksums() -> None:
    """
    A checksum that the storage does not send is not signed either.
    """
    async with open_storage("s3://bucket", checksum="none", **KEYS) as storage:
        with pytest.raises(NotSupportedError, match="checksums"):
            await storage.presign("key", method="PUT", checksum=SHA256)


@pytest.mark.parametrize(
    "wrong",
    [
        {"upload_id": "u"},
        {"part_number": 1},
        {"upload_id": "u", "part_number": 0},
        {"upload_id": "u", "part_number": 1, "content_type": "a/b"},
        {"upload_id": "", "part_number": 1},
        {"content_type": ""},
        {"if_none_match": "etag"},
        {"range": (5, 5)},
        {"checksum": Checksum(ChecksumAlgorithm.MD5, bytes(16), parts=2)},
    ],
    ids=str,
)
async def test_invalid_options(wrong: dict[str, Any]) -> None:
    """
    Options that contradict each other, or mean nothing, are refused.
    """
    async with open_storage("s3://bucket", **KEYS) as storage:
        with pytest.raises(ValueError):
            await storage.presign("key", method="PUT", **wrong)


async def test_form_with_temporary_keys() -> None:
    """
    The session token is a field of the form, which the policy demands, and the repr shows no field.
    """
    async with open_storage("s3://bucket", session_token="fake-token", **KEYS) as storage:
        form = await storage.presign_post("inbox/", prefix=True, max_size=9)

    document = json.loads(base64.b64decode(form.fields["policy"]))
    assert form.url == "https://bucket.s3.eu-central-1.amazonaws.com/"
    assert form.fields["key"] == "inbox/${filename}"
    assert {"x-amz-security-token": "fake-token"} in document["conditions"]
    assert ["starts-with", "$key", "inbox/"] in document["conditions"]
    assert ["content-length-range", 0, 9] in document["conditions"]
    assert datetime.fromisoformat(document["expiration"]) == form.expires_at
    assert "fake-token" not in repr(form)
    assert "AKIAFAKE" not in repr(form)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"requester_pays": True, **KEYS}, "headers of every request"),
        ({"sse": "aws:kms", **KEYS}, "takes it only from headers"),
        ({"region": "eu-central-1", "anonymous": True}, "anonymous credentials"),
    ],
)
async def test_forms_that_cannot_carry_the_demands(settings: dict[str, Any], message: str) -> None:
    """
    A form whose object would be stored or billed otherwise is refused.
    """
    async with open_storage("s3://bucket", **settings) as storage:
        with pytest.raises(NotSupportedError, match=message):
            await storage.presign_post("key")


async def test_invalid_forms() -> None:
    """
    A form that nothing fits into, or that is valid for too long, is refused.
    """
    async with open_storage("s3://bucket", **KEYS) as storage:
        with pytest.raises(ValueError, match="max_size"):
            await storage.presign_post("key", min_size=5, max_size=4)
        with pytest.raises(ConfigurationError, match="7 days"):
            await storage.presign_post("key", expires=timedelta(days=8))
        with pytest.raises(TypeError, match="PostOptions"):
            await storage.presign_post("key", options=PresignOptions())  # type: ignore[arg-type]


def test_url_by_hand() -> None:
    """
    A URL is made by hand as by a driver, and its headers are a copy.
    """
    headers = {"a": "b"}
    url = PresignedURL("https://host/p/fake-secret-of-a-request/n/x", datetime(2026, 1, 1, tzinfo=UTC), headers)
    headers.clear()

    assert url.headers == {"a": "b"}
    assert "fake-secret" not in repr(url)

"""
What a storage demands of every request: signed with it, and carried by presigned URLs.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncstore import NotSupportedError, open_storage
from asyncstore.errors import ConfigurationError
from tests.servers.scripted import reply, saying, scripted
from tests.servers.tls import ThrowawayCA

KEYS: dict[str, Any] = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret", "region": "us-east-1"}
KEY = "a" * 43 + "="

OBJECT = saying(reply(200, b"x", ETag='"e"'))


@pytest.mark.parametrize("name", ["x-amz-acl", "X-Amz-Acl"])
async def test_headers_of_the_user_are_signed(name: str) -> None:
    """
    Every header that S3 requires to be signed is sent once and is signed, on reads and writes.
    """
    async with scripted(OBJECT) as server:
        given = {name: "bucket-owner-full-control", "X-Other": "as it is"}
        async with open_storage("s3://bucket", endpoint_url=server.url, headers=given, **KEYS) as storage:
            await storage.put(storage.root / "k", b"x")
            await storage.read(storage.root / "k")
            await storage.delete(storage.root / "k")
    for request in server.requests:
        assert request.headers["x-amz-acl"] == "bucket-owner-full-control"
        assert request.headers["x-other"] == "as it is"
        signed = re.search("SignedHeaders=([^,]*)", request.headers["authorization"])
        assert signed is not None
        present = {header for header in request.headers if header.startswith("x-amz-")}
        assert present <= set(signed.group(1).split(";"))


async def test_headers_of_the_signature_are_refused() -> None:
    """
    A header that signing adds cannot be given.
    """
    for name in ("x-amz-date", "X-Amz-Security-Token", "x-amz-content-sha256"):
        with pytest.raises(ConfigurationError, match=name.lower()):
            open_storage("s3://bucket", headers={name: "1"}, **KEYS)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_presigned_urls_carry_the_demands(method: str) -> None:
    """
    Whoever has the URL makes the request that the storage would make.
    """
    settings: dict[str, Any] = {
        "requester_pays": True,
        "expected_bucket_owner": "123456789012",
        "headers": {"X-Amz-Acl": "bucket-owner-full-control"},
    }
    async with open_storage("s3://bucket", **KEYS, **settings) as storage:
        query = dict(parse_qsl(urlsplit(await storage.presign(storage.root / "k", method=method)).query))
    assert query["x-amz-request-payer"] == "requester"
    assert query["x-amz-expected-bucket-owner"] == "123456789012"
    assert query["x-amz-acl"] == "bucket-owner-full-control"
    assert query["X-Amz-SignedHeaders"] == "host"


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("GET", {"sse_customer_key": KEY}),
        ("HEAD", {"sse_customer_key": KEY}),
        ("PUT", {"sse_customer_key": KEY}),
        ("PUT", {"sse": "AES256"}),
        ("PUT", {"sse_kms_key_id": "key-1"}),
        ("PUT", {"headers": {"x-amz-server-side-encryption": "AES256"}}),
    ],
)
async def test_presigned_urls_that_cannot_carry_the_demands(method: str, settings: dict[str, Any]) -> None:
    """
    A URL whose request would be stored or read otherwise is refused, and not made.
    """
    async with open_storage("s3://bucket", **KEYS, **settings) as storage:
        with pytest.raises(NotSupportedError, match="takes it only from headers"):
            await storage.presign(storage.root / "k", method=method)


async def test_encryption_does_not_concern_reads() -> None:
    """
    What is encrypted with a key of AWS is read without saying so.
    """
    async with open_storage("s3://bucket", sse="aws:kms", **KEYS) as storage:
        assert "server-side" not in await storage.presign(storage.root / "k")


@pytest.mark.parametrize("where", ["variable", "profile"])
async def test_certificate_authorities_of_the_configuration(
    where: str, tls_ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    ``AWS_CA_BUNDLE``, or the profile's ``ca_bundle``, says what is trusted, unless the settings do.
    """
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    if where == "variable":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tls_ca.ca_file))
    else:
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {tls_ca.ca_file}\n")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tls_ca.cert_file, tls_ca.key_file)
    async with scripted(OBJECT, tls=tls) as server:
        async with open_storage("s3://bucket", endpoint_url=server.url, **KEYS) as storage:
            assert await storage.read(storage.root / "k") == b"x"
        async with open_storage("s3://bucket", endpoint_url=server.url, verify=False, **KEYS) as storage:
            assert await storage.read(storage.root / "k") == b"x"
        other = tmp_path / "none.pem"
        async with open_storage("s3://bucket", endpoint_url=server.url, ca_file=other, **KEYS) as storage:
            with pytest.raises(ConfigurationError, match=r"none\.pem"):
                await storage.read(storage.root / "k")


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_bundle_that_cannot_be_read(content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    It is an error that names the file, and nothing is sent.
    """
    file = tmp_path / "bundle.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    async with scripted(OBJECT) as server:
        async with open_storage("s3://bucket", endpoint_url=server.url, attempts=1, **KEYS) as storage:
            with pytest.raises(ConfigurationError, match=r"bundle\.pem"):
                await storage.read(storage.root / "k")
        assert not server.requests


_CHECKSUMS = ("x-amz-checksum-", "x-amz-sdk-checksum-")


@pytest.mark.parametrize("where", ["variable", "profile"])
@pytest.mark.parametrize("value", ["when_required", "WHEN_SUPPORTED", None])
async def test_checksums_of_the_configuration(
    where: str, value: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Those that S3 does not require are left out if AWS's configuration says so, unless the settings choose one.
    """
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    names = ("request_checksum_calculation", "response_checksum_validation")
    if value is not None and where == "profile":
        (tmp_path / "config").write_text("[default]\n" + "".join(f"{name} = {value}\n" for name in names))
    elif value is not None:
        for name in names:
            monkeypatch.setenv(f"AWS_{name.upper()}", value)
    expected = value != "when_required"
    async with scripted(OBJECT) as server:
        async with open_storage("s3://bucket", endpoint_url=server.url, **KEYS) as storage:
            await storage.read(storage.root / "k")
            await storage.put(storage.root / "k", b"x")
        read, put = server.requests
        assert ("x-amz-checksum-mode" in read.headers) == expected
        assert any(name.startswith(_CHECKSUMS) for name in put.headers) == expected
        chosen: dict[str, Any] = {"checksum": "sha256", "verify_checksums": True}
        async with open_storage("s3://bucket", endpoint_url=server.url, **KEYS, **chosen) as storage:
            await storage.read(storage.root / "k")
            await storage.put(storage.root / "k", b"x")
        read, put = server.requests[2:]
        assert "x-amz-checksum-mode" in read.headers
        assert "x-amz-checksum-sha256" in put.headers


def test_invalid_checksum_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its error says what it takes.
    """
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "sometimes")
    with pytest.raises(ConfigurationError, match="when_supported or when_required"):
        open_storage("s3://bucket", **KEYS)


async def test_tags_that_an_endpoint_ignores() -> None:
    """
    An endpoint that ignores the tags of a write is found out by the first one, and the error says what was written.
    """
    empty = b"<Tagging><TagSet></TagSet></Tagging>"
    async with (
        scripted(OBJECT, saying(reply(200, empty)), OBJECT) as server,
        open_storage("s3://bucket", endpoint_url=server.url, **KEYS) as storage,
    ):
        with pytest.raises(NotSupportedError, match="written without the tags"):
            await storage.put("k", b"x", tags={"a b": "1&2"})
        assert "tags of a put" in storage.describe()["narrowed"]
    put, look = server.requests[:2]
    assert put.headers["x-amz-tagging"] == "a%20b=1%262"
    assert look.target.endswith("/k?tagging=")

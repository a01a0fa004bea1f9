"""
The headers and documents that protect objects and give access to them, and what refusals mean.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from asyncstore import (
    InvalidRequestError,
    NotSupportedError,
    PermissionDeniedError,
    Retention,
    StorageError,
    UploadOptions,
    open_storage,
)
from asyncstore.drivers.s3.errors import ERRORS
from asyncstore.options import MiB
from tests.servers.scripted import Exchange, reply, saying, scripted

KEYS: dict[str, Any] = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret", "region": "us-east-1"}
UNTIL = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
LOCKED = Retention(UNTIL, "compliance")
HEADERS = {
    "x-amz-object-lock-mode": "COMPLIANCE",
    "x-amz-object-lock-retain-until-date": "2030-01-02T03:04:05.000Z",
    "x-amz-object-lock-legal-hold": "ON",
    "x-amz-acl": "bucket-owner-full-control",
}
_SHOWN = {name.replace("-", "_"): value for name, value in HEADERS.items()}


async def answer(exchange: Exchange) -> None:
    """Answer each request as S3 does, with an object that is protected."""
    await exchange.body()
    if exchange.method == "HEAD":
        await exchange.send(reply(200, b"x", ETag='"e"', **_SHOWN)[:-1])
    elif "uploads=" in exchange.target:
        document = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        await exchange.send(reply(200, document))
    elif exchange.method == "POST":
        document = b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        await exchange.send(reply(200, document))
    elif "x-amz-copy-source" in exchange.headers:
        await exchange.send(reply(200, b"<CopyObjectResult><ETag>e</ETag></CopyObjectResult>"))
    elif exchange.method == "GET":
        tag = b"LegalHold" if "legal-hold" in exchange.target else b"Retention"
        await exchange.send(reply(200, b"<%s></%s>" % (tag, tag)))
    else:
        await exchange.send(reply(200, b"", ETag='"e"'))


def sent(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if "object-lock" in name or "acl" in name}


async def test_headers_of_writes() -> None:
    """
    A put, the start of a multipart upload and a copy have them; a put has a checksum, too, which S3 requires then.
    """
    protected: dict[str, Any] = {"retention": LOCKED, "legal_hold": True, "acl": "bucket-owner-full-control"}
    parts = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)
    async with (
        scripted(answer) as server,
        open_storage("s3://bucket", endpoint_url=server.url, checksum="none", **KEYS) as storage,
    ):
        await storage.put("k", b"x", **protected)
        assert "content-md5" in server.requests[0].headers
        await storage.put("k", bytes(6 * MiB), options=parts, **protected)
        await storage.copy("k", "copy", **protected)
        info = await storage.stat("k")
    assert (info.retention, info.legal_hold) == (LOCKED, True)
    having = [request for request in server.requests if sent(request.headers)]
    assert [sent(request.headers) for request in having] == [HEADERS] * 3
    assert ["uploads=" in request.target for request in having] == [False, True, False]


async def test_documents_about_an_object() -> None:
    """
    A retention and a hold are set by documents about a version; bypassing governance mode is a header.
    """
    async with (
        scripted(answer) as server,
        open_storage("s3://bucket", endpoint_url=server.url, **KEYS) as storage,
    ):
        await storage.set_retention("k", LOCKED, version_id="v", bypass_retention=True)
        await storage.set_retention("k", None)
        await storage.set_legal_hold("k", held=True)
        await storage.delete("k", version_id="v", bypass_retention=True)
    asked = [(request.method, request.target.partition("?")[2]) for request in server.requests]
    assert asked == [
        ("GET", "retention=&versionId=v"),
        ("PUT", "retention=&versionId=v"),
        ("PUT", "retention="),
        ("GET", "legal-hold="),
        ("PUT", "legal-hold="),
        ("DELETE", "versionId=v"),
    ]
    bypassing = ["x-amz-bypass-governance-retention" in request.headers for request in server.requests]
    assert bypassing == [False, True, False, False, False, True]


async def test_endpoint_without_object_lock() -> None:
    """
    An endpoint that ignores the parameter would replace the object by the document: it is looked at first.
    """
    async with (
        scripted(saying(reply(200, b"the object", ETag='"e"'))) as server,
        open_storage("s3://bucket", endpoint_url=server.url, **KEYS) as storage,
    ):
        with pytest.raises(NotSupportedError, match="object lock"):
            await storage.set_retention("k", LOCKED)
        with pytest.raises(NotSupportedError, match="legal holds"):
            await storage.set_legal_hold("k", held=True)
    assert [request.method for request in server.requests] == ["GET"]


async def test_endpoint_that_ignores_the_headers() -> None:
    """
    A write whose protection no reply shows is an error.
    """

    async def forgets(exchange: Exchange) -> None:
        await exchange.body()
        whole = reply(200, b"x", ETag='"e"')
        await exchange.send(whole[:-1] if exchange.method == "HEAD" else whole)

    async with (
        scripted(forgets) as server,
        open_storage("s3://bucket", endpoint_url=server.url, verify_checksums=False, **KEYS) as storage,
    ):
        with pytest.raises(NotSupportedError, match="no reply shows"):
            await storage.put("k", b"x", legal_hold=True)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (403, "AccessDenied", "Access Denied because object protected by object lock.", PermissionDeniedError),
        (403, "ObjectLocked", "Object is locked", PermissionDeniedError),
        (400, "ObjectLocked", "Object is locked", PermissionDeniedError),
        (400, "InvalidRequest", "Object is WORM protected and cannot be overwritten", PermissionDeniedError),
        (400, "InvalidRequest", "Missing a header", InvalidRequestError),
    ],
)
def test_refusals(status: int, code: str, message: str, kind: type[StorageError]) -> None:
    """
    What protects an object is refused as what permissions do not allow, also where the code says something else.
    """
    assert type(ERRORS.error(code, message, status=status)) is kind

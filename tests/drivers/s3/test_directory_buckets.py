"""
Directory buckets: sessions, listings in any order, and what they do not have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncstore import Storage, open_storage
from asyncstore.errors import (
    AlreadyExistsError,
    ConfigurationError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import ListOptions, MiB, UploadOptions
from tests.servers.directory_bucket import BUCKET, KEYS, DirectoryBucket, serving_bucket
from tests.servers.scripted import reply, saying, scripted

SETTINGS: dict[str, Any] = {
    "region": "us-east-1",
    "access_key_id": KEYS.access_key_id,
    "secret_access_key": KEYS.secret_access_key,
    "session_token": KEYS.session_token,
    "attempts": 1,
}


@asynccontextmanager
async def opened(bucket: DirectoryBucket, **settings: Any) -> AsyncIterator[Storage]:
    async with (
        serving_bucket(bucket) as url,
        open_storage(f"s3://{BUCKET}", endpoint_url=url, **{**SETTINGS, **settings}) as storage,
    ):
        yield storage


async def test_requests_share_a_session() -> None:
    """
    One session is created for all requests, however many start at once, and signs them instead of the keys.
    """
    bucket = DirectoryBucket()
    async with opened(bucket) as storage:
        await asyncio.gather(*[storage.put(storage.root / f"k{number}", b"x") for number in range(8)])
        assert await storage.read(storage.root / "k3") == b"x"
        assert (await storage.stat(storage.root / "k3")).size == 1
        await storage.copy(storage.root / "k3", storage.root / "copied")
        await storage.delete(storage.root / "k3")
        with pytest.raises(NotFoundError):
            await storage.read(storage.root / "k3")
        with pytest.raises(AlreadyExistsError):
            await storage.put(storage.root / "copied", b"y", options=UploadOptions(if_none_match="*"))
    assert len(bucket.sessions) == 1
    assert bucket.objects["copied"] == b"x"


@pytest.mark.parametrize("op", ["read", "stat", "put", "list"])
async def test_expired_sessions_are_replaced(op: str) -> None:
    """
    A session that S3 rejects is replaced, and the request is sent again.
    """
    bucket = DirectoryBucket()
    async with opened(bucket) as storage:
        uri = storage.root / "k"
        await storage.put(uri, b"x")
        bucket.expired.add(bucket.sessions[-1].access_key_id)
        match op:
            case "read":
                assert await storage.read(uri) == b"x"
            case "stat":
                assert (await storage.stat(uri)).size == 1
            case "put":
                await storage.put(uri, b"y")
            case "list":
                assert [item.key async for item in storage.list()] == ["k"]
    assert len(bucket.sessions) == 2


async def test_sessions_are_renewed_before_they_end() -> None:
    """
    A session near its end is renewed in the background, while requests still use it.
    """
    bucket = DirectoryBucket()
    bucket.lifetime = 1.0
    async with opened(bucket) as storage:
        await storage.put(storage.root / "k", b"x")
        for _ in range(100):
            assert await storage.read(storage.root / "k") == b"x"
            if len(bucket.sessions) > 1:
                break
            await asyncio.sleep(0.01)
    assert len(bucket.sessions) > 1


async def test_encryption_is_said_to_the_session() -> None:
    """
    A session has to know how new objects are encrypted.
    """
    bucket = DirectoryBucket()
    async with opened(bucket, sse_kms_key_id="key-1") as storage:
        await storage.put(storage.root / "k", b"x")
    assert bucket.session_headers[0]["x-amz-server-side-encryption"] == "aws:kms"
    assert bucket.session_headers[0]["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
    with pytest.raises(ConfigurationError, match="sse_customer_key"):
        open_storage(f"s3://{BUCKET}", sse_customer_key="a" * 43 + "=", **SETTINGS)


KEYS_OF_TREE = ("a/1", "a/2", "a/b/3", "ab", "b/4", "z")


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "b/4", "none"])
@pytest.mark.parametrize("delimiter", [None, "/"])
@pytest.mark.parametrize("after", [None, "a/1", "ab"])
async def test_listings(prefix: str, delimiter: str | None, after: str | None) -> None:
    """
    Every prefix and every place to start work, though the bucket knows directories only and has no order.
    """
    bucket = DirectoryBucket()
    bucket.objects = dict.fromkeys(KEYS_OF_TREE, b"x")
    async with opened(bucket) as storage:
        options = ListOptions(delimiter=delimiter, start_after=after)
        listed = [item async for item in storage.list(storage.root.with_key(prefix), options=options)]
        assert not storage.capabilities.sorted_listing
    expected = {
        key if delimiter is None or "/" not in key[len(prefix) :] else key[: key.index("/", len(prefix)) + 1]
        for key in KEYS_OF_TREE
        if key.startswith(prefix)
    }
    assert sorted(item.key for item in listed) == sorted(key for key in expected if after is None or key > after)
    assert all(item.is_prefix == item.key.endswith("/") for item in listed)
    assert all("start-after" not in query for query in bucket.listed)


async def test_many_deletions() -> None:
    """
    They carry the only checksum that the bucket takes.
    """
    bucket = DirectoryBucket()
    bucket.objects = dict.fromkeys(KEYS_OF_TREE, b"x")
    async with opened(bucket) as storage:
        result = await storage.bulk_delete([storage.root / key for key in KEYS_OF_TREE])
        assert not result.failed
    assert not bucket.objects


async def test_large_uploads(tmp_path: Path) -> None:
    """
    An object of several parts is written in one session.
    """
    bucket = DirectoryBucket()
    content = bytes(range(256)) * 4096 * 11
    file = tmp_path / "large"
    file.write_bytes(content)
    async with opened(bucket) as storage:
        await storage.upload(
            file, storage.root / "large", options=UploadOptions(part_size=5 * MiB, multipart_threshold=0)
        )
    assert bucket.objects["large"] == content
    assert len(bucket.sessions) == 1


async def test_what_directory_buckets_do_not_have() -> None:
    """
    It is refused before anything is sent.
    """
    bucket = DirectoryBucket()
    async with opened(bucket) as storage:
        uri = storage.root / "k"
        with pytest.raises(NotSupportedError):
            await storage.set_tags(uri, {"a": "b"})
        with pytest.raises(NotSupportedError):
            _ = [item async for item in storage.list_versions(uri)]
        with pytest.raises(NotSupportedError, match="'/' only"):
            _ = [item async for item in storage.list(options=ListOptions(delimiter="-"))]
        with pytest.raises(ConfigurationError, match="at most 0:05:00"):
            await storage.presign(uri, expires=timedelta(hours=1))
    assert bucket.requests == 0


async def test_presigned_urls_have_the_session() -> None:
    """
    They are signed with the session, whose token is in the query.
    """
    bucket = DirectoryBucket()
    async with opened(bucket) as storage:
        url = await storage.presign(storage.root / "k", expires=timedelta(minutes=5))
    assert url.expires_at - datetime.now(UTC) <= timedelta(minutes=5)
    query = dict(parse_qsl(urlsplit(url).query))
    assert query["X-Amz-S3session-Token"] == bucket.sessions[0].session_token
    assert query["X-Amz-Credential"].startswith("SESSION1/")
    assert query["X-Amz-Credential"].endswith("/us-east-1/s3express/aws4_request")
    assert "X-Amz-Security-Token" not in query


async def test_sessions_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With AWS's own variable for it, the keys sign every request.
    """
    monkeypatch.setenv("AWS_S3_DISABLE_EXPRESS_SESSION_AUTH", "true")
    async with (
        scripted(saying(reply(200, b"x", ETag='"e"'))) as server,
        open_storage(f"s3://{BUCKET}", endpoint_url=server.url, **SETTINGS) as storage,
    ):
        assert await storage.read(storage.root / "k") == b"x"
    (request,) = server.requests
    assert request.headers["x-amz-security-token"] == KEYS.session_token
    assert "/us-east-1/s3express/aws4_request" in request.headers["authorization"]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>", PermissionDeniedError),
        (200, b"<CreateSessionResult><Credentials/></CreateSessionResult>", StorageError),
        (200, b"not XML", UnavailableError),
        (503, b"", StorageError),
    ],
)
async def test_sessions_that_are_not_created(status: int, body: bytes, kind: type[StorageError]) -> None:
    """
    The error is the bucket's, nothing else is sent, and no secret is shown.
    """
    async with (
        scripted(saying(reply(status, body))) as server,
        open_storage(f"s3://{BUCKET}", endpoint_url=server.url, **SETTINGS) as storage,
    ):
        with pytest.raises(kind) as caught:
            await storage.read(storage.root / "k")
        with pytest.raises(StorageError):
            await storage.presign(storage.root / "k", expires=timedelta(minutes=1))
    assert KEYS.secret_access_key not in str(caught.value)
    assert len(server.requests) <= 2
    assert all("session" in request.target for request in server.requests)

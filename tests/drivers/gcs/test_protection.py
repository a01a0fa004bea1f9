"""
What the stand-in stores of retentions, holds and access lists, and what refusals mean.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncstore import InvalidRequestError, PermissionDeniedError, Retention, Storage, UploadOptions, open_storage
from asyncstore.options import MiB
from asyncstore.testing.servers.gcs import GCSServer, Settings

_TOKEN = "fake-token-for-tests"
_READERS = [{"entity": "allUsers", "role": "READER"}]
UNTIL = datetime.now(UTC) + timedelta(days=1)
PARTS = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    async with GCSServer(settings=Settings(tokens=[_TOKEN])) as server:
        server.create_bucket("bucket", objectRetention={"mode": "Enabled"})
        server.create_bucket("plain")
        yield server


@pytest.fixture(params=["auto", "compose"])
async def storage(server: GCSServer, request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    async with open_storage("gs://bucket", endpoint_url=server.url, token=_TOKEN, multipart=request.param) as storage:
        yield storage


def fields(server: GCSServer, key: str) -> dict[str, Any]:
    return server.world.bucket("bucket").get(key).fields


async def test_access_list_of_every_write(storage: Storage, server: GCSServer) -> None:
    """
    It is that of the object: written by one request, in parts, through a session, and by a copy.
    """
    await storage.put("one", b"data", acl="public-read")
    await storage.put("parts", bytes(6 * MiB), options=PARTS, acl="public-read")
    await storage.put("session", bytes(9 * MiB), acl="public-read", multipart_threshold=100 * MiB)
    await storage.copy("one", "copy", acl="public-read")
    await storage.copy("one", "private", acl="private")

    assert [fields(server, key)["acl"] for key in ("one", "parts", "session", "copy")] == [_READERS] * 4
    assert fields(server, "private")["acl"] == []


async def test_modes(storage: Storage) -> None:
    """
    A retention in compliance mode can be extended, and neither shortened nor removed, not even by bypassing it.
    """
    await storage.put("key", b"data", retention=Retention(UNTIL, "compliance"))

    later = Retention(UNTIL + timedelta(days=1), "compliance")
    await storage.set_retention("key", later)
    for change in (None, Retention(UNTIL, "compliance"), Retention(later.until)):
        with pytest.raises(PermissionDeniedError):
            await storage.set_retention("key", change, bypass_retention=True)
    assert (await storage.stat("key")).retention == later


async def test_replacing_what_is_protected(storage: Storage) -> None:
    """
    Neither a write nor a batch of deletions touches it; the error says until when.
    """
    await storage.put("key", b"data", retention=Retention(UNTIL))
    await storage.put("held", b"data", legal_hold=True)

    with pytest.raises(PermissionDeniedError, match="until"):
        await storage.put("key", b"new")
    result = await storage.bulk_delete(["key", "held"])

    assert [type(item.error) for item in result.failures] == [PermissionDeniedError] * 2
    assert await storage.read("key") == b"data"


async def test_bucket_without_retentions(server: GCSServer) -> None:
    """
    A bucket that was not created for retentions refuses them.
    """
    async with open_storage("gs://plain", endpoint_url=server.url, token=_TOKEN) as storage:
        with pytest.raises(InvalidRequestError, match="object retention enabled"):
            await storage.put("key", b"data", retention=Retention(UNTIL))
        await storage.put("key", b"data", legal_hold=True)
        with pytest.raises(PermissionDeniedError):
            await storage.delete("key")

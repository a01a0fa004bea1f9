"""
Objects in memory are protected as those of the clouds are: with versions as on S3, without as on GCS.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from asyncstore import PermissionDeniedError, Retention, Storage, open_storage

SOON = datetime.now(UTC) + timedelta(days=1)
GOVERNED = Retention(SOON)
LOCKED = Retention(SOON, "compliance")


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    async with open_storage("memory://bucket") as storage:
        yield storage


async def test_object_is_neither_replaced_nor_deleted(storage: Storage) -> None:
    """
    Without versions nothing else may take its place: not a write, a copy, a multipart upload or a batch.
    """
    await storage.put("key", b"data", retention=GOVERNED)
    await storage.put("other", b"new")
    upload = await storage.initiate_multipart_upload("key")
    part = await storage.upload_part("key", upload, 1, b"new")

    with pytest.raises(PermissionDeniedError, match="governance mode protects"):
        await storage.put("key", b"new")
    with pytest.raises(PermissionDeniedError):
        await storage.copy("other", "key")
    with pytest.raises(PermissionDeniedError):
        await storage.complete_multipart_upload("key", upload, [part])
    with pytest.raises(PermissionDeniedError):
        await storage.delete("key")
    result = await storage.bulk_delete(["key", "other"])

    assert [(str(item.source), type(item.error)) for item in result.failures] == [
        ("memory://bucket/key", PermissionDeniedError)
    ]
    assert await storage.read("key") == b"data"


async def test_retention_ends(storage: Storage) -> None:
    """
    One whose end is past protects nothing.
    """
    await storage.put("key", b"data", retention=Retention(datetime.now(UTC) - timedelta(seconds=1), "compliance"))

    await storage.put("key", b"new")

    assert (await storage.stat("key")).retention is None


async def test_bypassing(storage: Storage) -> None:
    """
    Governance mode can be bypassed, compliance mode and a hold cannot.
    """
    await storage.put("governed", b"data", retention=GOVERNED)
    await storage.put("locked", b"data", retention=LOCKED)
    await storage.put("held", b"data", legal_hold=True)

    await storage.delete("governed", bypass_retention=True)
    for key in ("locked", "held"):
        with pytest.raises(PermissionDeniedError):
            await storage.delete(key, bypass_retention=True)
    for change in (None, GOVERNED, Retention(SOON - timedelta(hours=1), "compliance")):
        with pytest.raises(PermissionDeniedError):
            await storage.set_retention("locked", change, bypass_retention=True)
    await storage.set_retention("locked", Retention(SOON + timedelta(hours=1), "compliance"))


async def test_versions() -> None:
    """
    With versions, a protected one stays behind what replaces it, and behind a delete marker.
    """
    async with open_storage("memory://bucket", versioning=True) as storage:
        old = await storage.put("key", b"old", retention=GOVERNED)
        await storage.put("key", b"new")
        await storage.delete("key")

        with pytest.raises(PermissionDeniedError):
            await storage.delete("key", version_id=old.version_id)
        await storage.set_retention("key", LOCKED, version_id=old.version_id)
        with pytest.raises(PermissionDeniedError):
            await storage.delete("key", version_id=old.version_id, bypass_retention=True)

        assert await storage.read("key", version_id=old.version_id) == b"old"
        assert (await storage.stat("key", version_id=old.version_id)).retention == LOCKED


async def test_copy_is_free(storage: Storage) -> None:
    """
    A copy of a protected object is not protected, unless that is asked for.
    """
    await storage.put("key", b"data", retention=LOCKED, legal_hold=True)

    await storage.copy("key", "copy")
    await storage.delete("copy")

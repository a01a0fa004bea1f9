"""
A read-only storage sends no write, whatever the verb.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from asyncstore import NotSupportedError, PermissionDeniedError, Storage, Upload, copy_tree, delete_tree, read_only
from asyncstore.options import MiB
from asyncstore.testing.faults import FaultyDriver
from tests.build import stream

_FILE: Final = Path(__file__)

_WRITES: Final[dict[str, Callable[[Storage], Awaitable[Any]]]] = {
    "put": lambda storage: storage.put("key", b"data"),
    "put-stream": lambda storage: storage.put("key", stream(b"data")),
    "put-large": lambda storage: storage.put("key", bytes(2 * MiB), part_size=MiB, multipart_threshold=MiB),
    "put-create-only": lambda storage: storage.put("key", b"data", if_none_match="*"),
    "open-to-write": lambda storage: storage.open("key", "wb"),
    "open-to-create": lambda storage: storage.open("key", "xb"),
    "put-replace": lambda storage: storage.put("key", b"data", if_match="x"),
    "upload": lambda storage: storage.upload(_FILE, "key"),
    "copy": lambda storage: storage.copy("there", "key"),
    "copy-create-only": lambda storage: storage.copy("there", "key", if_none_match="*"),
    "move": lambda storage: storage.move("there", "key"),
    "update": lambda storage: storage.update("there", lambda data: data or b""),
    "initiate-upload": lambda storage: storage.initiate_multipart_upload("key"),
    "upload-part": lambda storage: storage.upload_part("key", "id", 1, b"data"),
    "complete-upload": lambda storage: storage.complete_multipart_upload("key", "id", []),
    "abort-upload": lambda storage: storage.abort_multipart_upload("key", "id"),
    "delete": lambda storage: storage.delete("there"),
    "delete-existing": lambda storage: storage.delete("there", missing_ok=False),
    "delete-if-match": lambda storage: storage.delete("there", if_match="x"),
    "set-tags": lambda storage: storage.set_tags("there", {"a": "1"}),
    "set-retention": lambda storage: storage.set_retention("there", None),
    "set-legal-hold": lambda storage: storage.set_legal_hold("there", held=True),
    "presign-put": lambda storage: storage.presign("key", method="PUT"),
    "presign-delete": lambda storage: storage.presign("there", method="delete"),
}


@pytest.fixture
async def reader(storage: Storage, faults: FaultyDriver) -> Storage:
    await storage.put("there", b"data")
    faults.calls.clear()
    return read_only(storage)


@pytest.mark.parametrize("write", _WRITES.values(), ids=_WRITES)
async def test_write_is_refused_before_anything_is_sent(
    reader: Storage, faults: FaultyDriver, write: Callable[[Storage], Awaitable[Any]]
) -> None:
    """
    The error says that the storage is read-only.
    """
    with pytest.raises(PermissionDeniedError, match="the storage is read-only"):
        await write(reader)

    assert not faults.calls


async def test_file_is_refused_when_it_is_opened(reader: Storage, faults: FaultyDriver) -> None:
    """
    Not at the first write, nor at the end.
    """
    with pytest.raises(PermissionDeniedError, match="the storage is read-only"):
        reader.open("key", "wb")

    assert not faults.calls


async def test_uploads_are_not_listed(reader: Storage, faults: FaultyDriver) -> None:
    """
    It announces no multipart uploads.
    """
    with pytest.raises(NotSupportedError):
        [upload async for upload in reader.list_multipart_uploads()]
    with pytest.raises(NotSupportedError):
        [part async for part in reader.list_parts("key", "id")]
    assert not faults.calls


async def test_bulk_items_fail_one_by_one(reader: Storage, faults: FaultyDriver) -> None:
    """
    Each item has the error as its outcome.
    """
    deleted = await reader.bulk_delete(["there", "other"])
    uploaded = await reader.bulk_upload([Upload(_FILE, "key")])

    errors = [outcome.error for outcome in (*deleted.failures, *uploaded.failures)]
    assert [type(error) for error in errors] == [PermissionDeniedError] * 3
    assert not faults.calls


async def test_trees_are_not_written(reader: Storage, storage: Storage, faults: FaultyDriver) -> None:
    """
    Trees are listed, and nothing is written.
    """
    await storage.put("tree/a", b"data")
    faults.calls.clear()
    await delete_tree(reader)
    await copy_tree(reader, reader, source_prefix="tree", target_prefix="copy")

    assert set(faults.calls) <= {"list_page", "stat", "open_read"}


async def test_everything_is_read(reader: Storage, storage: Storage) -> None:
    """
    Reads, listings, tags and links to read work, and what is written meanwhile is seen.
    """
    await storage.put("later", b"more")

    assert await reader.read("there") == b"data"
    assert [info.name async for info in reader.list()] == ["later", "there"]
    assert await reader.get_tags("there") == {}
    assert (await reader.presign("there", expires=timedelta(minutes=1))).startswith("http")
    async with reader.open("later", "rb") as file:
        assert await file.read() == b"more"
    await storage.aclose()


async def test_what_it_tells(reader: Storage) -> None:
    """
    Capabilities and description say what cannot be done; the provider's own client could.
    """
    able = reader.capabilities

    assert not any((able.multipart, able.copy, able.delete_batch_size, able.conditional_create))
    assert able.versions
    assert able.sign
    assert reader.describe()["access"] == "read-only"
    with pytest.raises(NotSupportedError, match="read-only"):
        reader.native()


async def test_capabilities_follow_the_wrapped_storage(reader: Storage, faults: FaultyDriver) -> None:
    faults.narrow("versions", "a test", versions=False)

    assert not reader.capabilities.versions
    assert not reader.capabilities.copy

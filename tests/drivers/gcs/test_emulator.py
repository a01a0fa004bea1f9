"""
GCS on gcp-storage-emulator with default settings, resumable sessions above all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncstore import Storage, UploadOptions, open_storage
from asyncstore.options import KiB, MiB
from asyncstore.testing.conformance.payloads import payload
from asyncstore.uri import ObjectURI, parse_uri
from tests.drivers.gcs.places import Cut
from tests.servers.gcs import GCSEndpoint, fresh_bucket

SINGLE = UploadOptions(multipart_threshold=1 << 40)


@pytest.fixture
def root(gcp_emulator: GCSEndpoint) -> ObjectURI:
    return parse_uri(f"gs://{fresh_bucket(gcp_emulator)}/prefix/")


@pytest.fixture
async def storage(gcp_emulator: GCSEndpoint, root: ObjectURI) -> AsyncIterator[Storage]:
    async with open_storage(root, endpoint_url=gcp_emulator.url, anonymous=True) as storage:
        yield storage


async def test_there_and_back(storage: Storage) -> None:
    """
    Objects with and without metadata are written, listed, copied, read, statted and deleted.
    """
    data = payload(300 * KiB)
    one, other = storage.root / "dir/ä one", storage.root / "other"
    await storage.put(one, data, options=UploadOptions(content_type="text/plain", metadata={"colour": "blue"}))
    await storage.copy(one, other)

    assert [info.uri async for info in storage.list()] == [one, other]
    assert await storage.read(other) == data
    assert (await storage.stat(other)).metadata == {"colour": "blue"}
    assert (await storage.stat(one)).content_type == "text/plain"
    result = await storage.bulk_delete([one, other, storage.root / "none"])
    assert (result.done, result.failed) == (3, 0)
    assert [info.uri async for info in storage.list()] == []


async def test_large_object(storage: Storage, tmp_path: Path) -> None:
    """
    It does not support XML API multipart uploads: a large object is composed, and no part is left behind.
    """
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(payload(12 * MiB + 1))
    options = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)

    await storage.upload(source, storage.root / "key", options=options)
    await storage.download(storage.root / "key", target)

    assert target.read_bytes() == source.read_bytes()
    assert [info.key async for info in storage.list(storage.root.with_key(""))] == ["prefix/key"]
    assert [upload async for upload in storage.list_multipart_uploads()] == []


# Not before the first byte: the emulator reports one byte for a session that has none.
@pytest.mark.parametrize("after", [[1], [300_000], [MiB, 3, 700_000, 0, MiB + 1]])
async def test_interrupted_session_is_resumed(gcp_emulator: GCSEndpoint, root: ObjectURI, after: list[int]) -> None:
    """
    The next attempt asks an interrupted session how many bytes it has, and sends the rest.
    """
    data = payload(4 * MiB + 5)
    async with Cut(int(gcp_emulator.url.rpartition(":")[2]), after) as cut:
        settings: dict[str, Any] = {"anonymous": True, "resumable_threshold": MiB, "initial_backoff": 0.001}
        async with open_storage(root, endpoint_url=cut.url, **settings) as storage:
            await storage.put(root / "key", data, options=SINGLE)

            assert await storage.read(root / "key") == data
    assert len(cut.sent) == len(after) + 1
    # Only bytes beyond the server's last full unit of 256 KiB are sent again.
    assert sum(cut.sent) <= len(data) + len(after) * 256 * KiB

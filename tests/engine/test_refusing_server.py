"""
A server that refuses more than a few requests at a time, over sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncstore import BulkOptions, Download, MiB, Storage, Upload, UploadOptions, open_storage
from benchmarks.far_service import Counts, Distance, Service

ROOM = 5


@pytest.fixture
async def service() -> Service:
    return Service(Distance(delay=0.02, room=ROOM))


@pytest.fixture
async def storage(service: Service) -> AsyncIterator[Storage]:
    server = await asyncio.start_server(service.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings: dict[str, Any] = {"region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret"}
    async with server, open_storage("s3://bucket", endpoint_url=f"http://127.0.0.1:{port}", **settings) as storage:
        yield storage


async def test_no_item_fails_and_the_server_gets_what_it_serves(
    service: Service, storage: Storage, tmp_path: Path
) -> None:
    """
    Although all of 16 requests are sent at first, to a server that serves five.
    """
    source = tmp_path / "file"
    source.write_bytes(b"data")
    first = await storage.bulk_upload(Upload(source, f"{number}") for number in range(100))

    assert (100, 0) == (first.done, first.failed)
    assert service.counts.refused > 0
    assert storage.statistics().throttled == service.counts.refused
    assert storage.statistics().requests_allowed <= 2 * ROOM

    service.counts = Counts()
    items = [Download(f"{number}/zero-1000", tmp_path / f"{number}") for number in range(100)]
    second = await storage.bulk_download(items)

    assert (100, 0) == (second.done, second.failed)
    # What the server counts differs a little from what the client does.
    assert service.counts.peak <= 2 * ROOM
    assert service.counts.refused < 20


async def test_no_part_uses_up_its_attempts(service: Service, storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "file"
    with source.open("wb") as file:
        file.truncate(100 * MiB)
    options = BulkOptions(upload=UploadOptions(part_size=5 * MiB))
    result = await storage.bulk_upload([Upload(source, "large")], options=options)

    assert (1, 0) == (result.done, result.failed)
    assert 100 * MiB == service.objects["large"]

"""
Trees are copied by the service where both storages are of one service with the same credentials, else streamed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncstore import BulkOptions, Storage, UploadOptions, copy_tree, open_storage, parse_uri
from asyncstore.config import StorageConfig
from asyncstore.drivers.s3 import open_driver
from asyncstore.storage.copy_between import one_service
from asyncstore.testing.faults import FaultyDriver
from tests.servers.s3 import S3Server, fresh_bucket

# A tree of one page, and what a copy of its three objects by the service needs.
TREE = {"a": b"one", "dir/b": b"two", "dir/c c": b"three"}


def settings(server: S3Server, **others: Any) -> dict[str, Any]:
    keys = {"access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key}
    return {"endpoint_url": server.endpoint_url, "region": server.region, **keys, **others}


def counted(server: S3Server, **others: Any) -> FaultyDriver:
    return FaultyDriver(open_driver(StorageConfig.build(f"s3://{fresh_bucket(server)}", settings(server, **others))))


def storage_of(driver: FaultyDriver, server: S3Server, **others: Any) -> Storage:
    bucket = parse_uri(f"s3://{fresh_bucket(server)}/tree/")
    return driver.storage(bucket, **settings(server, **others))


@pytest.fixture
async def source(moto_s3: S3Server) -> AsyncIterator[tuple[Storage, FaultyDriver]]:
    driver = counted(moto_s3)
    async with storage_of(driver, moto_s3) as storage:
        for name, data in TREE.items():
            await storage.put(name, data, metadata={"colour": "blue"})
        driver.calls.clear()
        yield storage, driver


async def test_one_service_copies(moto_s3: S3Server, source: tuple[Storage, FaultyDriver]) -> None:
    """From bucket to bucket: one request for each object besides the listing, and no bytes."""
    one, reading = source
    writing = counted(moto_s3)
    async with storage_of(writing, moto_s3, max_requests=3) as other:
        result = await copy_tree(one, other, target_prefix="copy")

        assert result.done == len(TREE)
        assert reading.calls == {"list_page": 1}
        assert writing.calls["put"] == 0
        assert {name: await other.read(f"copy/{name}") for name in TREE} == TREE
        assert (await other.stat("copy/a")).metadata == {"colour": "blue"}


@pytest.mark.parametrize("other", [{"region": "eu-west-1"}, {"access_key_id": "other"}, {"addressing_style": "path"}])
async def test_other_settings_stream(
    moto_s3: S3Server, source: tuple[Storage, FaultyDriver], other: dict[str, Any]
) -> None:
    """With other settings the target may not be allowed to read the source: the bytes go through this process."""
    one, reading = source
    writing = counted(moto_s3, **other)
    async with storage_of(writing, moto_s3, **other) as two:
        assert not one_service(one, two)
        result = await copy_tree(one, two)

        assert result.done == len(TREE)
        assert (reading.calls["list_page"], reading.calls["open_read"]) == (1, len(TREE))
        assert writing.calls["put"] == len(TREE)
        assert {name: await two.read(name) for name in TREE} == TREE


async def test_conditions_and_times_of_copies_by_the_service(
    moto_s3: S3Server, source: tuple[Storage, FaultyDriver]
) -> None:
    """What exists is skipped; modification times are added to the metadata that the copy keeps."""
    one, _ = source
    async with storage_of(counted(moto_s3), moto_s3) as two:
        await two.put("a", b"theirs")
        create = BulkOptions(upload=UploadOptions(if_none_match="*"))

        result = await copy_tree(one, two, bulk=create, preserve_mtime=True)

        assert (result.done, result.skipped) == (2, 1)
        assert await two.read("a") == b"theirs"
        assert (await two.stat("dir/b")).metadata.keys() == {"colour", "mtime"}


async def test_two_worlds_of_memory_are_not_one_service() -> None:
    async with open_storage("memory://bucket") as one, open_storage("memory://bucket") as two:
        await one.put("a", b"one")
        assert not one_service(one, two)
        assert (await copy_tree(one, two)).done == 1
        assert await two.read("a") == b"one"

"""
Features of the memory driver only: configurable limits, shared objects, inspection.
"""

import pytest

from asyncstore.config import StorageConfig
from asyncstore.driver import Driver
from asyncstore.drivers.memory import MemoryDriver, open_driver
from asyncstore.errors import ConfigurationError, InvalidRequestError, NotFoundError
from tests.drivers.calls import Calls

_: type[Driver] = MemoryDriver


def opened(**settings: object) -> tuple[MemoryDriver, Calls]:
    config = StorageConfig.build("memory://bucket", settings)
    driver = open_driver(config)
    return driver, Calls(driver, config.uri)


async def test_limits_are_those_of_the_capabilities() -> None:
    """Keys, metadata and objects beyond the limits are refused."""
    memory, calls = opened(max_put_size="4", copy=False)

    assert not memory.capabilities.copy
    with pytest.raises(InvalidRequestError):
        await calls.put(data=b"12345")
    with pytest.raises(InvalidRequestError):
        await calls.put("k" * 1025)
    with pytest.raises(InvalidRequestError):
        await calls.put(metadata={"k": "v" * 2048})
    await calls.put("k" * 1024)
    with pytest.raises(ConfigurationError, match="no setting 'colour'"):
        opened(colour="red")
    with pytest.raises(ConfigurationError, match="max_parts"):
        opened(max_parts="many")


async def test_small_parts_are_refused_on_request() -> None:
    """The minimum part size is a setting; the last part may be smaller."""
    memory, calls = opened(min_part_size=3)
    upload_id, parts = await calls.upload([b"on", b"tw"])
    with pytest.raises(InvalidRequestError):
        await calls.complete(upload_id, parts)

    parts[-1] = await calls.part(upload_id, 1, b"one")
    await calls.complete(upload_id, parts)

    assert memory.objects == {"dir/key": b"onetw"}


async def test_completing_again_is_harmless() -> None:
    """A repeated completion returns the same object as long as it exists, as on S3."""
    memory, calls = opened(min_part_size=1)
    upload_id, parts = await calls.upload([b"one", b"two"])
    assert memory.uploads == {upload_id: "dir/key"}

    info = await calls.complete(upload_id, parts)

    assert info == await calls.complete(upload_id, parts)
    with pytest.raises(NotFoundError):
        await calls.complete(upload_id, parts[:1])
    await calls.put()
    with pytest.raises(NotFoundError):
        await calls.complete(upload_id, parts)
    assert memory.uploads == {}


async def test_pages_of_parts_and_uploads() -> None:
    """Each entry is listed once, whatever the page size."""
    memory, calls = opened(list_page_size=2)
    upload_id, _ = await calls.upload([b"1", b"2", b"3", b"4", b"5"])
    await calls.upload([b"1"])
    await calls.upload([b"1"], "dir/kez")

    numbers: list[int] = []
    token = None
    while token is not None or not numbers:
        page = await memory.list_parts(calls.key, upload_id, token)
        numbers += [part.number for part in page.parts]
        token = page.next_token
    first = await memory.list_multipart_uploads(calls.root, None)
    second = await memory.list_multipart_uploads(calls.root, first.next_token)

    assert numbers == [1, 2, 3, 4, 5]
    assert [upload.uri.key for upload in first.uploads] == ["dir/key", "dir/key"]
    assert [upload.uri.key for upload in second.uploads] == ["dir/kez"]
    assert second.next_token is None


async def test_worlds_are_apart_unless_shared() -> None:
    """Two storages of the same URI have separate objects, unless they share a name."""
    (_, one), (two, _), (_, three), (four, _) = opened(), opened(), opened(shared="w"), opened(shared="w")

    await one.put(storage_class="COLD")
    await three.put(data=b"shared")

    assert (await one.stat()).storage_class == "COLD"
    assert (two.objects, four.objects) == ({}, {"dir/key": b"shared"})

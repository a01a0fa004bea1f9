"""
Parts are written once, at their final offset; published objects never change.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncstore.checksum import compute
from asyncstore.driver.body import BytesLike
from asyncstore.drivers.local import completion, files
from asyncstore.errors import AlreadyExistsError, IntegrityError, InvalidRequestError, NotFoundError
from asyncstore.options import CopyOptions
from asyncstore.types import Checksum, ChecksumAlgorithm
from tests.drivers.calls import PLAIN, Broken, Calls, names_in, opened_files


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return opened_files(tmp_path)


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes that a completion had to copy."""
    copied: list[int] = []

    def watched(source: int, target: int, start: int, size: int, offset: int) -> int:
        copied.append(files.copy_bytes(source, target, start, size, offset))
        return copied[-1]

    monkeypatch.setattr(completion, "copy_bytes", watched)
    return copied


@pytest.mark.parametrize("order", [[1, 2, 3, 4], [4, 3, 2, 1], [2, 4, 1, 3]])
async def test_regular_parts_are_not_copied(calls: Calls, moved: list[int], tmp_path: Path, order: list[int]) -> None:
    """Parts in any order are in place; only a short last part that was uploaded first is copied."""
    data = {1: b"a" * 100, 2: b"b" * 100, 3: b"c" * 100, 4: b"d" * 7}
    upload_id = await calls.start(metadata={"k": "v"})
    parts = [await calls.part(upload_id, number, data[number]) for number in order]

    await calls.complete(upload_id, parts)

    assert await calls.objects() == {"dir/key": b"".join(data.values())}
    assert moved == ([7] if order[0] == 4 else [])
    assert (await calls.stat()).metadata == {"k": "v"}
    assert names_in(tmp_path / ".asyncstore/uploads") == names_in(tmp_path / ".asyncstore/tmp") == []


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.lists(st.tuples(st.integers(1, 5), st.binary(max_size=6)), min_size=1, max_size=12),
    only=st.sets(st.integers(1, 5)),
)
async def test_any_parts_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, bytes]], only: set[int]
) -> None:
    """Parts uploaded again, left out, or of a failed completion: the object has the last version of each part."""
    calls = opened_files(tmp_path_factory.mktemp("root"))
    await calls.put()
    upload_id = await calls.start()
    last = {}
    for number, data in sent:
        last[number] = data, await calls.part(upload_id, number, data)
    chosen = sorted(only & last.keys()) or sorted(last)

    with pytest.raises(AlreadyExistsError):
        await calls.complete(upload_id, [part for _, part in last.values()], if_none_match="*")
    with pytest.raises(IntegrityError):
        await calls.complete(
            upload_id, [last[number][1] for number in chosen], Checksum(ChecksumAlgorithm.CRC32C, b"none")
        )
    whole = b"".join(last[number][0] for number in chosen)
    checksum = compute(ChecksumAlgorithm.SHA256, whole)
    info = await calls.complete(upload_id, [last[number][1] for number in chosen], checksum)

    assert await calls.read() == whole
    assert info.checksum == compute(ChecksumAlgorithm.CRC32C, whole)
    assert checksum in (await calls.stat()).checksums


class Stuck(Broken):
    """A body that pauses before its last bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data), data)
        self.begun = asyncio.Event()
        self.release = asyncio.Event()

    async def chunks(self) -> AsyncIterator[BytesLike]:
        yield self._data[:1]
        self.begun.set()
        await self.release.wait()
        yield self._data[1:]


async def test_part_in_flight_never_ends_up_in_the_object(calls: Calls, moved: list[int]) -> None:
    """If an upload is completed while a part is written, the part fails and the object is intact."""
    upload_id = await calls.start()
    first = await calls.part(upload_id, 1, b"1" * 10)
    body = Stuck(b"2" * 10)
    late = asyncio.ensure_future(calls.driver.upload_part(calls.key, upload_id, 2, body, PLAIN))
    await body.begun.wait()

    await calls.complete(upload_id, [first])
    body.release.set()
    with pytest.raises(NotFoundError):
        await late

    assert await calls.objects() == {"dir/key": b"1" * 10}
    assert sum(moved) == 10


async def test_part_sent_again_replaces_only_when_it_is_whole(calls: Calls) -> None:
    """Until a new part is complete, and if it fails, the earlier one stays valid."""
    upload_id = await calls.start()
    first = await calls.part(upload_id, 1, b"1" * 10)
    body = Stuck(b"2" * 10)
    again = asyncio.ensure_future(calls.driver.upload_part(calls.key, upload_id, 1, body, PLAIN))
    await body.begun.wait()
    again.cancel()
    await asyncio.wait([again])
    with pytest.raises(IntegrityError):
        await calls.driver.upload_part(calls.key, upload_id, 1, Broken(size=1), PLAIN)

    await calls.complete(upload_id, [first])

    assert await calls.objects() == {"dir/key": b"1" * 10}


async def test_too_many_bytes_reach_no_other_part(calls: Calls) -> None:
    """A part that is longer than announced fails, and the next part is unchanged."""
    upload_id = await calls.start()
    second = await calls.part(upload_id, 2, b"2" * 4)
    with pytest.raises(IntegrityError):
        await calls.driver.upload_part(calls.key, upload_id, 1, Broken(size=4, data=b"x" * 8), PLAIN)
    first = await calls.part(upload_id, 1, b"1" * 4)

    await calls.complete(upload_id, [first, second])

    assert await calls.objects() == {"dir/key": b"11112222"}


async def test_resumed_by_another_driver(calls: Calls, tmp_path: Path, moved: list[int]) -> None:
    """Parts survive the process that uploaded them, also beside a slot that it left empty."""
    upload_id, _ = await calls.upload([b"aaaa", b"bbbb"])
    upload = tmp_path / ".asyncstore/uploads" / upload_id
    (upload / "slot-3").touch()

    other = opened_files(tmp_path)
    third = await other.part(upload_id, 3, b"cccc")
    page = await other.driver.list_parts(other.key, upload_id, None)
    await other.complete(upload_id, page.parts)

    assert await other.objects() == {"dir/key": b"aaaabbbbcccc"}
    assert page.parts[2] == third
    assert moved == [4]


@pytest.mark.parametrize("upload_id", ["", "..", "../tmp", "0" * 32, "x" * 32, "/etc", "0" * 31 + "\n"])
async def test_ids_of_nothing(calls: Calls, tmp_path: Path, upload_id: str) -> None:
    """An invalid upload id is not found, and aborting it does nothing."""
    real = await calls.start()
    with pytest.raises(NotFoundError):
        await calls.part(upload_id, 1, b"1")
    with pytest.raises(NotFoundError):
        await calls.complete(upload_id, [])
    with pytest.raises(NotFoundError):
        await calls.driver.list_parts(calls.key, upload_id, None)
    with pytest.raises(NotFoundError):
        await calls.part(real, 1, b"1", "other")

    await calls.driver.abort_multipart_upload(calls.key, upload_id)

    assert await calls.uploads() == {real: "dir/key"}


async def test_completed_upload_is_gone(calls: Calls, tmp_path: Path) -> None:
    """A repeated completion is not found; part numbers are bounded."""
    upload_id, parts = await calls.upload([b"1"])
    for number in (0, 10_001):
        with pytest.raises(InvalidRequestError):
            await calls.part(upload_id, number, b"1")
    await calls.complete(upload_id, parts)

    with pytest.raises(NotFoundError):
        await calls.complete(upload_id, parts)

    assert (tmp_path / "dir/key").stat().st_mode & 0o777 == 0o666 & ~umask()


async def test_copied_part_of_a_source_that_is_short(calls: Calls) -> None:
    """A part cannot be copied from beyond the end of the source."""
    await calls.put("source", b"0123456789")
    upload_id = await calls.start()

    with pytest.raises(InvalidRequestError):
        await calls.driver.copy_part(calls.root / "source", calls.key, upload_id, 1, 5, 11, CopyOptions())
    with pytest.raises(NotFoundError):
        await calls.driver.copy_part(calls.root / "none", calls.key, upload_id, 1, 0, 1, CopyOptions())

    page = await calls.driver.list_parts(calls.key, upload_id, None)
    assert list(page.parts) == []


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""
The memory and local drivers behave alike, and are as strict as the strictest provider.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.driver.body import Body
from asyncstore.drivers import memory
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
)
from asyncstore.options import ByteRange, CopyOptions, ReadOptions, WriteOptions
from asyncstore.types import ChecksumAlgorithm, Metadata, ObjectInfo, Part
from tests.drivers.calls import PLAIN, Broken, Calls, Hanging, copied, opened_files


@pytest.fixture(params=["memory", "local"])
def calls(request: pytest.FixtureRequest, tmp_path: Path) -> Calls:
    if request.param == "memory":
        config = StorageConfig.build("memory://bucket", {"min_part_size": 1})
        return Calls(memory.open_driver(config), config.uri)
    return opened_files(tmp_path)


async def _info(calls: Calls) -> ObjectInfo:
    stored = await calls.stat()
    return ObjectInfo(**{name: getattr(stored, name) for name in ObjectInfo.__dataclass_fields__})


async def test_stat_returns_all_that_was_stored(calls: Calls) -> None:
    """Headers, metadata and checksum are returned unchanged."""
    info = await calls.put(content_type="a/b", cache_control="no-store", metadata={"K": "v"})

    stored = await calls.stat()

    assert info == await _info(calls)
    assert (stored.content_type, stored.cache_control, stored.metadata) == ("a/b", "no-store", {"k": "v"})
    assert compute(ChecksumAlgorithm.CRC32C, b"data") == stored.checksum
    assert type(stored) is Metadata


async def test_each_write_has_its_own_etag(calls: Calls) -> None:
    """Writing the same bytes again results in another ETag."""
    etags = {(await calls.put()).etag for _ in range(3)}

    assert len(etags) == 3


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(ByteRange(0, 2), b"da"), (ByteRange(1), b"ata"), (ByteRange(1, 99), b"ata"), (ByteRange(-99), b"data")],
)
async def test_ranges(calls: Calls, wanted: ByteRange, expected: bytes) -> None:
    """Ends are exclusive and clipped; the reported size is that of the whole object."""
    await calls.put()
    body = await calls.driver.open_read(calls.key, ReadOptions(range=wanted))

    assert expected == await body.read()
    assert body.info.size == 4
    assert len(expected) == body.end - body.start


@pytest.mark.parametrize("data", [b"data", b""])
async def test_range_past_the_end_is_refused(calls: Calls, data: bytes) -> None:
    """A range that starts at the end is an error, and so is a suffix of an empty object."""
    await calls.put(data=data)

    with pytest.raises(RangeNotSatisfiableError):
        await calls.read(range=ByteRange(4) if data else ByteRange(-1))


async def test_conditional_reads(calls: Calls) -> None:
    """ETags take precedence over dates."""
    info = await calls.put()
    assert info.last_modified is not None
    later, earlier = info.last_modified + timedelta(seconds=1), info.last_modified - timedelta(seconds=1)

    assert await calls.read(if_match=info.etag, if_unmodified_since=earlier) == b"data"
    assert await calls.read(if_match=f'"{info.etag}"') == b"data"
    assert await calls.read(if_none_match="other", if_modified_since=later) == b"data"
    with pytest.raises(PreconditionFailedError):
        await calls.read(if_match="other")
    with pytest.raises(PreconditionFailedError):
        await calls.read(if_unmodified_since=earlier)
    with pytest.raises(NotModifiedError):
        await calls.read(if_none_match=info.etag)
    with pytest.raises(NotModifiedError):
        await calls.stat(if_modified_since=info.last_modified)


async def test_conditional_writes(calls: Calls) -> None:
    """A condition that does not hold changes nothing."""
    with pytest.raises(PreconditionFailedError):
        await calls.put(if_match="missing")
    first = await calls.put(if_none_match="*")
    with pytest.raises(AlreadyExistsError):
        await calls.put(data=b"2", if_none_match="*")
    await calls.put(data=b"3", if_match=first.etag)
    with pytest.raises(PreconditionFailedError):
        await calls.put(data=b"4", if_match=first.etag)
    with pytest.raises(PreconditionFailedError):
        await calls.delete(if_match=first.etag)

    assert await calls.objects() == {"dir/key": b"3"}


async def test_one_of_many_creators_wins(calls: Calls) -> None:
    """Of sixteen concurrent create-only writes, one succeeds."""
    outcomes: list[bytes] = []

    async def create(data: bytes) -> None:
        try:
            await calls.put(data=data, if_none_match="*")
        except AlreadyExistsError:
            return
        outcomes.append(data)

    async with anyio.create_task_group() as tg:
        for number in range(16):
            tg.start_soon(create, b"%d" % number)

    assert list((await calls.objects()).values()) == outcomes


async def test_compare_and_swap_loses_no_update(calls: Calls) -> None:
    """Five tasks that each add ten reach fifty."""
    await calls.put(data=b"0")

    async def add_ten() -> None:
        added = 0
        while added < 10:
            body = await calls.driver.open_read(calls.key, ReadOptions())
            value = int(await body.read())
            try:
                await calls.put(data=b"%d" % (value + 1), if_match=body.info.etag)
            except PreconditionFailedError:
                continue
            added += 1

    async with anyio.create_task_group() as tg:
        for _ in range(5):
            tg.start_soon(add_ten)

    assert await calls.objects() == {"dir/key": b"50"}


@pytest.mark.parametrize(
    "body",
    [
        Broken(size=5),
        Broken(size=3),
        Broken(checksum=compute(ChecksumAlgorithm.CRC32C, b"other")),
        Broken(checksum=compute(ChecksumAlgorithm.SHA256, b"other")),
    ],
)
async def test_wrong_bytes_have_no_effect(calls: Calls, body: Body) -> None:
    """A body whose length or checksum is wrong leaves the old object."""
    await calls.put()

    with pytest.raises(IntegrityError):
        await calls.driver.put(calls.key, body, WriteOptions(checksum=ChecksumAlgorithm.SHA256))

    assert await calls.objects() == {"dir/key": b"data"}


@pytest.mark.parametrize("native", [True, False])
async def test_cancelled_write_has_no_effect(calls: Calls, native: bool) -> None:
    """A write that is cancelled in the middle publishes nothing and closes its source."""
    body = Hanging()

    async def put() -> None:
        await calls.driver.put(calls.key, body, PLAIN)

    if native:
        task = asyncio.ensure_future(put())
        await body.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as tg:
            tg.start_soon(put)
            await body.started.wait()
            tg.cancel_scope.cancel()

    assert await calls.objects() == {}
    assert body.closed


async def test_delete_of_a_missing_object_succeeds(calls: Calls) -> None:
    """Deleting twice succeeds, unless a condition is set."""
    await calls.put()

    await calls.delete()
    await calls.delete()
    outcomes = await calls.driver.delete_batch([calls.key, calls.key])

    assert list(outcomes) == [None, None]
    assert await calls.objects() == {}
    with pytest.raises(PreconditionFailedError):
        await calls.delete(if_match="any")
    with pytest.raises(NotFoundError):
        await calls.stat()


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("delimiter", ["/", "\\", "abc"])
async def test_listing_by_pages(calls: Calls, size: int, delimiter: str) -> None:
    """For every page size, entries are in byte order, listed once, and rolled up by prefix."""
    for name in ["a", "d1{}x", "d1{}y", "d2-{}x", "d2{}x", "d2{}", "z", "ä", "𝄞", "\uffff"]:
        await calls.put(name.format(delimiter))

    rolled = await calls.keys(delimiter=delimiter, page_size=size)

    d1, d2, d2_ = (name + delimiter for name in ("d1", "d2", "d2-"))
    expected = sorted(["a", d1, d2_, d2, "z", "ä", "𝄞", "\uffff"], key=str.encode)
    assert expected == rolled
    assert sorted(await calls.objects(), key=str.encode) == await calls.keys(page_size=size)
    assert [d1 + "x", d1 + "y"] == await calls.keys(d1, delimiter=delimiter, page_size=size)
    assert [d2_, d2] == sorted(await calls.keys("d2", delimiter=delimiter, page_size=size), key=[d2_, d2].index)


async def test_start_after_is_exclusive(calls: Calls) -> None:
    """The key itself is excluded; a common prefix is compared by its own name."""
    for name in ["a", "b/1", "b/2", "c"]:
        await calls.put(name)

    assert await calls.keys(start_after="b/1") == ["b/2", "c"]
    assert await calls.keys(start_after="a", delimiter="/") == ["b/", "c"]
    assert await calls.keys(start_after="b/1", delimiter="/") == ["c"]
    assert await calls.keys(start_after="c") == []
    assert await calls.keys("b/", start_after="a") == ["b/1", "b/2"]


async def test_pages_are_stable_under_inserts_and_deletes(calls: Calls) -> None:
    """Changes in a page already listed do not change the next page."""
    for name in "bdfh":
        await calls.put(name)
    first, token = await calls.page(page_size=2)

    await calls.put("a")
    await calls.put("c")
    await calls.delete("d")
    second, end = await calls.page(token=token, page_size=2)

    assert (first, second, end) == (["b", "d"], ["f", "h"], None)


async def test_parts_in_any_order(calls: Calls) -> None:
    """Parts are joined by number, and nothing is visible before the completion."""
    upload_id, parts = await calls.upload([b"one", b"2", b"three"])
    parts[-1] = await calls.part(upload_id, 1, b"ONE")
    assert await calls.objects() == {}
    assert {upload_id: "dir/key"} == await calls.uploads()

    checksum = compute(ChecksumAlgorithm.CRC64NVME, b"ONE2three")
    info = await calls.complete(upload_id, parts, checksum)

    assert await calls.objects() == {"dir/key": b"ONE2three"}
    assert await calls.uploads() == {}
    stored = await calls.stat()
    assert stored.content_type == "a/b"
    assert [compute(ChecksumAlgorithm.CRC32C, b"ONE2three"), checksum] == list(stored.checksums)
    assert info == await _info(calls)


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [],
        lambda parts: [*parts, parts[0]],
        lambda _: [Part(9, "x", 1)],
        lambda _: [Part(1, "stale", 3)],
    ],
)
async def test_wrong_parts_are_refused(calls: Calls, change: Callable[[list[Part]], list[Part]]) -> None:
    """An upload that cannot be completed remains unfinished."""
    upload_id, parts = await calls.upload([b"one", b"two"])

    with pytest.raises(InvalidRequestError):
        await calls.complete(upload_id, change(parts))

    assert await calls.objects() == {}
    assert [upload_id] == list(await calls.uploads())


async def test_completion_checks_conditions_and_checksums(calls: Calls) -> None:
    """A wrong checksum and a failed condition each leave the upload unfinished."""
    upload_id, parts = await calls.upload([b"one", b"two"])
    wrong = compute(ChecksumAlgorithm.CRC32C, b"other")
    with pytest.raises(IntegrityError):
        await calls.complete(upload_id, parts, wrong)
    await calls.put()
    with pytest.raises(AlreadyExistsError):
        await calls.complete(upload_id, parts, if_none_match="*")
    await calls.complete(upload_id, parts)

    assert await calls.objects() == {"dir/key": b"onetwo"}


async def test_aborted_upload_is_gone(calls: Calls) -> None:
    """Aborting twice succeeds; a later part raises NotFoundError."""
    upload_id, parts = await calls.upload([b"one"])

    await calls.driver.abort_multipart_upload(calls.key, upload_id)
    await calls.driver.abort_multipart_upload(calls.key, upload_id)

    assert await calls.uploads() == {}
    with pytest.raises(NotFoundError):
        await calls.part(upload_id, 2, b"two")
    with pytest.raises(NotFoundError):
        await calls.complete(upload_id, parts)


async def test_parts_and_uploads_are_listed(calls: Calls) -> None:
    """Both listings return each entry once, in order; uploads are filtered by prefix."""
    upload_id, parts = await calls.upload([b"1", b"2", b"3"])
    other, _ = await calls.upload([b"1"], "dir/kez")
    await calls.upload([b"1"], "other")

    page = await calls.driver.list_parts(calls.key, upload_id, None)
    uploads = await calls.driver.list_multipart_uploads(calls.root / "dir/", None)

    assert list(page.parts) == parts[::-1]
    assert [upload_id, other] == [upload.upload_id for upload in uploads.uploads]
    assert page.next_token is None
    assert uploads.next_token is None


async def test_copies(calls: Calls) -> None:
    """A copy keeps or replaces all attributes, and checks the conditions of source and target."""
    info = await calls.put(content_type="a/b", metadata={"k": "v"})
    target = calls.root / "copy"

    made = await copied(calls.driver, calls.key, target, CopyOptions(source_if_match=info.etag))
    assert made.etag != info.etag
    assert (await calls.stat("copy")).metadata == {"k": "v"}
    with pytest.raises(AlreadyExistsError):
        await copied(calls.driver, calls.key, target, CopyOptions(if_none_match="*"))
    with pytest.raises(PreconditionFailedError):
        await copied(calls.driver, calls.key, target, CopyOptions(source_if_match="other"))
    await copied(
        calls.driver, calls.key, target, CopyOptions(replace=WriteOptions(metadata={"x": "y"}), if_match=made.etag)
    )

    stored = await calls.stat("copy")
    assert (stored.metadata, stored.content_type) == ({"x": "y"}, None)
    with pytest.raises(InvalidRequestError):
        await copied(calls.driver, calls.key, calls.key, CopyOptions())
    with pytest.raises(NotFoundError, match="none"):
        await copied(calls.driver, calls.root / "none", target, CopyOptions())


async def test_part_copied_from_an_object(calls: Calls) -> None:
    """A range of an object becomes a part."""
    await calls.put(data=b"0123456789")
    target = calls.root / "copy"
    upload_id = await calls.driver.initiate_multipart_upload(target, PLAIN)

    parts = [
        await calls.driver.copy_part(calls.key, target, upload_id, 2, 5, 10, CopyOptions()),
        await calls.driver.copy_part(calls.key, target, upload_id, 1, 0, 5, CopyOptions()),
    ]
    await calls.complete(upload_id, parts, key="copy")

    assert await calls.read("copy") == b"0123456789"

"""
The memory driver keeps the promises of the strictest cloud.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import anyio
import pytest

from asyncstore.body import Body, BytesBody, BytesLike
from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.driver import Driver
from asyncstore.drivers.memory import MemoryDriver, open_driver
from asyncstore.errors import (
    AlreadyExistsError,
    ConfigurationError,
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    StorageError,
)
from asyncstore.options import ByteRange, CopyOptions, DeleteOptions, ListOptions, ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata, ObjectInfo, Part
from asyncstore.uri import ObjectURI, parse_uri

ROOT = parse_uri("memory://bucket")
KEY = ROOT / "dir/key"
PLAIN = WriteOptions()

_: type[Driver] = MemoryDriver


@pytest.fixture
def memory() -> MemoryDriver:
    return opened()


def opened(**settings: object) -> MemoryDriver:
    return open_driver(StorageConfig.build(ROOT, settings))


async def put(driver: Driver, uri: ObjectURI = KEY, data: bytes = b"data", **options: object) -> ObjectInfo:
    return await driver.put(uri, BytesBody(data), WriteOptions(**options))  # type: ignore[arg-type]


async def read(driver: Driver, uri: ObjectURI = KEY, **options: object) -> bytes:
    body = await driver.open_read(uri, ReadOptions(**options))  # type: ignore[arg-type]
    try:
        return await body.read()
    finally:
        await body.aclose()


async def keys(driver: Driver, prefix: str = "", **options: object) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        page = await driver.list_page(ROOT.with_key(prefix), ListOptions(**options), token)  # type: ignore[arg-type]
        found += [info.key for info in page.objects]
        token = page.next_token
        if token is None:
            return found


class Broken(Body):
    """A body that says something else than it does."""

    def __init__(self, size: int = 4, data: bytes = b"data", checksum: Checksum | None = None) -> None:
        self.size = size
        self._data = data
        self._checksum = checksum

    async def chunks(self) -> AsyncIterator[BytesLike]:
        yield self._data[:1]
        yield self._data[1:]

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        return self._checksum if self._checksum and self._checksum.algorithm == algorithm else None


class Hanging(Body):
    """A body that stops in the middle for ever."""

    size = 10

    def __init__(self) -> None:
        self.closed = False

    async def chunks(self) -> AsyncIterator[BytesLike]:
        try:
            yield b"half "
            await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_stat_tells_all_that_was_stored(memory: MemoryDriver) -> None:
    """Headers, metadata, class and checksum come back as they went in."""
    info = await put(memory, content_type="a/b", cache_control="no-store", metadata={"K": "v"}, storage_class="COLD")

    stored = await memory.stat(KEY, ReadOptions())

    assert info == ObjectInfo(**{name: getattr(stored, name) for name in ObjectInfo.__dataclass_fields__})
    assert (
        stored.content_type,
        stored.cache_control,
        stored.metadata,
        stored.storage_class,
    ) == ("a/b", "no-store", {"k": "v"}, "COLD")
    assert compute(ChecksumAlgorithm.CRC32C, b"data") == stored.checksum
    assert type(stored) is Metadata


async def test_each_write_has_its_own_etag(memory: MemoryDriver) -> None:
    """The same bytes written again are another version."""
    etags = {(await put(memory)).etag for _ in range(3)}

    assert len(etags) == 3


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(ByteRange(0, 2), b"da"), (ByteRange(1), b"ata"), (ByteRange(1, 99), b"ata"), (ByteRange(-99), b"data")],
)
async def test_ranges(memory: MemoryDriver, wanted: ByteRange, expected: bytes) -> None:
    """Ends are exclusive and clipped; the size is that of the whole object."""
    await put(memory)
    body = await memory.open_read(KEY, ReadOptions(range=wanted))

    assert expected == await body.read()
    assert body.info.size == 4
    assert len(expected) == body.end - body.start


@pytest.mark.parametrize("data", [b"data", b""])
async def test_range_from_the_end_on_is_refused(memory: MemoryDriver, data: bytes) -> None:
    """A range that has no byte to begin with is an error, a suffix of nothing included."""
    await put(memory, data=data)

    with pytest.raises(RangeNotSatisfiableError):
        await read(memory, range=ByteRange(4) if data else ByteRange(-1))


async def test_conditional_reads(memory: MemoryDriver) -> None:
    """ETags go before dates."""
    info = await put(memory)
    assert info.last_modified is not None
    later, earlier = info.last_modified + timedelta(seconds=1), info.last_modified - timedelta(seconds=1)

    assert await read(memory, if_match=info.etag, if_unmodified_since=earlier) == b"data"
    assert await read(memory, if_match=f'"{info.etag}"') == b"data"
    assert await read(memory, if_none_match="other", if_modified_since=later) == b"data"
    with pytest.raises(PreconditionFailedError):
        await read(memory, if_match="other")
    with pytest.raises(PreconditionFailedError):
        await read(memory, if_unmodified_since=earlier)
    with pytest.raises(NotModifiedError):
        await read(memory, if_none_match=info.etag)
    with pytest.raises(NotModifiedError):
        await memory.stat(KEY, ReadOptions(if_modified_since=info.last_modified))


async def test_conditional_writes(memory: MemoryDriver) -> None:
    """A condition that does not hold changes nothing."""
    with pytest.raises(PreconditionFailedError):
        await put(memory, if_match="missing")
    first = await put(memory, if_none_match="*")
    with pytest.raises(AlreadyExistsError):
        await put(memory, data=b"2", if_none_match="*")
    await put(memory, data=b"3", if_match=first.etag)
    with pytest.raises(PreconditionFailedError):
        await put(memory, data=b"4", if_match=first.etag)
    with pytest.raises(PreconditionFailedError):
        await memory.delete(KEY, DeleteOptions(if_match=first.etag))

    assert memory.objects == {"dir/key": b"3"}


async def test_one_of_many_creators_wins(memory: MemoryDriver) -> None:
    """Sixteen create-only writes at once make one object."""
    outcomes: list[bytes] = []

    async def create(data: bytes) -> None:
        try:
            await put(memory, data=data, if_none_match="*")
        except AlreadyExistsError:
            return
        outcomes.append(data)

    async with anyio.create_task_group() as tg:
        for number in range(16):
            tg.start_soon(create, b"%d" % number)

    assert [memory.objects["dir/key"]] == outcomes


async def test_compare_and_swap_loses_no_update(memory: MemoryDriver) -> None:
    """Five tasks that each add ten reach fifty."""
    await put(memory, data=b"0")

    async def add_ten() -> None:
        added = 0
        while added < 10:
            body = await memory.open_read(KEY, ReadOptions())
            value = int(await body.read())
            try:
                await put(memory, data=b"%d" % (value + 1), if_match=body.info.etag)
            except PreconditionFailedError:
                continue
            added += 1

    async with anyio.create_task_group() as tg:
        for _ in range(5):
            tg.start_soon(add_ten)

    assert memory.objects == {"dir/key": b"50"}


@pytest.mark.parametrize(
    "body",
    [
        Broken(size=5),
        Broken(size=3),
        Broken(checksum=compute(ChecksumAlgorithm.CRC32C, b"other")),
        Broken(checksum=compute(ChecksumAlgorithm.SHA256, b"other")),
    ],
)
async def test_wrong_bytes_have_no_effect(memory: MemoryDriver, body: Body) -> None:
    """A body of another length or checksum leaves the old object."""
    await put(memory)

    with pytest.raises(IntegrityError):
        await memory.put(KEY, body, WriteOptions(checksum=ChecksumAlgorithm.SHA256))

    assert memory.objects == {"dir/key": b"data"}


@pytest.mark.parametrize("native", [True, False])
async def test_cancelled_write_has_no_effect(memory: MemoryDriver, native: bool) -> None:
    """A write cancelled in the middle publishes nothing and closes its source."""
    body = Hanging()

    if native:
        task = asyncio.ensure_future(memory.put(KEY, body, PLAIN))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        with anyio.move_on_after(0.01):
            await memory.put(KEY, body, PLAIN)

    assert memory.objects == {}
    assert body.closed


async def test_delete_of_what_is_missing_is_fine(memory: MemoryDriver) -> None:
    """Deleting twice is deleting; only a condition can fail."""
    await put(memory)

    await memory.delete(KEY, DeleteOptions())
    await memory.delete(KEY, DeleteOptions())
    outcomes = await memory.delete_batch([KEY, KEY])

    assert list(outcomes) == [None, None]
    assert memory.objects == {}
    with pytest.raises(PreconditionFailedError):
        await memory.delete(KEY, DeleteOptions(if_match="any"))
    with pytest.raises(NotFoundError):
        await memory.stat(KEY, ReadOptions())


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("delimiter", ["/", "\\", "abc"])
async def test_listing_by_pages(memory: MemoryDriver, size: int, delimiter: str) -> None:
    """Whatever the page size: byte order, each entry once, prefixes rolled up."""
    for name in ["a", "d1{}x", "d1{}y", "d2-{}x", "d2{}x", "d2{}", "z", "ä", "𝄞", "\uffff"]:
        await put(memory, ROOT / name.format(delimiter))

    rolled = await keys(memory, delimiter=delimiter, page_size=size)

    d1, d2, d2_ = (name + delimiter for name in ("d1", "d2", "d2-"))
    expected = sorted(["a", d1, d2_, d2, "z", "ä", "𝄞", "\uffff"], key=str.encode)
    assert expected == rolled
    assert sorted(memory.objects, key=str.encode) == await keys(memory, page_size=size)
    assert [d1 + "x", d1 + "y"] == await keys(memory, d1, delimiter=delimiter, page_size=size)
    assert [d2_, d2] == sorted(await keys(memory, "d2", delimiter=delimiter, page_size=size), key=[d2_, d2].index)


async def test_start_after_is_exclusive(memory: MemoryDriver) -> None:
    """The key itself is left out; a common prefix counts by its own name."""
    for name in ["a", "b/1", "b/2", "c"]:
        await put(memory, ROOT / name)

    assert await keys(memory, start_after="b/1") == ["b/2", "c"]
    assert await keys(memory, start_after="a", delimiter="/") == ["b/", "c"]
    assert await keys(memory, start_after="b/1", delimiter="/") == ["c"]
    assert await keys(memory, start_after="c") == []
    assert await keys(memory, "b/", start_after="a") == ["b/1", "b/2"]


async def test_pages_are_stable_under_inserts_and_deletes(memory: MemoryDriver) -> None:
    """Changes in the page already seen move nothing in the next."""
    for name in "bdfh":
        await put(memory, ROOT / name)
    first = await memory.list_page(ROOT, ListOptions(page_size=2), None)

    await put(memory, ROOT / "a")
    await put(memory, ROOT / "c")
    await memory.delete(ROOT / "d", DeleteOptions())
    second = await memory.list_page(ROOT, ListOptions(page_size=2), first.next_token)

    assert [info.key for info in first.objects] == ["b", "d"]
    assert [info.key for info in second.objects] == ["f", "h"]
    assert second.next_token is None


async def upload(driver: Driver, data: list[bytes], uri: ObjectURI = KEY) -> tuple[str, list[Part]]:
    upload_id = await driver.initiate_multipart_upload(uri, WriteOptions(content_type="a/b"))
    numbered = list(enumerate(data, start=1))
    parts = [
        await driver.upload_part(uri, upload_id, number, BytesBody(part), PLAIN) for number, part in reversed(numbered)
    ]
    return upload_id, parts


async def test_parts_in_any_order(memory: MemoryDriver) -> None:
    """Parts are joined by number; nothing shows before; completing again is harmless."""
    upload_id, parts = await upload(memory, [b"one", b"2", b"three"])
    parts[-1] = await memory.upload_part(KEY, upload_id, 1, BytesBody(b"ONE"), PLAIN)
    assert memory.objects == {}
    assert {upload_id: "dir/key"} == memory.uploads

    checksum = compute(ChecksumAlgorithm.CRC64NVME, b"ONE2three")
    info = await memory.complete_multipart_upload(KEY, upload_id, parts, PLAIN, checksum)

    assert memory.objects == {"dir/key": b"ONE2three"}
    assert memory.uploads == {}
    stored = await memory.stat(KEY, ReadOptions())
    assert stored.content_type == "a/b"
    assert [compute(ChecksumAlgorithm.CRC32C, b"ONE2three"), checksum] == list(stored.checksums)
    assert info == await memory.complete_multipart_upload(KEY, upload_id, parts, PLAIN)
    await put(memory)
    with pytest.raises(NotFoundError):
        await memory.complete_multipart_upload(KEY, upload_id, parts, PLAIN)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda parts: [], InvalidRequestError),
        (lambda parts: [*parts, parts[0]], InvalidRequestError),
        (lambda parts: [Part(9, "x", 1)], InvalidRequestError),
        (lambda parts: [Part(1, "stale", 3)], InvalidRequestError),
    ],
)
async def test_wrong_parts_are_refused(memory: MemoryDriver, change: object, error: type[StorageError]) -> None:
    """An upload that cannot be completed as asked stays unfinished."""
    upload_id, parts = await upload(memory, [b"one", b"two"])

    with pytest.raises(error):
        await memory.complete_multipart_upload(KEY, upload_id, change(parts), PLAIN)  # type: ignore[operator]

    assert memory.objects == {}
    assert [upload_id] == list(memory.uploads)


async def test_completing_holds_conditions_and_checksums() -> None:
    """A small part, a wrong checksum and an object in the way each leave the upload as it is."""
    memory = opened(min_part_size=3)
    upload_id, parts = await upload(memory, [b"on", b"two"])
    with pytest.raises(InvalidRequestError):
        await memory.complete_multipart_upload(KEY, upload_id, parts, PLAIN)
    parts[-1] = await memory.upload_part(KEY, upload_id, 1, BytesBody(b"one"), PLAIN)

    wrong = compute(ChecksumAlgorithm.CRC32C, b"other")
    with pytest.raises(IntegrityError):
        await memory.complete_multipart_upload(KEY, upload_id, parts, PLAIN, wrong)
    await put(memory)
    with pytest.raises(AlreadyExistsError):
        await memory.complete_multipart_upload(KEY, upload_id, parts, WriteOptions(if_none_match="*"))
    await memory.complete_multipart_upload(KEY, upload_id, parts, PLAIN)

    assert memory.objects == {"dir/key": b"onetwo"}


async def test_aborted_upload_is_gone(memory: MemoryDriver) -> None:
    """Aborting twice is fine; a part that comes later finds no upload."""
    upload_id, parts = await upload(memory, [b"one"])

    await memory.abort_multipart_upload(KEY, upload_id)
    await memory.abort_multipart_upload(KEY, upload_id)

    assert memory.uploads == {}
    with pytest.raises(NotFoundError):
        await memory.upload_part(KEY, upload_id, 2, BytesBody(b"two"), PLAIN)
    with pytest.raises(NotFoundError):
        await memory.complete_multipart_upload(KEY, upload_id, parts, PLAIN)


async def test_parts_and_uploads_are_listed_by_pages() -> None:
    """Both listings give each entry once, in order."""
    memory = opened(list_page_size=2)
    upload_id, _ = await upload(memory, [b"1", b"2", b"3", b"4", b"5"])
    await upload(memory, [b"1"], ROOT / "dir/kez")
    await upload(memory, [b"1"])
    await upload(memory, [b"1"], ROOT / "other")

    numbers, token = [], None
    while True:
        page = await memory.list_parts(KEY, upload_id, token)
        numbers += [part.number for part in page.parts]
        token = page.next_token
        if token is None:
            break
    first = await memory.list_multipart_uploads(ROOT / "dir/", None)
    second = await memory.list_multipart_uploads(ROOT / "dir/", first.next_token)

    assert numbers == [1, 2, 3, 4, 5]
    assert [upload.uri.key for upload in first.uploads] == ["dir/key", "dir/key"]
    assert [upload.uri.key for upload in second.uploads] == ["dir/kez"]
    assert second.next_token is None


async def test_copies(memory: MemoryDriver) -> None:
    """A copy keeps all or replaces all, and its conditions hold for the target."""
    info = await put(memory, content_type="a/b", metadata={"k": "v"})
    target = ROOT / "copy"

    copied = await memory.copy(KEY, target, CopyOptions(source_if_match=info.etag))
    assert copied.etag != info.etag
    assert (await memory.stat(target, ReadOptions())).metadata == {"k": "v"}
    with pytest.raises(AlreadyExistsError):
        await memory.copy(KEY, target, CopyOptions(if_none_match="*"))
    with pytest.raises(PreconditionFailedError):
        await memory.copy(KEY, target, CopyOptions(source_if_match="other"))
    await memory.copy(KEY, target, CopyOptions(replace=WriteOptions(metadata={"x": "y"}), if_match=copied.etag))

    stored = await memory.stat(target, ReadOptions())
    assert (stored.metadata, stored.content_type) == ({"x": "y"}, None)
    with pytest.raises(InvalidRequestError):
        await memory.copy(KEY, KEY, CopyOptions())
    with pytest.raises(NotFoundError, match="none"):
        await memory.copy(ROOT / "none", target, CopyOptions())


async def test_part_copied_from_an_object(memory: MemoryDriver) -> None:
    """A range of an object becomes a part."""
    await put(memory, data=b"0123456789")
    target = ROOT / "copy"
    upload_id = await memory.initiate_multipart_upload(target, PLAIN)

    parts = [
        await memory.copy_part(KEY, target, upload_id, 2, 5, 10, CopyOptions()),
        await memory.copy_part(KEY, target, upload_id, 1, 0, 5, CopyOptions()),
    ]
    await memory.complete_multipart_upload(target, upload_id, parts, PLAIN)

    assert memory.objects["copy"] == b"0123456789"


async def test_limits_are_those_of_the_capabilities() -> None:
    """Longer keys, more metadata and bigger objects than announced are refused."""
    memory = opened(max_put_size="4", copy=False)

    assert not memory.capabilities.copy
    with pytest.raises(InvalidRequestError):
        await put(memory, data=b"12345")
    with pytest.raises(InvalidRequestError):
        await put(memory, ROOT / ("k" * 1025))
    with pytest.raises(InvalidRequestError):
        await put(memory, metadata={"k": "v" * 2048})
    await put(memory, ROOT / ("k" * 1024))
    with pytest.raises(ConfigurationError, match="no setting 'colour'"):
        opened(colour="red")
    with pytest.raises(ConfigurationError, match="max_parts"):
        opened(max_parts="many")


async def test_worlds_are_apart_unless_shared() -> None:
    """The same URI opened twice is two worlds, or one under a name."""
    one, two, three, four = opened(), opened(), opened(shared="w"), opened(shared="w")

    await put(one)
    await put(three, data=b"shared")

    assert (two.objects, four.objects) == ({}, {"dir/key": b"shared"})

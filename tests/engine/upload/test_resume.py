"""
An interrupted upload resumes from the parts that the provider has stored.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from asyncstore.checksum import compute
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    InvalidRequestError,
    PermissionDeniedError,
    SourceChangedError,
    StorageError,
    UnavailableError,
)
from asyncstore.options import BulkOptions, UploadOptions, WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.fault_rules import Call
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Checksum, ChecksumAlgorithm, ObjectInfo, Part, ProgressEvent, Upload
from asyncstore.uri import ObjectURI
from tests.build import KEY, ROOT, at_rest, patterned, stream, written
from tests.stepping import WAYS, Cancelled, cancelled_at

DATA = patterned(4500)
COUNT = 5
CRC32C = ChecksumAlgorithm.CRC32C
RESUME = UploadOptions(part_size=1000, multipart_threshold=1000, max_concurrency=1, resume=True, checksum=CRC32C)


class Witness(MemoryDriver):
    """
    Memory that records the announced checksum of the whole object.
    """

    def __init__(self) -> None:
        super().__init__()
        self.announced: list[Checksum | None] = []

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        self.announced.append(checksum)
        return await super().complete_multipart_upload(uri, upload_id, parts, options, checksum)


@pytest.fixture
def memory() -> Witness:
    return Witness()


@pytest.fixture
async def storage(faults: FaultyDriver, memory: Witness) -> AsyncIterator[Storage]:
    storage = faults.storage(ROOT)
    yield storage
    at_rest(storage, faults)
    faults.heal()
    await storage.aclose()
    assert {} == memory.uploads
    assert not storage._requests.uploads.objects


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "file", DATA)


class Sent:
    """
    Records the numbers of the parts written, as a fault rule that never applies.
    """

    def __init__(self, faults: FaultyDriver) -> None:
        self.numbers: list[int] = []
        faults.fail("upload_part", where=self._note)

    def _note(self, call: Call) -> bool:
        assert call.number is not None
        self.numbers.append(call.number)
        return False


async def interrupted(storage: Storage, faults: FaultyDriver, path: Path, *, sent: int) -> None:
    """
    Upload *path* until *sent* parts are stored, then fail.
    """
    faults.fail("upload_part", times=None, after=sent)
    with pytest.raises(UnavailableError):
        await storage.upload(path, KEY, options=RESUME)
    faults.heal()
    faults.calls.clear()


def start_over(faults: FaultyDriver, memory: Witness) -> None:
    """
    Delete the object; no unfinished upload may exist.
    """
    faults.heal()
    assert {} == memory.uploads
    memory._world.bucket(ROOT).remove(KEY.key)
    assert {} == memory.objects


def held(memory: MemoryDriver) -> set[int]:
    return {number for upload in memory._world.uploads.values() for number in upload.parts}


def restarted(faults: FaultyDriver) -> bool:
    """
    Return whether a new upload was initiated and the recorded one was aborted.
    """
    ops = ("initiate_multipart_upload", "upload_part", "complete_multipart_upload", "abort_multipart_upload")
    return [faults.calls[op] for op in ops] == [1, COUNT, 1, 1]


class TestInterrupted:
    """
    At any point.
    """

    @pytest.mark.parametrize("sent", range(COUNT))
    async def test_between_parts(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path, sent: int
    ) -> None:
        """
        Stored parts are not sent again, and the checksum is that of the whole object.
        """
        await interrupted(storage, faults, path, sent=sent)
        again = Sent(faults)

        info = await storage.upload(path, KEY, options=RESUME)

        assert list(range(sent + 1, COUNT + 1)) == again.numbers
        assert DATA == memory.objects["dir/key"]
        assert len(DATA) == info.size
        assert [compute(CRC32C, DATA)] == memory.announced
        assert 0 == faults.calls["initiate_multipart_upload"] == faults.calls["abort_multipart_upload"]

    async def test_before_completion(self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path) -> None:
        """
        If all parts are stored, only the completion is sent.
        """
        faults.fail("complete_multipart_upload", times=None)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=RESUME)
        faults.heal()
        faults.calls.clear()

        await storage.upload(path, KEY, options=RESUME)

        assert {"list_parts": 1, "complete_multipart_upload": 1} == dict(faults.calls)
        assert [compute(CRC32C, DATA)] == memory.announced

    async def test_several_times(self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path) -> None:
        """
        Each attempt resumes where the previous one stopped.
        """
        sent = Sent(faults)
        for _ in range(COUNT - 1):
            faults.fail("upload_part", PermissionDeniedError("the key has expired"), after=1)
            with pytest.raises(PermissionDeniedError):
                await storage.upload(path, KEY, options=RESUME)
        await storage.upload(path, KEY, options=RESUME)

        # One of each, and those that failed.
        assert [1, 2, 2, 3, 3, 4, 4, 5, 5] == sent.numbers
        assert DATA == memory.objects["dir/key"]

    @pytest.mark.parametrize("way", WAYS)
    async def test_at_every_step(
        self,
        faults: FaultyDriver,
        memory: Witness,
        path: Path,
        threads_inline: None,
        small_chunks: int,
        way: type[Cancelled],
    ) -> None:
        """
        After a cancellation at any await, inside or between parts, the next upload sends only what is missing.
        """
        step, alive = 0, True
        while alive:
            step += 1
            async with faults.storage(ROOT, max_requests=2, max_buffer_bytes=4000) as storage:
                options = replace(RESUME, max_concurrency=2)

                alive = await cancelled_at(step, way(), lambda: storage.upload(path, KEY, options=options))  # noqa: B023
                at_rest(storage, faults)
                there, again = held(memory), Sent(faults)
                await storage.upload(path, KEY, options=options)

                assert sorted(again.numbers) == sorted(set(range(1, COUNT + 1)) - there), f"step {step}"
                assert DATA == memory.objects["dir/key"]
                assert compute(CRC32C, DATA) == memory.announced[-1]
            start_over(faults, memory)
        assert step > 30

    @pytest.mark.parametrize("way", WAYS)
    async def test_at_every_step_of_the_second_attempt(
        self,
        faults: FaultyDriver,
        memory: Witness,
        path: Path,
        threads_inline: None,
        small_chunks: int,
        way: type[Cancelled],
    ) -> None:
        """
        A resumed upload can be interrupted as well, without losing or leaving anything.
        """
        step, alive = 0, True
        while alive:
            step += 1
            async with faults.storage(ROOT) as storage:
                faults.lose_reply("upload_part", times=None, where=lambda call: call.number == 3)
                with suppress(UnavailableError):
                    await storage.upload(path, KEY, options=RESUME)
                faults.heal()
                faults.calls.clear()

                alive = await cancelled_at(step, way(), lambda: storage.upload(path, KEY, options=RESUME))
                at_rest(storage, faults)
                there, again = held(memory), Sent(faults)
                assert there >= {1, 2, 3} or alive is False or DATA == memory.objects["dir/key"]
                await storage.upload(path, KEY, options=RESUME)

                assert sorted(again.numbers) == sorted(set(range(1, COUNT + 1)) - there), f"step {step}"
                assert DATA == memory.objects["dir/key"]
                assert compute(CRC32C, DATA) == memory.announced[-1]
            start_over(faults, memory)
        assert step > 10


class TestStoredParts:
    """
    The parts that the provider lists are compared.
    """

    async def test_part_whose_reply_was_lost(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        """
        It is recognized by the checksum of its bytes, and not sent again.
        """
        faults.lose_reply("upload_part", times=None, after=1)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=RESUME)
        faults.heal()
        again = Sent(faults)

        await storage.upload(path, KEY, options=RESUME)

        assert [3, 4, 5] == again.numbers
        assert [compute(CRC32C, DATA)] == memory.announced

    @pytest.mark.parametrize("algorithm", [None, *ChecksumAlgorithm])
    async def test_part_whose_reply_was_lost_by_another_checksum(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path, algorithm: ChecksumAlgorithm | None
    ) -> None:
        options = replace(RESUME, checksum=algorithm)
        faults.lose_reply("upload_part", times=None)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=options)
        faults.heal()
        again = Sent(faults)

        await storage.upload(path, KEY, options=options)

        assert [2, 3, 4, 5] == again.numbers
        assert DATA == memory.objects["dir/key"]

    @pytest.mark.parametrize(("etag", "expected"), [(True, [3, 4, 5]), (False, [2, 3, 4, 5])], ids=["md5", "opaque"])
    async def test_part_without_a_checksum(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path, etag: bool, expected: list[int]
    ) -> None:
        """
        An ETag that is the MD5 of the bytes is enough; an opaque one is not.
        """
        faults.capabilities = replace(faults.capabilities, etag_is_md5=True)
        faults.lose_reply("upload_part", times=None, after=1)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=RESUME)
        faults.heal()
        (upload,) = memory._world.uploads.values()
        part, data = upload.parts[2]
        name = compute(ChecksumAlgorithm.MD5, data).value.hex() if etag else part.etag
        upload.parts[2] = (replace(part, checksum=None, etag=name), data)
        again = Sent(faults)

        await storage.upload(path, KEY, options=RESUME)

        assert expected == again.numbers
        assert [compute(CRC32C, DATA)] == memory.announced

    @pytest.mark.parametrize("other", [bytes(1000), bytes(999)], ids=["other-bytes", "other-size"])
    async def test_part_replaced_by_another_program(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path, other: bytes
    ) -> None:
        """
        A part that another program replaced is sent again.
        """
        await interrupted(storage, faults, path, sent=3)
        (upload_id,) = memory.uploads
        await storage.upload_part(KEY, upload_id, 2, other)
        again = Sent(faults)

        await storage.upload(path, KEY, options=RESUME)

        assert [2, 4, 5] == again.numbers
        assert DATA == memory.objects["dir/key"]

    async def test_missing_part(self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path) -> None:
        """
        A part that the provider does not list is sent again, even if it was confirmed before.
        """
        await interrupted(storage, faults, path, sent=3)
        (upload,) = memory._world.uploads.values()
        del upload.parts[1]
        again = Sent(faults)

        await storage.upload(path, KEY, options=RESUME)

        assert [1, 4, 5] == again.numbers

    async def test_missing_upload(self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path) -> None:
        """
        If the upload was aborted elsewhere, a new one starts.
        """
        await interrupted(storage, faults, path, sent=3)
        memory._world.uploads.clear()

        await storage.upload(path, KEY, options=RESUME)

        assert [1, COUNT, 0] == [
            faults.calls[op] for op in ("initiate_multipart_upload", "upload_part", "abort_multipart_upload")
        ]
        assert DATA == memory.objects["dir/key"]

    async def test_parts_on_several_pages(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        await interrupted(storage, faults, path, sent=4)
        memory.capabilities = replace(memory.capabilities, list_page_size=1)

        await storage.upload(path, KEY, options=RESUME)

        assert [4, 1] == [faults.calls["list_parts"], faults.calls["upload_part"]]

    async def test_failed_listing_of_parts_loses_nothing(
        self, storage: Storage, faults: FaultyDriver, path: Path
    ) -> None:
        """
        The recorded upload is kept for the next attempt.
        """
        await interrupted(storage, faults, path, sent=3)
        faults.fail("list_parts", times=None)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=RESUME)
        faults.heal()

        await storage.upload(path, KEY, options=RESUME)

        assert 2 == faults.calls["upload_part"]


class TestRestarted:
    """
    An upload of other bytes or options starts again, and the recorded one is aborted.
    """

    async def test_changed_bytes(self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path) -> None:
        await interrupted(storage, faults, path, sent=3)
        written(path, DATA[::-1])

        await storage.upload(path, KEY, options=RESUME)

        assert restarted(faults)
        assert DATA[::-1] == memory.objects["dir/key"]

    async def test_changed_bytes_of_the_same_time(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        """
        A change is noticed even if a program sets mtime back.
        """
        import os

        await interrupted(storage, faults, path, sent=3)
        before = path.stat()
        written(path, DATA[::-1])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

        await storage.upload(path, KEY, options=RESUME)

        assert restarted(faults)
        assert DATA[::-1] == memory.objects["dir/key"]

    async def test_another_file(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path, tmp_path: Path
    ) -> None:
        await interrupted(storage, faults, path, sent=3)

        await storage.upload(written(tmp_path / "other", DATA[::-1]), KEY, options=RESUME)

        assert restarted(faults)
        assert DATA[::-1] == memory.objects["dir/key"]

    @pytest.mark.parametrize(
        "options",
        [
            replace(RESUME, content_type="text/plain"),
            replace(RESUME, metadata={"a": "1"}),
            replace(RESUME, checksum=ChecksumAlgorithm.SHA256),
            replace(RESUME, part_size=1001),
        ],
        ids=["content-type", "metadata", "checksum", "part-size"],
    )
    async def test_other_options(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path, options: UploadOptions
    ) -> None:
        await interrupted(storage, faults, path, sent=3)

        await storage.upload(path, KEY, options=options)

        assert restarted(faults)
        assert (options.content_type, options.metadata) == (
            (await storage.stat(KEY)).content_type,
            (await storage.stat(KEY)).metadata,
        )

    async def test_options_that_do_not_matter(self, storage: Storage, faults: FaultyDriver, path: Path) -> None:
        await interrupted(storage, faults, path, sent=3)

        await storage.upload(path, KEY, options=replace(RESUME, max_concurrency=4, multipart_threshold=2000))

        assert 2 == faults.calls["upload_part"]

    async def test_file_that_became_small(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        await interrupted(storage, faults, path, sent=3)

        await storage.upload(written(path, b"small"), KEY, options=RESUME)

        assert {} == memory.uploads
        assert b"small" == memory.objects["dir/key"]

    async def test_failed_abort_does_not_stop_it(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        await interrupted(storage, faults, path, sent=3)
        faults.fail("abort_multipart_upload", InvalidRequestError("no"))
        written(path, DATA[::-1])

        await storage.upload(path, KEY, options=RESUME)

        assert DATA[::-1] == memory.objects["dir/key"]
        assert 1 == len(memory.uploads)
        memory._world.uploads.clear()


class TestNotResumable:
    """
    An upload that would fail in the same way, or cannot be trusted, is aborted immediately.
    """

    @pytest.mark.parametrize("op", ["upload_part", "complete_multipart_upload"])
    @pytest.mark.parametrize(
        "error",
        [InvalidRequestError("no"), IntegrityError("other bytes"), AlreadyExistsError("there is one")],
        ids=repr,
    )
    async def test_permanent_failure(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path, op: str, error: StorageError
    ) -> None:
        faults.fail(op, error)
        with pytest.raises(type(error)):
            await storage.upload(path, KEY, options=RESUME)

        assert 1 == faults.calls["abort_multipart_upload"]
        assert {} == memory.uploads

    async def test_file_that_changes_during_the_upload(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        stop = faults.hang("upload_part", after=3)
        task = asyncio.ensure_future(storage.upload(path, KEY, options=RESUME))
        await stop.reached()
        written(path, DATA[::-1])
        stop.release()
        with pytest.raises(SourceChangedError):
            await task

        assert {} == memory.uploads

    async def test_initiation_that_fails(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        """
        An upload whose initiation lost its reply is found and aborted, as usual.
        """
        faults.lose_reply("initiate_multipart_upload", times=None)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=RESUME)

        assert {} == memory.uploads

    async def test_initiation_with_a_lost_reply(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        """
        The orphan is aborted when the other upload is recorded, which is not.
        """
        faults.lose_reply("initiate_multipart_upload")
        await interrupted(storage, faults, path, sent=0)
        assert 1 == len(memory.uploads)

        await storage.upload(path, KEY, options=RESUME)

        assert COUNT == faults.calls["upload_part"]
        assert 0 == faults.calls["initiate_multipart_upload"]

    async def test_without_resume_nothing_is_kept(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        faults.fail("upload_part", times=None, after=3)
        with pytest.raises(UnavailableError):
            await storage.upload(path, KEY, options=replace(RESUME, resume=False))

        assert {} == memory.uploads

    async def test_streams_are_not_kept(self, storage: Storage, faults: FaultyDriver, memory: Witness) -> None:
        """
        It is unknown whether the next stream has the same bytes.
        """
        faults.fail("upload_part", times=None, after=1)
        for data in (DATA, stream(patterned(2_000_000))):
            with pytest.raises(UnavailableError):
                await storage.put(KEY, data, options=RESUME)

            assert {} == memory.uploads


class TestClosing:
    """
    Recorded uploads end with the storage.
    """

    async def test_closing_aborts_what_is_left(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        faults.fail("upload_part", times=None)
        for number in range(12):
            with pytest.raises(UnavailableError):
                await storage.upload(path, ROOT / f"key{number}", options=RESUME)
        assert 12 == len(memory.uploads)

        await storage.aclose()

        assert {} == memory.uploads
        assert 12 == faults.calls["abort_multipart_upload"]

    async def test_abort_that_fails_is_logged(
        self, faults: FaultyDriver, memory: Witness, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The others are still aborted, and closing continues.
        """
        storage = faults.storage(ROOT)
        faults.fail("upload_part", times=None)
        for number in range(3):
            with pytest.raises(UnavailableError):
                await storage.upload(path, ROOT / f"key{number}", options=RESUME)
        faults.fail("abort_multipart_upload", InvalidRequestError("no"))

        await storage.aclose()

        assert 1 == len(memory.uploads)
        assert "could not be aborted" in caplog.text

    async def test_closing_that_is_cancelled(self, faults: FaultyDriver, memory: Witness, path: Path) -> None:
        """
        The recorded upload is still aborted.
        """
        storage = faults.storage(ROOT)
        await interrupted(storage, faults, path, sent=3)
        stop = faults.hang("abort_multipart_upload")
        task = asyncio.ensure_future(storage.aclose())
        await stop.reached()
        task.cancel()
        await asyncio.sleep(0)
        stop.release()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert {} == memory.uploads


class TestSeveral:
    """
    Many uploads, and many of one object.
    """

    async def test_two_concurrent_uploads_of_one_object(
        self, storage: Storage, faults: FaultyDriver, memory: Witness, path: Path
    ) -> None:
        """
        Only one resumes the recorded upload; of two interrupted ones, one is recorded.
        """
        await interrupted(storage, faults, path, sent=3)
        faults.fail("upload_part", times=None)
        both = await asyncio.gather(
            *(storage.upload(path, KEY, options=RESUME) for _ in range(2)), return_exceptions=True
        )
        assert [UnavailableError] * 2 == [type(error) for error in both]
        assert 1 == len(memory.uploads)
        faults.heal()

        await asyncio.gather(*(storage.upload(path, KEY, options=RESUME) for _ in range(2)))

        assert {} == memory.uploads
        assert DATA == memory.objects["dir/key"]

    async def test_many(self, storage: Storage, faults: FaultyDriver, memory: Witness, tmp_path: Path) -> None:
        """
        After a bulk upload that failed in part, the next one sends what is missing.
        """
        items = [
            Upload(written(tmp_path / f"file{number}", DATA + bytes([number])), ROOT / f"key{number}")
            for number in range(4)
        ]
        faults.fail("upload_part", PermissionDeniedError("no"), times=None, where=lambda call: call.number == 4)
        options = BulkOptions(upload=RESUME)
        assert 4 == (await storage.bulk_upload(items, options=options)).failed
        faults.heal()
        faults.calls.clear()

        result = await storage.bulk_upload(items, options=options)

        assert 4 == result.done
        assert 8 == faults.calls["upload_part"]
        assert [DATA + bytes([number]) for number in range(4)] == [
            memory.objects[f"key{number}"] for number in range(4)
        ]
        assert sum(len(data) for data in memory.objects.values()) == result.total_bytes

    async def test_progress_counts_stored_parts(self, storage: Storage, faults: FaultyDriver, path: Path) -> None:
        """
        From the first event on; at the end it is the size of the file.
        """
        await interrupted(storage, faults, path, sent=3)
        events: list[ProgressEvent] = []

        await storage.upload(path, KEY, options=RESUME, progress=events.append)

        done = [event.bytes_done for event in events]
        assert sorted(done) == done
        assert 3000 == next(count for count in done if count)
        assert len(DATA) == done[-1]

"""
Transient and persistent failures of requests, and lost replies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from asyncstore.errors import AlreadyExistsError, InvalidRequestError, PermissionDeniedError, UnavailableError
from asyncstore.options import CopyOptions, UploadOptions
from asyncstore.protocols import DataLike
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, is_idle, keys_of, requires, unfinished_uploads
from asyncstore.testing.conformance.payloads import BROKEN, BrokenSourceError, async_chunks, payload
from asyncstore.testing.faults import FaultyDriver

_STEPS: Final = ("initiate_multipart_upload", "upload_part", "complete_multipart_upload")

# The statuses of replies that do not tell whether a write was carried out: none, the service's, a gateway's.
_UNKNOWN: Final = (None, 500, 504)


class Aborting(Harness):
    """
    A failed operation publishes nothing and leaves nothing; a transient fault is retried.
    """

    @requires("multipart")
    @pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "stream"])
    @pytest.mark.parametrize("op", _STEPS)
    async def test_failed_step_publishes_nothing(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str, streamed: bool
    ) -> None:
        """
        If any step of a multipart upload fails, its error is raised by itself, and nothing remains.
        """
        await storage.put(storage.root / "key", b"old")
        faults.fail(op, PermissionDeniedError("refused"), times=None)

        with pytest.raises(PermissionDeniedError):
            await self._put(faulty, streamed)

        assert await storage.read(storage.root / "key") == b"old"
        assert await unfinished_uploads(storage) == []
        assert faults.calls["abort_multipart_upload"] == (0 if op == "initiate_multipart_upload" else 1)
        assert is_idle(faulty, faults)

    @requires("multipart")
    async def test_failed_abort_does_not_hide_the_error(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        If the abort fails too, the first error is raised, with a note about the abort.
        """
        faults.fail("upload_part", PermissionDeniedError("refused"), times=None)
        faults.fail("abort_multipart_upload", InvalidRequestError("refused too"), times=None)

        with pytest.raises(PermissionDeniedError) as failure:
            await self._put(faulty)

        assert "refused too" in "".join(failure.value.__notes__)

    @requires("multipart")
    @pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
    async def test_failed_source_aborts_once(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, source: Callable[[bytes], DataLike]
    ) -> None:
        """
        A source that fails after the upload has started aborts it once.
        """
        data = payload(2 * self.part_size(storage) + 9)

        with pytest.raises(BrokenSourceError):
            await faulty.put(faulty.root / "key", source(data), options=self.multipart_options(storage))

        assert faults.calls["abort_multipart_upload"] == 1
        assert await unfinished_uploads(storage) == []
        assert await keys_of(storage) == []
        assert is_idle(faulty, faults)

    @requires("multipart")
    @pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "stream"])
    @pytest.mark.parametrize("op", _STEPS)
    async def test_transient_fault_of_a_step(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str, streamed: bool
    ) -> None:
        """
        A step that fails twice is retried, and the upload succeeds.
        """
        faults.fail(op, times=2)

        await self._put(faulty, streamed)

        assert await storage.read(storage.root / "key") == self.two_parts(storage)
        assert await unfinished_uploads(storage) == []
        assert faulty.statistics().retries == 2

    @requires("multipart")
    @pytest.mark.parametrize("status", _UNKNOWN)
    @pytest.mark.parametrize("op", _STEPS)
    async def test_lost_reply_of_a_step(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str, status: int | None
    ) -> None:
        """
        A step whose reply is lost was carried out: the object is right, and no upload remains.
        """
        faults.lose_reply(op, _unknown(status))

        info = await self._put(faulty)

        assert info.size == len(self.two_parts(storage))
        assert await storage.read(storage.root / "key") == self.two_parts(storage)
        assert await unfinished_uploads(storage) == []

    @requires("multipart")
    async def test_lost_reply_of_an_abort(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        An abort whose reply is lost is retried, and a missing upload is not an error.
        """
        faults.fail("upload_part", PermissionDeniedError("refused"), times=None)
        faults.lose_reply("abort_multipart_upload")

        with pytest.raises(PermissionDeniedError) as failure:
            await self._put(faulty)

        assert "cleanup failed" not in "".join(getattr(failure.value, "__notes__", []))
        assert await unfinished_uploads(storage) == []

    @requires("multipart")
    async def test_persistent_fault(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A step that keeps failing is attempted as often as allowed; then the upload is aborted.
        """
        faults.fail("upload_part", times=None, where=lambda call: call.number == 1)

        with pytest.raises(UnavailableError) as failure:
            await self._put(faulty)

        assert "gave up after 6 attempts" in "".join(failure.value.__notes__)
        assert await unfinished_uploads(storage) == []
        assert await keys_of(storage) == []

    @pytest.mark.parametrize("op", ["put", "stat", "open_read", "delete", "list_page"])
    async def test_transient_fault(self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str) -> None:
        """
        Every request that fails twice is retried.
        """
        faults.fail(op, times=2)

        await _everything(faulty)

        assert faults.calls[op] >= 3
        assert faulty.statistics().retries == 2
        assert is_idle(faulty, faults)

    @pytest.mark.parametrize("op", ["put", "stat", "open_read", "delete", "list_page"])
    async def test_lost_reply(self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str) -> None:
        """
        Every request whose reply is lost is retried, with the same outcome.
        """
        faults.lose_reply(op)

        await _everything(faulty)

        assert is_idle(faulty, faults)

    @requires("conditional_create")
    @pytest.mark.parametrize("status", _UNKNOWN)
    async def test_lost_reply_of_a_creation(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, status: int | None
    ) -> None:
        """
        A create-only write whose outcome is unknown recognizes the object as its own, and succeeds.
        """
        _require_proof_of_bytes(storage)
        faults.lose_reply("put", _unknown(status))

        info = await faulty.put(faulty.root / "key", b"data", options=UploadOptions(if_none_match="*"))

        assert info.etag == (await storage.stat(storage.root / "key")).etag
        assert await storage.read(storage.root / "key") == b"data"

    @requires("conditional_create")
    @pytest.mark.parametrize("status", _UNKNOWN)
    async def test_older_object_of_the_same_bytes(
        self,
        storage: Storage,
        faulty: Storage,
        faults: FaultyDriver,
        status: int | None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        An object that is older than a create-only write is not its own, whatever happened to the first attempt.
        """
        await storage.put(storage.root / "key", b"data")
        # As if it had been written two minutes before.
        monkeypatch.setattr(faults, "service_time", lambda: faults.driver.service_time() + 120)
        faults.fail("put", _unknown(status))

        with pytest.raises(AlreadyExistsError):
            await faulty.put(faulty.root / "key", b"data", options=UploadOptions(if_none_match="*"))

    @requires("conditional_create")
    async def test_request_that_was_never_sent(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        Without a connection nothing was carried out, so an object of the same bytes is someone else's.
        """
        await storage.put(storage.root / "key", b"data")
        refused = UnavailableError("the connection failed: connection refused")
        refused.sent = False
        faults.fail("put", refused)

        with pytest.raises(AlreadyExistsError):
            await faulty.put(faulty.root / "key", b"data", options=UploadOptions(if_none_match="*"))

    @requires("copy", "conditional_copy")
    @pytest.mark.parametrize("status", _UNKNOWN)
    async def test_lost_reply_of_a_create_only_copy(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, status: int | None
    ) -> None:
        """
        A create-only copy whose last reply is lost recognizes the object as its own, and succeeds.
        """
        _require_proof_of_bytes(storage)
        await storage.put(storage.root / "source", b"data")
        options = CopyOptions(if_none_match="*")
        await faulty.copy(faulty.root / "source", faulty.root / "first", options=options)
        steps = faults.calls["advance"]
        faults.lose_reply("advance" if steps else "copy", _unknown(status), after=max(0, steps - 1))

        info = await faulty.copy(faulty.root / "source", faulty.root / "second", options=options)

        assert info.size == 4
        assert await storage.read(storage.root / "second") == b"data"

    @requires("multipart")
    @pytest.mark.parametrize("status", _UNKNOWN)
    async def test_lost_replies_of_an_upload_by_hand(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, status: int | None
    ) -> None:
        """
        The multipart verbs resolve lost replies too: the object is found, and no upload without a known id is left.
        """
        target, data = faulty.root / "key", self.two_parts(storage)
        for op in ("initiate_multipart_upload", "upload_part", "complete_multipart_upload", "abort_multipart_upload"):
            faults.lose_reply(op, _unknown(status))
        size = self.part_size(storage)

        upload = await faulty.initiate_multipart_upload(target)
        parts = [
            await faulty.upload_part(target, upload, number + 1, data[start : start + size])
            for number, start in enumerate(range(0, len(data), size))
        ]
        info = await faulty.complete_multipart_upload(target, upload, parts)
        await faulty.abort_multipart_upload(target, await faulty.initiate_multipart_upload(target))

        assert info.size == len(data)
        assert await storage.read(storage.root / "key") == data
        assert await unfinished_uploads(storage) == []

    @requires("conditional_replace")
    @pytest.mark.parametrize("status", _UNKNOWN)
    async def test_lost_reply_of_a_swap(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, status: int | None
    ) -> None:
        """
        A conditional replacement whose outcome is unknown recognizes the object as its own, and succeeds.
        """
        _require_proof_of_bytes(storage)
        old = await storage.put(storage.root / "key", b"old")
        faults.lose_reply("put", _unknown(status))

        info = await faulty.put(faulty.root / "key", b"data", options=UploadOptions(if_match=old.etag))

        assert info.etag == (await storage.stat(storage.root / "key")).etag
        assert await storage.read(storage.root / "key") == b"data"

    async def _put(self, storage: Storage, streamed: bool = False) -> Any:
        data = self.two_parts(storage)
        source = async_chunks(data) if streamed else data
        return await storage.put(storage.root / "key", source, options=self.multipart_options(storage))


def _unknown(status: int | None) -> UnavailableError:
    return UnavailableError("injected fault: the outcome is unknown", status=status)


def _require_proof_of_bytes(storage: Storage) -> None:
    # The engine recognizes its own object by a checksum, or by an ETag that is the MD5.
    if not (storage.capabilities.checksums or storage.capabilities.etag_is_md5):
        pytest.xfail(f"{storage.provider} announces no checksums and no MD5 ETags, which would identify the object")


async def _everything(storage: Storage) -> None:
    target = storage.root / "key"
    info = await storage.put(target, b"data")
    assert info.size == 4
    assert (await storage.stat(target)).etag == info.etag
    assert await storage.read(target) == b"data"
    assert await keys_of(storage) == ["key"]
    await storage.delete(target)
    assert await keys_of(storage) == []

"""
Groups M and P: requests that fail, for a moment or for good, and replies that are lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from asyncstore.errors import InvalidRequestError, PermissionDeniedError, UnavailableError
from asyncstore.options import UploadOptions
from asyncstore.protocols import DataLike
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, nothing_under_way, requires, unfinished
from asyncstore.testing.conformance.payloads import BROKEN, BrokenSourceError, async_chunks, payload
from asyncstore.testing.faults import FaultyDriver

_STEPS: Final = ("initiate_multipart_upload", "upload_part", "complete_multipart_upload")


class Aborting(Harness):
    """
    Failure publishes nothing and leaves nothing; a passing fault is not noticed.
    """

    @requires("multipart")
    @pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "stream"])
    @pytest.mark.parametrize("op", _STEPS)
    async def test_failed_step_publishes_nothing(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str, streamed: bool
    ) -> None:
        """
        Whichever step of an upload by parts fails, its error comes out by itself, and nothing is left.
        """
        await storage.put(storage.root / "key", b"old")
        faults.fail(op, PermissionDeniedError("refused"), times=None)

        with pytest.raises(PermissionDeniedError):
            await self._put(faulty, streamed)

        assert await storage.read(storage.root / "key") == b"old"
        assert await unfinished(storage) == []
        assert faults.calls["abort_multipart_upload"] == (0 if op == "initiate_multipart_upload" else 1)
        assert nothing_under_way(faulty, faults)

    @requires("multipart")
    async def test_failed_abort_does_not_hide_the_error(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        If the abort fails as well, the first error is raised, with a note.
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
        A source that fails after the upload has begun aborts it, once.
        """
        data = payload(2 * self.part_size(storage) + 9)

        with pytest.raises(BrokenSourceError):
            await faulty.put(faulty.root / "key", source(data), options=self.by_parts(storage))

        assert faults.calls["abort_multipart_upload"] == 1
        assert await unfinished(storage) == []
        assert await keys_of(storage) == []
        assert nothing_under_way(faulty, faults)

    @requires("multipart")
    @pytest.mark.parametrize("streamed", [False, True], ids=["bytes", "stream"])
    @pytest.mark.parametrize("op", _STEPS)
    async def test_passing_fault_of_a_step(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str, streamed: bool
    ) -> None:
        """
        A step that fails twice is tried again, and all is well.
        """
        faults.fail(op, times=2)

        await self._put(faulty, streamed)

        assert await storage.read(storage.root / "key") == self.two_parts(storage)
        assert await unfinished(storage) == []
        assert faulty.statistics().retries == 2

    @requires("multipart")
    @pytest.mark.parametrize("op", _STEPS)
    async def test_lost_reply_of_a_step(self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str) -> None:
        """
        A step whose reply is lost has taken place: the object is right and no upload is left over.
        """
        faults.lose_reply(op)

        info = await self._put(faulty)

        assert info.size == len(self.two_parts(storage))
        assert await storage.read(storage.root / "key") == self.two_parts(storage)
        assert await unfinished(storage) == []

    @requires("multipart")
    async def test_lost_reply_of_an_abort(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        An abort whose reply is lost is sent again, and finds nothing to do.
        """
        faults.fail("upload_part", PermissionDeniedError("refused"), times=None)
        faults.lose_reply("abort_multipart_upload")

        with pytest.raises(PermissionDeniedError) as failure:
            await self._put(faulty)

        assert "could not clean up" not in "".join(getattr(failure.value, "__notes__", []))
        assert await unfinished(storage) == []

    @requires("multipart")
    async def test_fault_that_does_not_pass(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A step that keeps failing is given up after as many attempts as are allowed, and cleaned up.
        """
        faults.fail("upload_part", times=None, where=lambda call: call.number == 1)

        with pytest.raises(UnavailableError) as failure:
            await self._put(faulty)

        assert "gave up after 6 attempts" in "".join(failure.value.__notes__)
        assert await unfinished(storage) == []
        assert await keys_of(storage) == []

    @pytest.mark.parametrize("op", ["put", "stat", "open_read", "delete", "list_page"])
    async def test_passing_fault(self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str) -> None:
        """
        Every request that fails twice is tried again.
        """
        faults.fail(op, times=2)

        await _everything(faulty)

        assert faults.calls[op] >= 3
        assert faulty.statistics().retries == 2
        assert nothing_under_way(faulty, faults)

    @pytest.mark.parametrize("op", ["put", "stat", "open_read", "delete", "list_page"])
    async def test_lost_reply(self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str) -> None:
        """
        Every request whose reply is lost is sent again, with the same outcome.
        """
        faults.lose_reply(op)

        await _everything(faulty)

        assert nothing_under_way(faulty, faults)

    @requires("conditional_create")
    async def test_lost_reply_of_a_creation(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A creation whose reply is lost finds its own object, and knows it.
        """
        faults.lose_reply("put")

        info = await faulty.put(faulty.root / "key", b"data", options=UploadOptions(if_none_match="*"))

        assert info.etag == (await storage.stat(storage.root / "key")).etag
        assert await storage.read(storage.root / "key") == b"data"

    @requires("conditional_replace")
    async def test_lost_reply_of_a_swap(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A replacement whose reply is lost finds its own object, and knows it.
        """
        old = await storage.put(storage.root / "key", b"old")
        faults.lose_reply("put")

        info = await faulty.put(faulty.root / "key", b"data", options=UploadOptions(if_match=old.etag))

        assert info.etag == (await storage.stat(storage.root / "key")).etag
        assert await storage.read(storage.root / "key") == b"data"

    async def _put(self, storage: Storage, streamed: bool = False) -> Any:
        data = self.two_parts(storage)
        source = async_chunks(data) if streamed else data
        return await storage.put(storage.root / "key", source, options=self.by_parts(storage))


async def _everything(storage: Storage) -> None:
    target = storage.root / "key"
    info = await storage.put(target, b"data")
    assert info.size == 4
    assert (await storage.stat(target)).etag == info.etag
    assert await storage.read(target) == b"data"
    assert await keys_of(storage) == ["key"]
    await storage.delete(target)
    assert await keys_of(storage) == []

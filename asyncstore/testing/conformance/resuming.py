"""
Group N: uploads that are interrupted, and gone on with.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from asyncstore.errors import UnavailableError
from asyncstore.options import UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, nothing_under_way, requires, unfinished
from asyncstore.testing.conformance.interrupting import INTERRUPTS, Interrupt
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver

_PARTS: Final = 3


class Resuming(Harness):
    """
    With ``resume`` an upload goes on from what the provider has, within one storage.
    """

    @requires("multipart")
    @pytest.mark.parametrize("sent", range(_PARTS))
    async def test_upload_goes_on_after_a_failure(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, sent: int
    ) -> None:
        """
        After any number of parts, those that are there are not sent again.
        """
        path, data = self._file(storage, tmp_path)
        faults.fail("upload_part", times=None, after=sent)
        with pytest.raises(UnavailableError):
            await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))
        faults.heal()
        faults.calls.clear()

        await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))

        assert faults.calls["upload_part"] == _PARTS - sent
        assert faults.calls["initiate_multipart_upload"] == 0
        assert await storage.read(storage.root / "key") == data
        assert await unfinished(storage) == []
        assert nothing_under_way(faulty, faults)

    @requires("multipart")
    @pytest.mark.parametrize("interrupt", INTERRUPTS.values(), ids=INTERRUPTS)
    async def test_upload_goes_on_after_a_cancellation(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, interrupt: Interrupt
    ) -> None:
        """
        Cancelled in the middle of the second part, it sends that one and the third.
        """
        path, data = self._file(storage, tmp_path)
        stop = faults.hang("write", where=lambda call: call.number == 2)
        await interrupt(faulty.upload(path, faulty.root / "key", options=self._resuming(storage)), stop)
        faults.heal()
        faults.calls.clear()

        await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))

        assert faults.calls["upload_part"] == _PARTS - 1
        assert await storage.read(storage.root / "key") == data
        assert await unfinished(storage) == []
        assert nothing_under_way(faulty, faults)

    @requires("multipart")
    async def test_part_whose_reply_was_lost_is_not_sent_again(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A part that arrived is known by what the provider says of its bytes, if it says anything.
        """
        path, data = self._file(storage, tmp_path)
        faults.lose_reply("upload_part", after=1)
        # So that it is there once.
        faults.fail("upload_part", times=None, after=1)
        with pytest.raises(UnavailableError):
            await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))
        faults.heal()
        faults.calls.clear()
        (left,) = [upload async for upload in storage.list_multipart_uploads()]
        first, second = [part async for part in storage.list_parts(left.uri, left.upload_id)]
        tells = second.checksum is not None or re.fullmatch("[0-9a-f]{32}", second.etag) is not None

        await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))

        assert (first.number, second.number) == (1, 2)
        assert faults.calls["upload_part"] == _PARTS - (2 if tells else 1)
        assert await storage.read(storage.root / "key") == data

    @requires("multipart")
    async def test_changed_file_is_begun_anew(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        No part of the old bytes is in the object, and the old upload is aborted.
        """
        path, data = self._file(storage, tmp_path)
        faults.fail("upload_part", times=None, after=1)
        with pytest.raises(UnavailableError):
            await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))
        faults.heal()
        faults.calls.clear()
        path.write_bytes(data[::-1])

        await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))

        assert faults.calls["upload_part"] == _PARTS
        assert await storage.read(storage.root / "key") == data[::-1]
        assert await unfinished(storage) == []

    @requires("multipart")
    async def test_aborted_upload_is_begun_anew(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        Where the provider has nothing any more, everything is sent.
        """
        path, data = self._file(storage, tmp_path)
        faults.fail("upload_part", times=None, after=1)
        with pytest.raises(UnavailableError):
            await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))
        faults.heal()
        faults.calls.clear()
        async for left in storage.list_multipart_uploads():
            await storage.abort_multipart_upload(left.uri, left.upload_id)

        await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))

        assert faults.calls["upload_part"] == _PARTS
        assert await storage.read(storage.root / "key") == data
        assert await unfinished(storage) == []

    def _file(self, storage: Storage, folder: Path) -> tuple[Path, bytes]:
        data = payload((_PARTS - 1) * self.part_size(storage) + 9)
        path = folder / "file"
        path.write_bytes(data)
        return path, data

    def _resuming(self, storage: Storage) -> UploadOptions:
        return self.by_parts(storage, max_concurrency=1, resume=True)

"""
Resuming interrupted uploads.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from asyncstore.errors import PermissionDeniedError, UnavailableError
from asyncstore.options import DownloadOptions, MiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, is_idle, requires, unfinished_uploads
from asyncstore.testing.conformance.interrupts import INTERRUPTS, Interrupt
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Part, is_weak

_PARTS: Final = 3


class Resuming(Harness):
    """
    With ``resume``, an upload continues from the parts that the provider has, and a download from its file.
    """

    @requires("multipart")
    @pytest.mark.parametrize("sent", range(_PARTS))
    async def test_upload_resumes_after_a_failure(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, sent: int
    ) -> None:
        """
        An upload that failed after any number of parts sends only the missing parts.
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
        assert await unfinished_uploads(storage) == []
        assert is_idle(faulty, faults)

    @requires("multipart")
    @pytest.mark.parametrize("interrupt", INTERRUPTS.values(), ids=INTERRUPTS)
    async def test_upload_resumes_after_a_cancellation(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, interrupt: Interrupt
    ) -> None:
        """
        An upload that was cancelled in its second part sends the second and the third.
        """
        path, data = self._file(storage, tmp_path)
        stop = faults.hang("write", where=lambda call: call.number == 2)
        await interrupt(faulty.upload(path, faulty.root / "key", options=self._resuming(storage)), stop)
        faults.heal()
        faults.calls.clear()

        await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))

        assert faults.calls["upload_part"] == _PARTS - 1
        assert await storage.read(storage.root / "key") == data
        assert await unfinished_uploads(storage) == []
        assert is_idle(faulty, faults)

    @requires("multipart")
    async def test_part_whose_reply_was_lost_is_not_sent_again(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A part whose reply was lost is recognized by its checksum or MD5 ETag, if the provider reports one.
        """
        path, data = self._file(storage, tmp_path)
        faults.lose_reply("upload_part", after=1)
        # So that only one more part is stored.
        faults.fail("upload_part", times=None, after=1)
        with pytest.raises(UnavailableError):
            await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))
        faults.heal()
        faults.calls.clear()
        (left,) = [upload async for upload in storage.list_multipart_uploads()]
        first, second = [part async for part in storage.list_parts(left.uri, left.upload_id)]
        recognized = second.checksum is not None or self._has_md5(storage, second)

        await faulty.upload(path, faulty.root / "key", options=self._resuming(storage))

        assert (first.number, second.number) == (1, 2)
        assert faults.calls["upload_part"] == _PARTS - (2 if recognized else 1)
        assert await storage.read(storage.root / "key") == data

    @requires("multipart")
    async def test_recorded_upload_is_taken_up(
        self,
        storage: Storage,
        faulty: Storage,
        faults: FaultyDriver,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        An upload in the journal on disk sends the parts that the provider does not have; then the journal is empty.
        """
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        path, data = self._file(storage, tmp_path)
        options = replace(self._resuming(storage), resume="journal")
        faults.fail("upload_part", times=None, after=_PARTS - 1)
        with pytest.raises(UnavailableError):
            await faulty.upload(path, faulty.root / "key", options=options)
        faults.heal()
        faults.calls.clear()
        (left,) = [upload async for upload in storage.list_multipart_uploads()]
        sent = [part async for part in storage.list_parts(left.uri, left.upload_id)]
        known = [part for part in sent if part.checksum is not None or self._has_md5(storage, part)]

        await faulty.upload(path, faulty.root / "key", options=options)

        assert len(sent) == _PARTS - 1
        assert faults.calls["upload_part"] == _PARTS - len(known)
        assert await storage.read(storage.root / "key") == data
        assert await unfinished_uploads(storage) == []
        assert [item for item in (tmp_path / "state").rglob("*") if item.is_file()] == []
        assert is_idle(faulty, faults)

    @requires("multipart")
    async def test_changed_file_starts_a_new_upload(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        If the file has changed, all parts are sent again, and the old upload is aborted.
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
        assert await unfinished_uploads(storage) == []

    @requires("multipart")
    async def test_aborted_upload_starts_a_new_one(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        If the upload no longer exists at the provider, all parts are sent again.
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
        assert await unfinished_uploads(storage) == []

    @requires("ranges")
    async def test_download_resumes_after_a_failure(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A download that failed after two parts requests only the others; the whole file is verified.
        """
        data = payload(3 * MiB + 9)
        await storage.put(storage.root / "key", data)
        options = DownloadOptions(part_size=MiB, max_concurrency=1, resume=True)
        faults.fail("open_read", PermissionDeniedError("the key has expired"), after=2)
        with pytest.raises(PermissionDeniedError):
            await faulty.download(faulty.root / "key", tmp_path / "file", options=options)
        left = [*tmp_path.iterdir()]
        faults.calls.clear()

        info = await faulty.download(faulty.root / "key", tmp_path / "file", options=options)

        identifiable = info.version_id is not None or (info.etag is not None and not is_weak(info.etag))
        assert len(left) == identifiable
        assert faults.calls["open_read"] == (2 if identifiable else 4)
        assert (tmp_path / "file").read_bytes() == data
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def _file(self, storage: Storage, folder: Path) -> tuple[Path, bytes]:
        data = payload((_PARTS - 1) * self.part_size(storage) + 9)
        path = folder / "file"
        path.write_bytes(data)
        return path, data

    def _has_md5(self, storage: Storage, part: Part) -> bool:
        return storage.capabilities.etag_is_md5 and re.fullmatch("[0-9a-f]{32}", part.etag) is not None

    def _resuming(self, storage: Storage) -> UploadOptions:
        return self.multipart_options(storage, max_concurrency=1, resume=True)

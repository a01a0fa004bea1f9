"""
Cancellation: an operation that is cancelled anywhere leaves nothing behind.

Driver calls hang where the test chooses: before they are sent, in the middle of their bytes,
or after they were carried out, before the reply arrives.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from asyncstore.options import BulkOptions, ByteRange, CopyOptions, DownloadOptions, ListOptions, MiB
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, is_idle, keys_of, requires, unfinished_uploads
from asyncstore.testing.conformance.interrupts import INTERRUPTS, Interrupt
from asyncstore.testing.conformance.payloads import async_chunks, payload
from asyncstore.testing.fault_rules import Hang
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Download, Upload

#: Where a multipart upload can be interrupted, and whether the request was carried out by then.
_PLACES: Final = {
    "initiate": ("initiate_multipart_upload", False),
    "initiate-reply": ("initiate_multipart_upload", True),
    "part": ("upload_part", False),
    "part-bytes": ("write", False),
    "part-reply": ("upload_part", True),
    "complete": ("complete_multipart_upload", False),
}

_interrupted = pytest.mark.parametrize("interrupt", INTERRUPTS.values(), ids=INTERRUPTS)


class Cancelling(Harness):
    """
    No object, unfinished upload, file, open body or request remains, and the old object is unchanged.
    """

    @requires("multipart")
    @pytest.mark.parametrize("place", _PLACES.values(), ids=_PLACES)
    @_interrupted
    async def test_cancelled_multipart_upload(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, place: tuple[str, bool], interrupt: Interrupt
    ) -> None:
        """
        A cancelled multipart upload publishes nothing and is aborted once.
        """
        await storage.put(storage.root / "key", b"old")
        stop = _stop(faults, place)

        await interrupt(self._upload(faulty, "put"), stop)

        assert await storage.read(storage.root / "key") == b"old"
        assert await unfinished_uploads(storage) == []
        assert faults.calls["abort_multipart_upload"] == 1
        assert is_idle(faulty, faults)

    @requires("multipart")
    @pytest.mark.parametrize("way", ["stream", "upload"])
    @_interrupted
    async def test_cancelled_upload_from_a_source(
        self,
        storage: Storage,
        faulty: Storage,
        faults: FaultyDriver,
        tmp_path: Path,
        way: str,
        interrupt: Interrupt,
    ) -> None:
        """
        A cancelled multipart upload from a stream or a file leaves nothing.
        """
        stop = faults.hang("write", after=1)

        await interrupt(self._upload(faulty, way, tmp_path), stop)

        assert await keys_of(storage) == []
        assert await unfinished_uploads(storage) == []
        assert is_idle(faulty, faults)

    @requires("multipart")
    @_interrupted
    async def test_cancelled_reply_to_the_completion(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        An upload that is cancelled after its completion was carried out leaves the whole object, and no upload.
        """
        # A completion may take several requests: it is carried out with the last one.
        await self._upload(faulty, "put")
        steps = faults.calls["advance"]
        await storage.delete(storage.root / "key")
        last = "advance" if steps else "complete_multipart_upload"
        stop = faults.hang_reply(last, after=max(0, steps - 1))

        await interrupt(self._upload(faulty, "put"), stop)

        assert await storage.read(storage.root / "key") == self.two_parts(storage)
        assert await unfinished_uploads(storage) == []
        assert is_idle(faulty, faults)

    @pytest.mark.parametrize("op", ["put", "write"])
    @_interrupted
    async def test_cancelled_put(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str, interrupt: Interrupt
    ) -> None:
        """
        A single-request write that is cancelled before its last byte leaves the old object.
        """
        await storage.put(storage.root / "key", b"old")
        stop = faults.hang(op)

        await interrupt(faulty.put(faulty.root / "key", b"something new"), stop)

        assert await storage.read(storage.root / "key") == b"old"
        assert is_idle(faulty, faults)

    @_interrupted
    async def test_cancelled_source_that_waits(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        An upload can be cancelled while its source waits for the next bytes; the source can be closed.
        """
        stop = Hang()
        closed: list[bool] = []

        async def source() -> AsyncGenerator[bytes, None]:
            try:
                yield payload(self.part_size(storage) + 2 * MiB)
                await stop.wait()
                yield b"more"
            finally:
                closed.append(True)

        chunks = source()
        await interrupt(faulty.put(faulty.root / "key", chunks, options=self.multipart_options(storage)), stop)
        await chunks.aclose()

        assert closed == [True]
        assert await keys_of(storage) == []
        assert await unfinished_uploads(storage) == []
        assert is_idle(faulty, faults)

    @pytest.mark.parametrize("op", ["open_read", "read"])
    @pytest.mark.parametrize("way", ["read", "get", "read_ranges"])
    @_interrupted
    async def test_cancelled_read(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, way: str, op: str, interrupt: Interrupt
    ) -> None:
        """
        A cancelled read releases its connections and its place in the queue.
        """
        await storage.put(storage.root / "key", payload(3 * MiB))
        stop = faults.hang(op)

        await interrupt(_read(faulty, way), stop)

        assert is_idle(faulty, faults)

    @_interrupted
    async def test_cancelled_reply_to_a_read(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        A body that is opened after its caller was cancelled is closed.
        """
        await storage.put(storage.root / "key", b"data")
        stop = faults.hang_reply("open_read")

        await interrupt(_read(faulty, "get"), stop)

        assert is_idle(faulty, faults)

    @pytest.mark.parametrize("op", ["open_read", "read"])
    @_interrupted
    async def test_cancelled_download(
        self,
        storage: Storage,
        faulty: Storage,
        faults: FaultyDriver,
        tmp_path: Path,
        op: str,
        interrupt: Interrupt,
    ) -> None:
        """
        A cancelled download leaves the old file and no temporary file.
        """
        await storage.put(storage.root / "key", payload(3 * MiB))
        (tmp_path / "file").write_bytes(b"old")
        stop = faults.hang(op, after=1)
        options = DownloadOptions(part_size=MiB)

        await interrupt(faulty.download(faulty.root / "key", tmp_path / "file", options=options), stop)

        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert (tmp_path / "file").read_bytes() == b"old"
        assert is_idle(faulty, faults)

    @requires("copy")
    @_interrupted
    async def test_cancelled_copy(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        A copy that is cancelled before it is sent leaves the target unchanged.
        """
        await storage.put(storage.root / "source", b"new")
        await storage.put(storage.root / "target", b"old")
        stop = faults.hang("copy")

        await interrupt(faulty.copy(faulty.root / "source", faulty.root / "target"), stop)

        assert await storage.read(storage.root / "target") == b"old"
        assert is_idle(faulty, faults)

    @requires("copy", "multipart", "copy_part")
    @_interrupted
    async def test_cancelled_large_copy(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        A cancelled multipart copy leaves no upload.
        """
        part = self.part_size(storage)
        await storage.put(storage.root / "source", payload(part + 9))
        faults.capabilities = replace(faults.capabilities, max_copy_size=part)
        stop = faults.hang("copy_part")
        options = CopyOptions(part_size=part)

        await interrupt(faulty.copy(faulty.root / "source", faulty.root / "target", options=options), stop)

        assert await keys_of(storage) == ["source"]
        assert await unfinished_uploads(storage) == []
        assert is_idle(faulty, faults)

    @_interrupted
    async def test_cancelled_delete(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        A deletion that is cancelled before it is sent deletes nothing.
        """
        await storage.put(storage.root / "key", b"data")
        stop = faults.hang("delete")

        await interrupt(faulty.delete(faulty.root / "key"), stop)

        assert await keys_of(storage) == ["key"]
        assert is_idle(faulty, faults)

    @_interrupted
    async def test_cancelled_list(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        A listing can be cancelled while it waits for its second page.
        """
        for key in "abc":
            await storage.put(storage.root / key, b"data")
        stop = faults.hang("list_page", after=1)

        await interrupt(keys_of(faulty, options=ListOptions(page_size=1)), stop)

        assert is_idle(faulty, faults)

    @_interrupted
    async def test_cancelled_bulk_upload(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, interrupt: Interrupt
    ) -> None:
        """
        A cancelled bulk upload leaves finished objects only, and no upload.
        """
        part = self.part_size(storage)
        sizes = {"large": part + 9, "small1": 10, "small2": 20}
        for name, size in sizes.items():
            (tmp_path / name).write_bytes(payload(size))
        items = [Upload(tmp_path / name, faulty.root / name) for name in sizes]
        stop = faults.hang("upload_part" if storage.capabilities.multipart else "put")

        await interrupt(faulty.bulk_upload(items, options=BulkOptions(upload=self.multipart_options(storage))), stop)

        assert await unfinished_uploads(storage) == []
        assert "large" not in await keys_of(storage)
        assert is_idle(faulty, faults)

    @_interrupted
    async def test_cancelled_bulk_download(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, interrupt: Interrupt
    ) -> None:
        """
        A cancelled bulk download leaves whole files only.
        """
        for number in range(4):
            await storage.put(storage.root / f"{number}", payload(1000))
        items = [Download(faulty.root / f"{number}", tmp_path / f"{number}") for number in range(4)]
        stop = faults.hang("read", after=2)

        await interrupt(faulty.bulk_download(items), stop)

        assert {path.read_bytes() for path in tmp_path.iterdir()} <= {payload(1000)}
        assert {path.name for path in tmp_path.iterdir()} < {"0", "1", "2", "3"}
        assert is_idle(faulty, faults)

    @_interrupted
    async def test_cancelled_bulk_delete(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, interrupt: Interrupt
    ) -> None:
        """
        A bulk deletion that is cancelled before it is sent deletes nothing.
        """
        for key in "abc":
            await storage.put(storage.root / key, b"data")
        stop = faults.hang("delete_batch" if storage.capabilities.delete_batch_size else "delete", times=None)

        await interrupt(faulty.bulk_delete([faulty.root / key for key in "abc"]), stop)

        assert await keys_of(storage) == ["a", "b", "c"]
        assert is_idle(faulty, faults)

    async def _upload(self, storage: Storage, way: str, folder: Path | None = None) -> None:
        data, target, options = self.two_parts(storage), storage.root / "key", self.multipart_options(storage)
        if way == "put":
            await storage.put(target, data, options=options)
        elif way == "stream":
            await storage.put(target, async_chunks(data), options=options)
        elif folder is not None:
            (folder / "file").write_bytes(data)
            await storage.upload(folder / "file", target, options=options)


def _stop(faults: FaultyDriver, place: tuple[str, bool]) -> Hang:
    op, carried_out = place
    return faults.hang_reply(op) if carried_out else faults.hang(op)


async def _read(storage: Storage, way: str) -> None:
    target = storage.root / "key"
    if way == "read":
        await storage.read(target)
    elif way == "get":
        async with storage.get(target) as stream:
            await stream.read()
    else:
        await storage.read_ranges(target, [ByteRange(0, 10), ByteRange(-10)])

"""
Detection of corrupted and truncated bytes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncstore.checksum import compute
from asyncstore.errors import IntegrityError, SourceChangedError
from asyncstore.options import DownloadOptions, MiB, ReadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import (
    Harness,
    is_idle,
    keys_of,
    requires,
    tagged,
    together,
    unfinished_uploads,
)
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Checksum, ChecksumAlgorithm


def _readings(way: str) -> int | None:
    # A download reads a damaged object once more.
    return None if way == "download" else 1


class Integrity(Harness):
    """
    A read returns what was stored, or fails.
    """

    @pytest.mark.parametrize("way", ["read", "get", "read_into", "download"])
    async def test_flipped_bit_is_noticed(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, way: str
    ) -> None:
        """
        One flipped bit fails the read of a whole object; a download, if it is read damaged again.
        """
        await self._store(storage, payload(1000))
        faults.corrupt("read", times=_readings(way))

        with pytest.raises(IntegrityError) as failure:
            await self._read(faulty, way, tmp_path)

        assert failure.value.expected != failure.value.actual
        assert list(tmp_path.iterdir()) == []
        assert is_idle(faulty, faults)

    @tagged("whole-checksums")
    @pytest.mark.parametrize("way", ["read", "get", "read_into", "download"])
    @requires("multipart")
    async def test_flipped_bit_of_a_multipart_object(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, way: str
    ) -> None:
        """
        The same with a multipart object, also if several requests read it.
        """
        await self._store(storage, payload(self.part_size(storage) + 9))
        faults.corrupt("read", times=_readings(way))

        with pytest.raises(IntegrityError):
            await self._read(faulty, way, tmp_path)
        assert list(tmp_path.iterdir()) == []

    async def test_verification_can_be_turned_off(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver
    ) -> None:
        """
        ``verify=False`` returns the bytes as received.
        """
        await storage.put(storage.root / "key", b"data")
        faults.corrupt("read")

        assert await faulty.read(faulty.root / "key", options=ReadOptions(verify=False)) != b"data"

    @pytest.mark.parametrize("op", ["put", "upload_part"])
    async def test_flipped_bit_is_refused(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str
    ) -> None:
        """
        One flipped bit in a request fails the write, and the old object stays.
        """
        algorithm = self._algorithm(storage)
        part = self.part_size(storage)
        if op == "upload_part" and not storage.capabilities.multipart:
            pytest.xfail(f"{storage.provider} does not announce multipart")
        await storage.put(storage.root / "key", b"old")
        data = payload(part + 9) if op == "upload_part" else b"something new"
        options = self.multipart_options(storage, checksum=algorithm)
        faults.corrupt(op, times=None)

        with pytest.raises(IntegrityError):
            await faulty.put(faulty.root / "key", data, options=options)

        assert await storage.read(storage.root / "key") == b"old"
        assert await unfinished_uploads(storage) == []

    async def test_flipped_bit_is_never_stored(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        If only one request is corrupted, a retry may succeed; the corrupted bytes are never stored.
        """
        await storage.put(storage.root / "key", b"old")
        faults.corrupt("put")

        try:
            await faulty.put(faulty.root / "key", b"new", options=UploadOptions(checksum=self._algorithm(storage)))
        except IntegrityError:
            assert await storage.read(storage.root / "key") == b"old"
        else:
            assert await storage.read(storage.root / "key") == b"new"

    @tagged("whole-checksums")
    @requires("multipart")
    async def test_wrong_checksum_of_the_whole_is_refused(self, storage: Storage) -> None:
        """
        Parts that do not match the checksum of the whole object are not published.
        """
        algorithm = self._algorithm(storage)
        options = UploadOptions(checksum=algorithm)
        target = storage.root / "key"
        upload_id = await storage.initiate_multipart_upload(target, options=options)
        part = await storage.upload_part(target, upload_id, 1, b"data", options=options)
        wrong = compute(algorithm, b"other")

        with pytest.raises(IntegrityError):
            await storage.complete_multipart_upload(target, upload_id, [part], options=options, checksum=wrong)
        assert not await storage.exists(target)

    async def test_reported_checksum_is_right(self, storage: Storage) -> None:
        """
        A checksum that the provider reports is the checksum of the bytes.
        """
        data = payload(1000)
        await self._store(storage, data)

        for checksum in (await storage.stat(storage.root / "key")).checksums:
            assert checksum == compute(checksum.algorithm, data)

    @pytest.mark.parametrize("after", [0, 1, 1000, MiB + 7])
    @pytest.mark.parametrize("way", ["read", "get", "read_into", "download"])
    async def test_body_cut_short_is_resumed(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, way: str, after: int
    ) -> None:
        """
        A read whose connection breaks in the middle is resumed, and returns all bytes.
        """
        data = payload(3 * MiB + 5)
        await storage.put(storage.root / "key", data)
        faults.truncate("read", after=after)

        assert await self._read(faulty, way, tmp_path) == data
        assert is_idle(faulty, faults)

    async def test_stream_resumes_where_it_broke(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        Bytes that have arrived are not requested again.
        """
        data = payload(3 * MiB + 5)
        await storage.put(storage.root / "key", data)
        faults.truncate("read", after=2 * MiB)

        async with faulty.get(faulty.root / "key") as stream:
            received = await stream.read()

        assert received == data
        assert faults.calls["open_read"] == 2

    @requires("conditional_read")
    async def test_replaced_while_it_is_streamed(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A broken stream fails if the object was replaced: it never mixes two versions.
        """
        await storage.put(storage.root / "key", payload(3 * MiB))
        faults.truncate("read", after=1000)

        async with faulty.get(faulty.root / "key") as stream:
            await stream.read(10)
            await storage.put(storage.root / "key", bytes(3 * MiB))
            with pytest.raises(SourceChangedError):
                await stream.read()

        assert is_idle(faulty, faults)

    @requires("conditional_read")
    async def test_replaced_while_it_is_downloaded(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        If the object is replaced between its parts, the download fails and leaves no file.
        """
        await storage.put(storage.root / "key", payload(3 * MiB))

        stop = faults.hang("open_read", after=1)

        async def replacing() -> None:
            await stop.reached()
            await storage.put(storage.root / "key", bytes(3 * MiB))
            stop.release()

        with pytest.raises(SourceChangedError):
            await together(
                replacing(),
                faulty.download(
                    faulty.root / "key", tmp_path / "file", options=DownloadOptions(part_size=MiB, max_concurrency=2)
                ),
            )

        assert list(tmp_path.iterdir()) == []
        assert is_idle(faulty, faults)

    async def test_nothing_is_published_of_a_broken_download(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A download that fails verification leaves the old file.
        """
        await storage.put(storage.root / "key", payload(3 * MiB))
        (tmp_path / "file").write_bytes(b"old")
        faults.corrupt("read", times=None)

        if await self._whole_checksum(storage) is None:
            pytest.xfail(f"{storage.provider} stored no checksum of the whole object")
        with pytest.raises(IntegrityError):
            await faulty.download(faulty.root / "key", tmp_path / "file")

        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert (tmp_path / "file").read_bytes() == b"old"
        assert await keys_of(storage) == ["key"]

    async def test_a_damaged_download_is_read_once_more(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        One flipped bit costs a download a second reading, not the file.
        """
        await self._store(storage, payload(3 * MiB))
        faults.corrupt("read")

        await faulty.download(faulty.root / "key", tmp_path / "file")

        assert (tmp_path / "file").read_bytes() == payload(3 * MiB)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert is_idle(faulty, faults)

    async def _store(self, storage: Storage, data: bytes) -> None:
        await storage.put(storage.root / "key", data, options=self.multipart_options(storage))
        by_parts = storage.capabilities.part_checksums is not None
        if not by_parts and await self._whole_checksum(storage) is None:
            pytest.xfail(f"{storage.provider} stored no checksum of the whole object")

    async def _whole_checksum(self, storage: Storage) -> Checksum | None:
        checksum = (await storage.stat(storage.root / "key")).checksum
        return checksum if checksum is not None and checksum.parts is None else None

    def _algorithm(self, storage: Storage) -> ChecksumAlgorithm:
        announced = storage.capabilities.checksums
        for algorithm in (ChecksumAlgorithm.CRC64NVME, ChecksumAlgorithm.CRC32C, *sorted(announced)):
            if algorithm in announced:
                return algorithm
        pytest.xfail(f"{storage.provider} does not announce checksums")

    async def _read(self, storage: Storage, way: str, folder: Path) -> bytes:
        target = storage.root / "key"
        if way == "read":
            return await storage.read(target)
        if way == "get":
            async with storage.get(target) as stream:
                return await stream.read()
        if way == "read_into":
            buffer = bytearray((await storage.stat(target)).size)
            await storage.read_into(target, buffer, options=DownloadOptions(part_size=MiB))
            return bytes(buffer)
        await storage.download(target, folder / "file", options=DownloadOptions(part_size=MiB))
        return (folder / "file").read_bytes()

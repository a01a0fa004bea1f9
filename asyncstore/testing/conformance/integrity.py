"""
Group Q: bytes that were changed or lost on the way are noticed.
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
    keys_of,
    nothing_under_way,
    requires,
    tagged,
    together,
    unfinished,
)
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Checksum, ChecksumAlgorithm


class Integrity(Harness):
    """
    What is read is what was stored, or an error.
    """

    @pytest.mark.parametrize("way", ["read", "get", "download"])
    async def test_flipped_bit_is_noticed(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, way: str
    ) -> None:
        """
        One bit that changed on the way from the provider fails the reading of a whole object.
        """
        await self._stored(storage, payload(1000))
        faults.corrupt("read")

        with pytest.raises(IntegrityError) as failure:
            await self._read(faulty, way, tmp_path)

        assert failure.value.expected != failure.value.actual
        assert list(tmp_path.iterdir()) == []
        assert nothing_under_way(faulty, faults)

    @tagged("whole-checksums")
    @pytest.mark.parametrize("way", ["read", "get", "download"])
    @requires("multipart")
    async def test_flipped_bit_of_an_object_by_parts(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, way: str
    ) -> None:
        """
        So it is of an object that was written by parts, also where it is read by several requests.
        """
        await self._stored(storage, payload(self.part_size(storage) + 9))
        faults.corrupt("read")

        with pytest.raises(IntegrityError):
            await self._read(faulty, way, tmp_path)
        assert list(tmp_path.iterdir()) == []

    async def test_no_comparison_on_demand(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        Who asks for it gets the bytes as they came.
        """
        await storage.put(storage.root / "key", b"data")
        faults.corrupt("read")

        assert await faulty.read(faulty.root / "key", options=ReadOptions(verify=False)) != b"data"

    @pytest.mark.parametrize("op", ["put", "upload_part"])
    async def test_flipped_bit_is_refused(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, op: str
    ) -> None:
        """
        One bit that changed on the way to the provider fails the write, and the old object stays.
        """
        algorithm = self._algorithm(storage)
        part = self.part_size(storage)
        if op == "upload_part" and not storage.capabilities.multipart:
            pytest.xfail(f"{storage.provider} does not announce multipart")
        await storage.put(storage.root / "key", b"old")
        data = payload(part + 9) if op == "upload_part" else b"something new"
        options = UploadOptions(part_size=part, multipart_threshold=part, checksum=algorithm)
        faults.corrupt(op, times=None)

        with pytest.raises(IntegrityError):
            await faulty.put(faulty.root / "key", data, options=options)

        assert await storage.read(storage.root / "key") == b"old"
        assert await unfinished(storage) == []

    async def test_flipped_bit_is_never_stored(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        If it was one request only, the write may be sent again; what is stored is what was meant.
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
    async def test_wrong_sum_of_the_whole_is_refused(self, storage: Storage) -> None:
        """
        Parts that do not make the object that was meant are not published.
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
        A checksum that the provider reports is that of the bytes.
        """
        data = payload(1000)
        await self._stored(storage, data)

        for checksum in (await storage.stat(storage.root / "key")).checksums:
            assert checksum == compute(checksum.algorithm, data)

    @pytest.mark.parametrize("after", [0, 1, 1000, MiB + 7])
    @pytest.mark.parametrize("way", ["read", "get", "download"])
    async def test_body_cut_short_goes_on(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path, way: str, after: int
    ) -> None:
        """
        A connection that breaks in the middle of an object costs nothing but time.
        """
        data = payload(3 * MiB + 5)
        await storage.put(storage.root / "key", data)
        faults.truncate("read", after=after)

        assert await self._read(faulty, way, tmp_path) == data
        assert nothing_under_way(faulty, faults)

    async def test_stream_goes_on_where_it_broke(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        What has arrived is not asked for again.
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
        A stream is never of two versions: if the object was replaced when it broke, it fails.
        """
        await storage.put(storage.root / "key", payload(3 * MiB))
        faults.truncate("read", after=1000)

        async with faulty.get(faulty.root / "key") as stream:
            await stream.read(10)
            await storage.put(storage.root / "key", bytes(3 * MiB))
            with pytest.raises(SourceChangedError):
                await stream.read()

        assert nothing_under_way(faulty, faults)

    @requires("conditional_read")
    async def test_replaced_while_it_is_downloaded(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        Nor is a file: if the object is replaced between its parts, the download fails and leaves nothing.
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
        assert nothing_under_way(faulty, faults)

    async def test_nothing_is_published_of_a_broken_download(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, tmp_path: Path
    ) -> None:
        """
        A download that cannot be finished leaves the old file.
        """
        await storage.put(storage.root / "key", payload(3 * MiB))
        (tmp_path / "file").write_bytes(b"old")
        faults.corrupt("read")

        if await self._whole_checksum(storage) is None:
            pytest.xfail(f"{storage.provider} stored no checksum of the whole object")
        with pytest.raises(IntegrityError):
            await faulty.download(faulty.root / "key", tmp_path / "file")

        assert [path.name for path in tmp_path.iterdir()] == ["file"]
        assert (tmp_path / "file").read_bytes() == b"old"
        assert await keys_of(storage) == ["key"]

    async def _stored(self, storage: Storage, data: bytes) -> None:
        part = self.part_size(storage)
        await storage.put(storage.root / "key", data, options=UploadOptions(part_size=part, multipart_threshold=part))
        if await self._whole_checksum(storage) is None:
            pytest.xfail(f"{storage.provider} stored no checksum of the whole object")

    async def _whole_checksum(self, storage: Storage) -> Checksum | None:
        checksum = (await storage.stat(storage.root / "key")).checksum
        return checksum if checksum is not None and checksum.parts is None else None

    def _algorithm(self, storage: Storage) -> ChecksumAlgorithm:
        announced = storage.capabilities.checksums
        for algorithm in (ChecksumAlgorithm.CRC64NVME, ChecksumAlgorithm.CRC32C, *sorted(announced)):
            if algorithm in announced:
                return algorithm
        pytest.xfail(f"{storage.provider} checks no checksum on a write")

    async def _read(self, storage: Storage, way: str, folder: Path) -> bytes:
        target = storage.root / "key"
        if way == "read":
            return await storage.read(target)
        if way == "get":
            async with storage.get(target) as stream:
                return await stream.read()
        await storage.download(target, folder / "file", options=DownloadOptions(part_size=MiB))
        return (folder / "file").read_bytes()

"""
What every write returns.
"""

from __future__ import annotations

from pathlib import Path

from asyncstore.errors import UnavailableError
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, requires, tagged
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import WriteResult


class Results(Harness):
    """
    The result of a write describes the new object, and says what the write took.
    """

    async def test_result_of_a_put(self, storage: Storage) -> None:
        """
        A put returns size, ETag and version as a stat does, and a checksum if the provider verifies one.
        """
        written = await storage.put("key", b"data")

        await self._check(storage, written, 4)

    @requires("multipart")
    @tagged("etag-of-parts")
    async def test_result_of_a_multipart_upload(self, storage: Storage) -> None:
        """
        An object made of parts is described like any other.
        """
        data = self.two_parts(storage)

        written = await storage.put("key", data, options=self.multipart_options(storage))

        await self._check(storage, written, len(data))

    @requires("multipart")
    @tagged("etag-of-parts")
    async def test_result_of_a_completion(self, storage: Storage) -> None:
        """
        Completing an upload whose parts the caller has sent returns the same.
        """
        upload_id = await storage.initiate_multipart_upload("key")
        part = await storage.upload_part("key", upload_id, 1, b"data")

        written = await storage.complete_multipart_upload("key", upload_id, [part])

        await self._check(storage, written, 4, checksum=False)

    async def test_result_of_an_upload(self, storage: Storage, tmp_path: Path) -> None:
        """
        Uploading a file returns the same.
        """
        (tmp_path / "file").write_bytes(b"data")

        written = await storage.upload(tmp_path / "file", "key")

        await self._check(storage, written, 4)

    @requires("copy")
    async def test_result_of_a_copy(self, storage: Storage) -> None:
        """
        A copy returns the size, ETag and version of the new object.
        """
        await storage.put("key", b"data")

        copied = await storage.copy("key", "copy")

        assert copied.uri == storage.root / "copy"
        await self._check(storage, copied, 4, checksum=False)

    async def test_result_counts_attempts(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A write that is sent again after a transient error says so.
        """
        faults.fail("put", UnavailableError("busy"), times=2)

        assert (await faulty.put("key", b"data")).attempts == 3
        assert (await faulty.put("key", b"data")).attempts == 1

    async def _check(self, storage: Storage, written: WriteResult, size: int, *, checksum: bool = True) -> None:
        found = await storage.stat(written.uri)
        assert written.size == found.size == size
        assert written.etag is not None
        assert (written.etag, written.version_id) == (found.etag, found.version_id)
        assert not checksum or written.checksum is not None or not storage.capabilities.checksums
        assert written.attempts == 1
        assert written.seconds > 0

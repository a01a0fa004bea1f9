"""
What a write took: its attempts and its time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from asyncstore.errors import UnavailableError
from asyncstore.options import CopyOptions, MiB, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver


async def test_attempts_of_every_part_count(storage: Storage, faults: FaultyDriver) -> None:
    """
    Each part that is sent again counts, in whichever task it was sent.
    """
    faults.fail("upload_part", UnavailableError("busy"), times=2)

    written = await storage.put("key", bytes(3 * MiB), options=UploadOptions(part_size=MiB, multipart_threshold=MiB))

    assert written.attempts == 3


async def test_attempts_of_a_source_count(storage: Storage, faults: FaultyDriver) -> None:
    """
    Looking at the source of a copy is part of the copy.
    """
    await storage.put("key", b"data")
    faults.fail("stat", UnavailableError("busy"))
    faults.fail("copy", UnavailableError("busy"))

    assert (await storage.copy("key", "copy", options=CopyOptions())).attempts == 3


async def test_attempts_of_a_stream_that_reads_do_not_count(storage: Storage, faults: FaultyDriver) -> None:
    """
    A stream that reads other objects of the storage does not count as attempts of the write.
    """
    await storage.put("key", b"data")
    faults.fail("open_read", UnavailableError("busy"))

    async def others() -> AsyncIterator[bytes]:
        yield await storage.read("key")

    assert (await storage.put("copy", others())).attempts == 1
    assert faults.calls["open_read"] == 2

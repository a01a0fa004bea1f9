"""
Progress of writes, reads and copies that are not of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from asyncstore.engine.progress import track
from asyncstore.options import CopyOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, requires
from asyncstore.testing.conformance.payloads import SIZES, payload
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ProgressEvent


class Progress(Harness):
    """
    The events of :meth:`Storage.put`, :meth:`Storage.read`, :meth:`Storage.get` and :meth:`Storage.copy`.
    """

    @pytest.mark.parametrize("size", ["empty", "two-parts-and-more"])
    async def test_progress_of_a_stream_adds_up(self, storage: Storage, size: str) -> None:
        """
        Each byte counts once when a stream is written and when it is read back; ``done`` is the last event.
        """
        data = payload(SIZES[size](self.part_size(storage)))
        written: list[ProgressEvent] = []
        read: list[ProgressEvent] = []
        streamed: list[ProgressEvent] = []

        await storage.put(
            storage.root / "key", [data], options=self.multipart_options(storage), progress=written.append
        )
        assert await storage.read(storage.root / "key", progress=read.append) == data
        async with storage.get(storage.root / "key", progress=streamed.append) as stream:
            assert await stream.read() == data

        for events in (written, read, streamed):
            _check(events, len(data))

    async def test_progress_of_a_broken_read(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        Bytes that are received again count once; the retry counts.
        """
        data = payload(5000)
        await storage.put(storage.root / "key", data)
        events: list[ProgressEvent] = []
        faults.truncate(after=100)

        assert await faulty.read(faulty.root / "key", progress=events.append) == data

        _check(events, len(data))
        assert events[-1].retries == 1

    @requires("copy")
    async def test_progress_of_a_copy(self, storage: Storage) -> None:
        """
        A copy can be tracked, and its bytes count when it exists.
        """
        await storage.put(storage.root / "source", b"data")

        async with track(storage.copy, storage.root / "source", storage.root / "target") as transfer:
            events = [event async for event in transfer]

        _check(events, 4)
        assert events[0].uri == storage.root / "target"

    @requires("copy", "multipart", "copy_part")
    async def test_progress_of_a_large_copy(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        The bytes of a copy in parts count part by part, each once.
        """
        part = self.part_size(storage)
        await storage.put(storage.root / "source", payload(part + 9))
        faults.capabilities = replace(faults.capabilities, max_copy_size=part)
        faults.lose_reply("copy_part")
        events: list[ProgressEvent] = []
        options = CopyOptions(part_size=part, max_concurrency=1)

        await faulty.copy(faulty.root / "source", faulty.root / "target", options=options, progress=events.append)

        _check(events, part + 9)
        assert {event.bytes_done for event in events} == {0, part, part + 9}
        assert events[-1].retries == 1


def _check(events: Sequence[ProgressEvent], size: int) -> None:
    """
    Counts never decrease, and the last event, which comes once, says that one object of *size* bytes is done.
    """
    counts = [event.bytes_done for event in events]
    last = events[-1]
    assert counts == sorted(counts)
    assert [event.kind for event in events].count("done") == 1
    assert (last.kind, last.bytes_done, last.bytes_total, last.objects_done) == ("done", size, size, 1)

"""Small files with a library that has no bulk transfer."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.inflight import for_each


class SmallFiles(Contender):
    """
    Many files, with one `put` or `get` for each.

    The files are read and written in the event loop: 16 KiB in the page cache take less
    time than starting a thread.
    """

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight

    async def upload_many(self, items: Sequence[tuple[Path, str]]) -> None:
        async def upload(item: tuple[Path, str]) -> None:
            await self.put(item[1], item[0].read_bytes())

        await for_each(items, upload, in_flight=self._in_flight)

    async def download_many(self, items: Sequence[tuple[str, Path]]) -> None:
        async def download(item: tuple[str, Path]) -> None:
            item[1].write_bytes(await self.get(item[0]))

        await for_each(items, download, in_flight=self._in_flight)

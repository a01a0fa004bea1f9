"""
The work of a contender: its warm-up, the measured part and the check.

The costs are divided by `units`: operations, bytes or keys.
"""

import mmap
import random
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from benchmarks import fixtures
from benchmarks.contenders import Contender
from benchmarks.inflight import for_each
from benchmarks.units import KiB, MiB


class Work(Protocol):
    """One kind of work for one contender."""

    units: int

    async def warm_up(self, contender: Contender) -> None:
        """Open the connections and load everything that is loaded on first use."""

    async def run(self, contender: Contender) -> None:
        """Do the work that is measured."""

    def check(self) -> None:
        """Raise AssertionError if the contender did not do the work correctly."""


class SmallGet:
    """Read objects of 1 KiB."""

    def __init__(self, *, count: int, in_flight: int) -> None:
        self.units = count
        self._in_flight = in_flight
        self._received = 0

    async def warm_up(self, contender: Contender) -> None:
        await self._get(contender, 4 * self._in_flight)
        self._received = 0

    async def run(self, contender: Contender) -> None:
        await self._get(contender, self.units)

    def check(self) -> None:
        expected = self.units * fixtures.SMALL_SIZE
        assert self._received == expected, f"received {self._received} bytes, not {expected}"

    async def _get(self, contender: Contender, count: int) -> None:
        async def get(number: int) -> None:
            data = await contender.get(fixtures.SMALL_KEY.format(number % fixtures.SMALL_KEYS))
            self._received += len(data)

        await for_each(range(count), get, in_flight=self._in_flight)


class SmallPut:
    """Write objects of 1 KiB, each under its own key."""

    def __init__(self, *, count: int, in_flight: int, folder: str | None = None) -> None:
        self.units = count
        self._in_flight = in_flight
        self._folder = folder and Path(folder)

    async def warm_up(self, contender: Contender) -> None:
        await self._put(contender, "warm", 4 * self._in_flight)

    async def run(self, contender: Contender) -> None:
        await self._put(contender, "put", self.units)

    def check(self) -> None:
        if not self._folder:
            # The harness checks: the server counts the bodies it receives.
            return
        written = sum(1 for path in self._folder.glob("put-*") if path.stat().st_size == fixtures.SMALL_SIZE)
        assert written == self.units, f"{written} objects of {self.units}"

    async def _put(self, contender: Contender, name: str, count: int) -> None:
        data = fixtures.pattern(fixtures.SMALL_SIZE, 0)

        async def put(number: int) -> None:
            await contender.put(f"put/{name}-{number}", data)

        await for_each(range(count), put, in_flight=self._in_flight)


class Download:
    """Download one large object to a file."""

    def __init__(self, *, path: str, source: str) -> None:
        self._path, self._source = Path(path), Path(source)
        self.units = self._source.stat().st_size

    async def warm_up(self, contender: Contender) -> None:
        pass

    async def run(self, contender: Contender) -> None:
        await contender.download(fixtures.LARGE_KEY, self._path)

    def check(self) -> None:
        with self._path.open("rb") as got, self._source.open("rb") as expected:
            while block := expected.read(8 * MiB):
                assert got.read(8 * MiB) == block, f"wrong bytes before {expected.tell()}"
            assert not got.read(1), "too long"


class IntoMemory:
    """
    Read one large object into memory.

    With *used* memory, a contender that takes memory gets some whose pages exist, as if it were read into again.
    """

    def __init__(self, *, source: str, used: bool) -> None:
        self._source = Path(source)
        self.units = self._source.stat().st_size
        self._memory = mmap.mmap(-1, self.units, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._used = used
        self._got = memoryview(b"")

    async def warm_up(self, contender: Contender) -> None:
        await contender.get(fixtures.SMALL_KEY.format(0))
        if self._used and contender.fills_memory:
            for start in range(0, self.units, mmap.PAGESIZE):
                self._memory[start] = 1

    async def run(self, contender: Contender) -> None:
        self._got = await contender.read_large(fixtures.LARGE_KEY, self._memory)

    def check(self) -> None:
        with self._source.open("rb") as expected:
            for start in range(0, self.units, 8 * MiB):
                assert self._got[start : start + 8 * MiB] == expected.read(8 * MiB), f"wrong bytes after {start}"


class RandomReads:
    """Read 64 KiB at random places of one large object, one after the other."""

    def __init__(self, *, source: str, count: int) -> None:
        self._source = Path(source)
        self.units = count
        choose = random.Random(1)
        self._places = [choose.randrange(self._source.stat().st_size - 64 * KiB) for _ in range(count)]
        self._got: list[tuple[int, bytes]] = []

    async def warm_up(self, contender: Contender) -> None:
        await contender.read_at(fixtures.LARGE_KEY, self._places[:20], 64 * KiB, lambda _: None)

    async def run(self, contender: Contender) -> None:
        def got(data: bytes) -> None:
            self._got.append((len(data), data[-16:]))

        await contender.read_at(fixtures.LARGE_KEY, self._places, 64 * KiB, got)

    def check(self) -> None:
        with self._source.open("rb") as expected:
            for place, got in zip(self._places, self._got, strict=True):
                expected.seek(place + 64 * KiB - 16)
                assert got == (64 * KiB, expected.read(16)), f"wrong bytes at {place}"


class Upload:
    """Upload one large object from a file."""

    def __init__(self, *, source: str) -> None:
        self._source = Path(source)
        self.units = self._source.stat().st_size

    async def warm_up(self, contender: Contender) -> None:
        pass

    async def run(self, contender: Contender) -> None:
        await contender.upload(self._source, "put/large")

    def check(self) -> None:
        # The harness checks: the server counts the bytes it receives.
        pass


class Listing:
    """List many keys."""

    def __init__(self, *, keys: int) -> None:
        self.units = keys
        self._found = 0

    async def warm_up(self, contender: Contender) -> None:
        pass

    async def run(self, contender: Contender) -> None:
        self._found = await contender.list(fixtures.LIST_PREFIX)

    def check(self) -> None:
        assert self._found == self.units, f"{self._found} keys of {self.units}"


class FilesUp:
    """Upload a folder of small files."""

    def __init__(self, *, folder: str) -> None:
        self._files = sorted(Path(folder).iterdir())
        self.units = len(self._files)

    async def warm_up(self, contender: Contender) -> None:
        await contender.upload_many([(path, f"warm/{path.name}") for path in self._files[:128]])

    async def run(self, contender: Contender) -> None:
        await contender.upload_many([(path, f"files/{path.name}") for path in self._files])

    def check(self) -> None:
        # The download checks it.
        pass


class FilesDown:
    """Download a folder of small files."""

    def __init__(self, *, folder: str, into: str) -> None:
        self._files = sorted(Path(folder).iterdir())
        self._into = Path(into)
        self.units = len(self._files)

    async def warm_up(self, contender: Contender) -> None:
        await contender.download_many(self._items()[:128])

    async def run(self, contender: Contender) -> None:
        await contender.download_many(self._items())

    def check(self) -> None:
        wrong = [path.name for path in self._files if (self._into / path.name).read_bytes() != path.read_bytes()]
        assert not wrong, f"{len(wrong)} files differ"

    def _items(self) -> list[tuple[str, Path]]:
        return [(f"files/{path.name}", self._into / path.name) for path in self._files]


QUESTIONS: dict[str, Callable[..., Work]] = {
    "small_get": SmallGet,
    "small_put": SmallPut,
    "download": Download,
    "upload": Upload,
    "into_memory": IntoMemory,
    "random_reads": RandomReads,
    "listing": Listing,
    "files_up": FilesUp,
    "files_down": FilesDown,
}

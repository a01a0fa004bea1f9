"""
Yields the keys of a tree in byte order, from any key on, without holding the tree in memory.

Names sort like keys only if a directory counts as its name followed by ``/``:
``a-b`` < ``a/b`` < ``a0``. A directory with very many names is read in windows, each
with the smallest names from some name on.

Everything here blocks and runs in a thread.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from asyncstore.driver.paging import successor
from asyncstore.drivers.local.files import is_object
from asyncstore.drivers.local.names import Kind, aside, place, read_name
from asyncstore.drivers.local.tree import Path, Tree

#: Names of one directory that are in memory at a time, about 10 MB.
WINDOW: Final = 65_536
_KEPT: Final = 2 * WINDOW
# Nanoseconds after which a change is sure to show in the directory's modification time,
# since the kernel's clock advances in coarse steps.
_SETTLED: Final = 50_000_000

# A name: its sort key, which ends in "/" for a directory, and whether it is an object aside.
_Name = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class _Window:
    """
    The names of a directory from *start* on, up to *end* unless that is ``None``.
    """

    start: str
    end: str | None
    names: list[_Name]

    @property
    def size(self) -> int:
        # An empty window takes memory too.
        return len(self.names) + 8

    def covers(self, bound: str) -> bool:
        return self.start <= bound and (self.end is None or bound <= self.end)


class WindowCache:
    """
    The most recently used windows, up to a total number of names.
    """

    def __init__(self) -> None:
        self._windows: OrderedDict[tuple[object, ...], _Window] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, place: tuple[object, ...], start: str) -> _Window | None:
        """
        Return the window of *place*, if it contains the names from *start* on.
        """
        with self._lock:
            window = self._windows.get(place)
            if window is None or not window.covers(start):
                return None
            self._windows.move_to_end(place)
            return window

    def keep(self, place: tuple[object, ...], window: _Window) -> None:
        """
        Add a window, and drop the least recently used ones.
        """
        with self._lock:
            replaced = self._windows.pop(place, None)
            self._windows[place] = window
            self._size += window.size - (replaced.size if replaced else 0)
            while self._size > _KEPT and len(self._windows) > 1:
                self._size -= self._windows.popitem(last=False)[1].size


class Walk:
    """
    One pass over the keys that start with *prefix*, for one page.
    """

    def __init__(self, tree: Tree, cache: WindowCache, prefix: str) -> None:
        self._tree = tree
        self._cache = cache
        self._prefix = prefix
        # Windows of this pass are reused, even if the directory changes.
        self._seen = WindowCache()

    def seek(self, bound: str) -> Generator[tuple[str, os.stat_result], None, None]:
        """
        Yield the keys from *bound* on, with the status of their files.
        """
        yield from self._walk((), "", bound)

    def _walk(self, path: Path, base: str, bound: str) -> Generator[tuple[str, os.stat_result], None, None]:
        try:
            with self._tree.directory(path) as here:
                for name, is_aside in self._names(here, base, bound):
                    if name.endswith("/"):
                        yield from self._walk((*path, *place(name[:-1])), base + name, bound)
                        continue
                    status = self._status(here, path, aside(name) if is_aside else place(name))
                    if status is not None:
                        yield base + name, status
        except (FileNotFoundError, NotADirectoryError):
            # The directory has been removed since its name was read. Only the root must exist.
            if not path:
                raise

    def _names(self, here: int, base: str, bound: str) -> Iterator[_Name]:
        prefix = self._prefix[len(base) :]
        start: str | None = bound[len(base) :] if bound.startswith(base) else ""
        last = None
        while start is not None:
            window = self._window(here, prefix, start)
            for name in window.names[_first(window.names, start) :]:
                if name[0] != last:
                    yield name
                last = name[0]
            start = None if window.end is None else _after(window.end)

    def _window(self, here: int, prefix: str, start: str) -> _Window:
        status = os.fstat(here)
        place_now = (status.st_dev, status.st_ino)
        place_ever = (*place_now, status.st_mtime_ns, prefix)
        window = self._seen.get(place_now, start) or self._cache.get(place_ever, start)
        if window is None:
            settled = time.time_ns() - status.st_mtime_ns > _SETTLED
            names = _Names(prefix, start)
            window = names.window(here)
            if settled and names.steady:
                self._cache.keep(place_ever, window)
        self._seen.keep(place_now, window)
        return window

    def _status(self, here: int, path: Path, names: Path) -> os.stat_result | None:
        try:
            if len(names) == 1:
                status = os.stat(names[0], dir_fd=here, follow_symlinks=False)
            else:
                with self._tree.directory((*path, *names[:-1])) as parent:
                    status = os.stat(names[-1], dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status if is_object(status) else None


class _Names:
    """
    Scans a directory for the names that are relevant for *prefix* and from *start* on.

    Attributes:
        steady: Whether every change shows in the directory's own modification time.
    """

    def __init__(self, prefix: str, start: str) -> None:
        self.steady = True
        self._prefix = prefix
        self._start = start

    def window(self, here: int) -> _Window:
        """
        Return a window with the smallest names.
        """
        with closing(self._scan(here)) as found:
            least = heapq.nsmallest(WINDOW + 1, found)
        more = len(least) > WINDOW
        return _Window(self._start, least[WINDOW - 1][0] if more else None, least[:WINDOW])

    def _scan(self, here: int, carried: str = "") -> Generator[_Name, None, None]:
        with os.scandir(here) as entries:
            for entry in entries:
                read = read_name(entry.name, carried)
                if read is None:
                    continue
                kind, text = read
                if kind is Kind.MORE:
                    self.steady = False
                    yield from self._scan_more(here, entry.name, text)
                elif entry.is_dir(follow_symlinks=False):
                    if kind is Kind.PLACE and self._matters(text + "/", directory=True):
                        yield text + "/", False
                elif entry.is_file(follow_symlinks=False) and self._matters(text, directory=False):
                    yield text, kind is Kind.ASIDE

    def _scan_more(self, here: int, name: str, carried: str) -> Generator[_Name, None, None]:
        try:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            yield from self._scan(inner, carried)
        finally:
            os.close(inner)

    def _matters(self, name: str, *, directory: bool) -> bool:
        if directory:
            return (name >= self._start or self._start.startswith(name)) and (
                name.startswith(self._prefix) or self._prefix.startswith(name)
            )
        return name >= self._start and name.startswith(self._prefix)


def _first(names: list[_Name], start: str) -> int:
    at = bisect_left(names, (start, False))
    # The directory that contains start sorts before it.
    while at > 0 and names[at - 1][0].endswith("/") and start.startswith(names[at - 1][0]):
        at -= 1
    return at


def _after(name: str) -> str | None:
    return successor(name) if name.endswith("/") else name + "\0"

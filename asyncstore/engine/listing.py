"""
Listings whose pages are fetched concurrently and yielded in the order of keys.

A listing is a row of :class:`Step`. Each fetches one page and is replaced by what the page had: entries, and further
steps. So any step near the front can run, and the entries still come in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from asyncstore._support.cleanup import clean_up
from asyncstore.driver import Driver
from asyncstore.engine.pages import OBJECTS, Pages
from asyncstore.engine.requests import Requests
from asyncstore.errors import NotSupportedError
from asyncstore.options import ListOptions
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import ObjectURI

#: What separates the levels of keys along which a listing is split.
DELIMITER: Final = "/"

# Pieces from the front of which steps run, for each request in flight: what is buffered is at most so many pages.
_WINDOW: Final = 4

# Full pages before a prefix counts as a large one, which is split.
_LARGE: Final = 2

# Keys in each common prefix, on average, from which it pays to list the prefixes by themselves.
_DENSE: Final = 8


class Step(Protocol):
    """
    One request of a listing.
    """

    async def __call__(self) -> Sequence[Piece]:
        """Send it, and return what it is replaced by, in order."""
        ...


#: The driver's ``list_page``.
Fetch = Callable[..., Awaitable[ListPage]]

#: Entries of a listing, or the request that fetches them.
Piece = Sequence[ObjectInfo] | Step


@dataclass(eq=False, slots=True)
class _Node:
    piece: Piece
    task: asyncio.Task[Sequence[Piece]] | None = None


async def in_order(first: Step, max_concurrency: int) -> AsyncGenerator[ObjectInfo, None]:
    """
    Yield the entries that *first* and the steps that follow it return, in order.

    An error is raised after the entries before it. Closing the generator cancels the requests in flight, and waits
    for their ends.

    Args:
        max_concurrency: Requests in flight.
    """
    # The front is at the end of the list, where removing is cheap.
    nodes = [_Node(first)]
    running: set[asyncio.Task[Sequence[Piece]]] = set()
    loop = asyncio.get_running_loop()
    try:
        while nodes:
            front = nodes[-1]
            if not callable(front.piece):
                nodes.pop()
                for info in front.piece:
                    yield info
                continue
            for node in reversed(nodes[-_WINDOW * max_concurrency :]):
                if node.task is None and callable(node.piece) and len(running) < max_concurrency:
                    node.task = loop.create_task(_run(node.piece))
                    running.add(node.task)
            if front.task is None or not front.task.done():
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running = {task for task in running if not task.done()}
            _replace_ended(nodes, _WINDOW * max_concurrency)
    finally:
        if left := [node.task for node in nodes if node.task is not None]:
            await clean_up(_end(left))


async def _end(tasks: Sequence[asyncio.Task[Sequence[Piece]]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        # Retrieved, so that asyncio does not report it.
        if not task.cancelled():
            task.exception()


async def _run(step: Step) -> Sequence[Piece]:
    return await step()


def _replace_ended(nodes: list[_Node], window: int) -> None:
    """
    Replace the steps in front that have ended by what they returned; raise the error of the first of all.
    """
    for index in range(len(nodes) - 1, max(-1, len(nodes) - 1 - window), -1):
        task = nodes[index].task
        if task is None or not task.done():
            continue
        if task.exception() is None:
            nodes[index : index + 1] = [_Node(piece) for piece in reversed(task.result()) if callable(piece) or piece]
        elif index == len(nodes) - 1:
            task.result()


def can_split(driver: Driver, options: ListOptions) -> bool:
    """
    Return whether a listing with *options* can be split: its order, and what its entries are, must be known.
    """
    wanted = options.max_concurrency > 1 and options.delimiter is None and not options.folders
    return wanted and driver.capabilities.sorted_listing


def first_step(requests: Requests, fetch: Fetch, prefix: ObjectURI, options: ListOptions) -> Step:
    """
    Return the step that lists the objects whose keys start with that of *prefix*.

    If the listing can be split, large prefixes are, at ``/``. One that has no levels below, or only levels of a few
    keys each, is listed page by page: there, splitting takes more requests than it saves time.
    """
    able = requests.driver.capabilities.list_page_size
    size = able if options.page_size is None else min(able, options.page_size)
    rest = replace(options, start_after=None)
    source = _Source(requests, fetch, prefix, rest, size, can_split(requests.driver, options))
    return _Flat(source, prefix, _Bounds(after=options.start_after))


@dataclass(frozen=True, slots=True)
class _Source:
    """
    The listing that is split.

    Attributes:
        size: Keys in a full page.
        splits: Whether it can be split.
    """

    requests: Requests
    fetch: Fetch
    prefix: ObjectURI
    options: ListOptions
    size: int
    splits: bool

    def in_order(self, page: ListPage, last: str) -> str:
        """
        Return the last key of *page*, whose keys come after *last*.

        Raises:
            NotSupportedError: They are not in order, so that a listing that is split would miss some.
        """
        for info in page.objects:
            if self.splits and info.key < last:
                reason = "the endpoint does not list keys in their order"
                self.requests.driver.narrow("sorted listings", reason, sorted_listing=False)
                raise NotSupportedError(f"{reason}: list with max_concurrency=1", uri=str(info.uri))
            last = info.key
        return last

    def pages(self, prefix: ObjectURI, *, delimiter: str | None, start_after: str | None) -> Pages[ListPage]:
        options = replace(self.options, delimiter=delimiter, start_after=start_after)
        return Pages(self.requests, "list", self.prefix, self.fetch, prefix, options, entries=OBJECTS)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """
    The keys that a step is about.

    Attributes:
        after: Keys after this one.
        since: Keys from this one on.
        until: Keys up to this common prefix, and those in it.
    """

    after: str | None = None
    since: str = ""
    until: str | None = None

    def begins(self, key: str) -> bool:
        return key >= self.since and (self.after is None or key > self.after)

    def ends(self, key: str) -> bool:
        return self.until is not None and key > self.until and not key.startswith(self.until)

    @property
    def start_after(self) -> str | None:
        """A text before all keys that begin, and after most others: it ends in the last printable ASCII character."""
        if not self.since:
            return self.after
        return f"{self.since[:-1]}{chr(ord(self.since[-1]) - 1)}~"


@dataclass(slots=True)
class _Density:
    """
    How many keys the common prefixes of a level have on average, from those that were listed.
    """

    keys: int
    prefixes: int

    @property
    def average(self) -> float:
        return self.keys / max(1, self.prefixes)


@dataclass(slots=True)
class _Flat:
    """
    Lists keys regardless of levels, until there are too many of them for one request after the other.

    Attributes:
        siblings: The density of the level that it is part of, and how many common prefixes of it this step is about.
    """

    source: _Source
    prefix: ObjectURI
    bounds: _Bounds
    siblings: tuple[_Density, int] | None = None
    pages: Pages[ListPage] | None = None
    full: int = 0
    last: str = ""

    async def __call__(self) -> Sequence[Piece]:
        if self.pages is None:
            self.pages = self.source.pages(self.prefix, delimiter=None, start_after=self.bounds.start_after)
        page = await self.pages.next()
        if page is None:
            return ()
        self.last = self.source.in_order(page, self.last)
        entries = [info for info in page.objects if self.bounds.begins(info.key)]
        ended = page.next_token is None
        if entries and self.bounds.ends(entries[-1].key):
            entries = [info for info in entries if not self.bounds.ends(info.key)]
            ended = True
        self._note(len(entries))
        if ended:
            return (entries,)
        self.full += 1
        return (entries, *(self._split(entries) or (self,)))

    def _note(self, keys: int) -> None:
        if self.siblings is not None:
            density, prefixes = self.siblings
            density.keys += keys
            density.prefixes += prefixes
            self.siblings = density, 0

    def _split(self, entries: Sequence[ObjectInfo]) -> Sequence[Piece] | None:
        """
        Return the steps for what comes after *entries*; ``None`` for the next page.
        """
        if not self.source.splits or self.full < _LARGE or not entries:
            return None
        skipped = len(self.prefix.key)
        names = {info.key[skipped:].partition(DELIMITER)[0] for info in entries}
        density = _Density(len(entries), len(names))
        if density.average < _DENSE:
            return None
        last = entries[-1].key
        name, slash, _ = last[skipped:].partition(DELIMITER)
        if not slash:
            return (_Level(self.source, self.prefix, _Bounds(last, until=self.bounds.until), density),)
        inside = self.prefix.with_key(f"{self.prefix.key}{name}{DELIMITER}")
        rest = _Bounds(inside.key, until=self.bounds.until)
        return (
            _Flat(self.source, inside, _Bounds(last)),
            _Level(self.source, self.prefix, rest, density),
        )


@dataclass(slots=True)
class _Level:
    """
    Lists one level, and each of its common prefixes by itself, or several small ones together.
    """

    source: _Source
    prefix: ObjectURI
    bounds: _Bounds
    density: _Density
    pages: Pages[ListPage] | None = None
    last: str | None = None

    async def __call__(self) -> Sequence[Piece]:
        if self.density.average < _DENSE:
            # The common prefixes after the first ones turned out to be small.
            since = self.last if self.last is not None else self.bounds.after
            return (_Flat(self.source, self.prefix, _past(since, self.bounds.until)),)
        if self.pages is None:
            after = self.bounds.after
            self.pages = self.source.pages(self.prefix, delimiter=DELIMITER, start_after=after)
        page = await self.pages.next()
        if page is None:
            return ()
        self.source.in_order(page, self.last or "")
        pieces: list[Piece] = []
        group: list[ObjectInfo] = []
        ended = page.next_token is None
        for info in page.objects:
            # Servers that count the keys under a common prefix can return it on several pages.
            if not self.bounds.begins(info.key) or (self.last is not None and info.key <= self.last):
                continue
            if self.bounds.ends(info.key):
                ended = True
                break
            group.append(info)
            self.last = info.key
            if self._weight(group) >= self.source.size:
                pieces += self._listed(group)
                group = []
        pieces += self._listed(group)
        return pieces if ended else (*pieces, self)

    def _weight(self, group: Sequence[ObjectInfo]) -> float:
        prefixes = sum(info.is_prefix for info in group)
        return prefixes * self.density.average + len(group) - prefixes

    def _listed(self, group: Sequence[ObjectInfo]) -> Sequence[Piece]:
        """
        Return the entries of *group*, with a step for the keys below its common prefixes.
        """
        places = [place for place, info in enumerate(group) if info.is_prefix]
        if not places:
            return (group,)
        first, last = group[places[0]], group[places[-1]]
        before, after = group[: places[0]], group[places[-1] + 1 :]
        if first is last:
            step = _Flat(self.source, first.uri, _Bounds(), (self.density, 1))
        else:
            # It also has the objects between the common prefixes.
            bounds = _Bounds(since=first.key, until=last.key)
            step = _Flat(self.source, self.prefix, bounds, (self.density, len(places)))
        return (before, step, after)


def _past(key: str | None, until: str | None) -> _Bounds:
    """
    Return the bounds of what comes after the object or the common prefix *key*.
    """
    if key is not None and key.endswith(DELIMITER):
        # The character after the slash.
        return _Bounds(since=f"{key[:-1]}0", until=until)
    return _Bounds(after=key, until=until)

"""
A cache in memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from asyncstore.driver import BytesLike, ReadBody
from asyncstore.types import Metadata
from asyncstore.uri import ObjectURI
from asyncstore.wrappers.cache.entry import Cache, Entry, Head, Recorder, Request

# About what the records of an entry take, in bytes.
_OVERHEAD: Final = 2048


class MemoryCache(Cache):
    """
    Entries in memory; the one that was not used for the longest time goes first.

    Args:
        max_bytes: Most bytes of all entries together.
    """

    blocking: ClassVar[bool] = False

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Request, MemoryEntry] = OrderedDict()
        self._of: dict[str, set[Request]] = {}
        self.size = 0

    def find(self, requests: Sequence[Request]) -> Entry | None:
        for request in requests:
            if (entry := self._entries.get(request)) is not None:
                self._entries.move_to_end(request)
                return entry
        return None

    def recorder(self, request: Request, head: Head) -> Recorder | None:
        return MemoryRecorder(self, request, head) if head.size + _OVERHEAD <= self._max_bytes else None

    def mark(self, request: Request) -> None:
        if (entry := self._entries.get(request)) is not None:
            entry.checked = time.time()

    def forget(self, uris: Iterable[str]) -> None:
        for uri in uris:
            for request in list(self._of.get(uri, ())):
                self._remove(request)

    def __str__(self) -> str:
        return f"memory, {self._max_bytes} bytes"

    def clear(self) -> None:
        self._entries.clear()
        self._of.clear()
        self.size = 0

    def keep(self, entry: MemoryEntry) -> None:
        """
        Add an entry, and remove others until all fit.
        """
        request = entry.request
        if request in self._entries:
            self._remove(request)
        self._entries[request] = entry
        self._of.setdefault(request.uri, set()).add(request)
        self.size += entry.cost
        while self.size > self._max_bytes:
            self._remove(next(iter(self._entries)))

    def _remove(self, request: Request) -> None:
        self.size -= self._entries.pop(request).cost
        requests = self._of[request.uri]
        requests.discard(request)
        if not requests:
            del self._of[request.uri]


class MemoryEntry(Entry):
    """
    A reply in memory.
    """

    def __init__(self, request: Request, head: Head, data: bytes, checked: float) -> None:
        self.request = request
        self.head = head
        # Of short objects most bytes are those of the metadata.
        self.cost = head.size + _OVERHEAD
        self.checked = checked
        self._data = data

    def body(self, uri: ObjectURI, start: int, end: int) -> ReadBody:
        first = self.head.start
        data = self._data if end - start == len(self._data) else self._data[start - first : end - first]
        return BytesReadBody(replace(self.head.info, uri=uri), start, data)

    def close(self) -> None:
        """Nothing is open."""


class MemoryRecorder(Recorder):
    """
    Collects the chunks of a reply.
    """

    def __init__(self, cache: MemoryCache, request: Request, head: Head) -> None:
        self._cache = cache
        self._request = request
        self._head = head
        self._chunks: list[bytes] = []

    def write(self, data: BytesLike) -> None:
        self._chunks.append(bytes(data))

    def commit(self) -> None:
        if self.wanted:
            self._cache.keep(MemoryEntry(self._request, self._head, b"".join(self._chunks), time.time()))
        self.discard()

    def discard(self) -> None:
        self._chunks = []


class BytesReadBody(ReadBody):
    """
    A body that is in memory already.
    """

    def __init__(self, info: Metadata, start: int, data: bytes) -> None:
        self.info = info
        self.start = start
        self.end = start + len(data)
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._data:
            yield self._data

    async def aclose(self) -> None:
        """
        Nothing is open.
        """

"""
Bytes of one object that are kept because there is room for them.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict

from asyncstore.engine.budget import Budget

#: Bytes at a place: where they start in the object, and the bytes.
Piece = tuple[int, bytes]


class SpanCache:
    """
    Spans of an object that do not overlap; the least recently used are dropped first.

    They take units of *budget* while nobody waits for them, and give them back at once when somebody does. So
    a cache never holds anybody up, however long it is open.

    Attributes:
        size: Bytes kept now.
    """

    def __init__(self, most: int, budget: Budget) -> None:
        self.size = 0
        self._most = most
        self._budget = budget
        self._starts: list[int] = []
        self._spans: OrderedDict[int, bytes] = OrderedDict()
        budget.on_shortage.append(self.clear)

    def pieces(self, start: int, end: int) -> list[Piece]:
        """
        Return what is kept of the bytes from *start* up to *end*, in order; the first and last piece may exceed them.
        """
        at = bisect_right(self._starts, start) - 1
        if at < 0 or self._end(self._starts[at]) <= start:
            at += 1
        found = []
        while at < len(self._starts) and (first := self._starts[at]) < end:
            self._spans.move_to_end(first)
            found.append((first, self._spans[first]))
            at += 1
        return found

    def gap_after(self, start: int, end: int) -> tuple[int, int]:
        """
        Return the first gap in the bytes from *start* up to *end*; an empty one if there is none.
        """
        at = start
        for first, data in self.pieces(start, end):
            if first > at:
                return at, first
            at = first + len(data)
        return min(at, end), end

    def add(self, start: int, data: bytes) -> None:
        """
        Keep *data*, unless it takes too much of the cache or of what others need.
        """
        # What is large is probably read once, and would replace everything else.
        if len(data) > self._most // 4:
            return
        while not self._budget.take(len(data)):
            if not self._spans:
                return
            self._drop()
        self.adopt(start, data)

    def adopt(self, start: int, data: bytes) -> None:
        """
        Keep *data*, for which the caller has taken units of the budget.
        """
        if self._budget.waiting:
            self._budget.release(len(data))
            return
        while self._spans and self.size + len(data) > self._most:
            self._drop()
        insort(self._starts, start)
        self._spans[start] = data
        self.size += len(data)

    def clear(self) -> None:
        """
        Drop everything.
        """
        released, self.size = self.size, 0
        self._starts.clear()
        self._spans.clear()
        if released:
            self._budget.release(released)

    def close(self) -> None:
        """
        Drop everything for good.
        """
        self.clear()
        if self.clear in self._budget.on_shortage:
            self._budget.on_shortage.remove(self.clear)

    def _drop(self) -> None:
        start, data = self._spans.popitem(last=False)
        self._starts.remove(start)
        self.size -= len(data)
        self._budget.release(len(data))

    def _end(self, start: int) -> int:
        return start + len(self._spans[start])

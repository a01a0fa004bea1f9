"""
How to divide bytes: part sizes, ranges, coalescing. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from asyncstore.driver import Capabilities
from asyncstore.errors import InvalidRequestError
from asyncstore.options import MiB

#: Ranges closer than this are fetched together: a request costs about as much
#: as this many bytes take to arrive.
COALESCE_GAP = 1 * MiB

# Parts of a stream of unknown length grow twofold after as many parts, or sooner.
_GROW_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Span:
    """
    Part *number* (from 1) of an object: the bytes from *start* up to *end*.
    """

    number: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


def part_size(total: int, wanted: int, capabilities: Capabilities) -> int:
    """
    Return the size of the parts of an object of *total* bytes.

    It is *wanted*, raised to the provider's smallest part and until no more parts
    are needed than the provider allows, then to whole MiB.

    Raises:
        InvalidRequestError: The object is larger than the provider stores.
    """
    check_size(total, capabilities)
    needed = -(-total // capabilities.max_parts)
    size = max(wanted, capabilities.min_part_size)
    if needed > size:
        size = -(-needed // MiB) * MiB
    return min(size, capabilities.max_part_size)


def check_size(total: int, capabilities: Capabilities) -> None:
    """
    Refuse an object that the provider cannot store.
    """
    if total < capabilities.min_object_size:
        raise InvalidRequestError(
            f"{total} bytes are fewer than the {capabilities.min_object_size} that an object must have "
            f"(see {capabilities.reference})"
        )
    if total > capabilities.max_object_size:
        raise InvalidRequestError(
            f"{total} bytes are more than the {capabilities.max_object_size} that an object can have "
            f"(see {capabilities.reference})"
        )


def stream_part_size(number: int, wanted: int, capabilities: Capabilities, largest: int | None = None) -> int:
    """
    Return the size of part *number* (from 1) of a stream whose length is not known.

    Parts grow as the stream does, as late as possible, so that the provider's
    largest object fits into the parts that it allows.

    Args:
        largest: Bytes that one part may have at the most.
    """
    ceiling = min(capabilities.max_part_size, largest or capabilities.max_part_size)
    first = min(max(wanted, capabilities.min_part_size), ceiling)
    doublings = (number - 1) // _growth(first, ceiling, capabilities)
    return min(first << min(doublings, 63), ceiling)


@cache
def _growth(first: int, ceiling: int, capabilities: Capabilities) -> int:
    """
    After how many parts their size doubles.
    """
    parts = capabilities.max_parts
    # Parts that start small can hold most of what the largest parts could, not all.
    wanted = min(capabilities.max_object_size, parts * ceiling * 4 // 5)
    every = max(1, min(_GROW_EVERY, parts // 10))
    while every > 1 and _capacity(every, first, ceiling, parts) < wanted:
        every = every * 9 // 10
    return every


def _capacity(every: int, first: int, ceiling: int, parts: int) -> int:
    steps = range(0, parts, every)
    return sum(min(first << min(n, 63), ceiling) * min(every, parts - start) for n, start in enumerate(steps))


def spans(start: int, end: int, size: int) -> Iterator[Span]:
    """
    Divide the bytes from *start* up to *end* into spans of *size*, the last one shorter.
    """
    for number, first in enumerate(range(start, end, size), 1):
        yield Span(number, first, min(first + size, end))


def coalesce(ranges: Sequence[tuple[int, int]], gap: int = COALESCE_GAP) -> list[tuple[int, int]]:
    """
    Merge ranges that overlap or lie at most *gap* bytes apart; sorted by start.
    """
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged

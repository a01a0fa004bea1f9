"""
Part sizes and ranges: pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from asyncstore.driver import Capabilities
from asyncstore.errors import InvalidRequestError
from asyncstore.options import DownloadOptions, MiB, UploadOptions

#: Bytes between ranges that are still fetched together: a request takes about as long
#: as transferring this many.
COALESCE_GAP = 1 * MiB

#: Bytes of the ranges of a download: a longer one would gain nothing, and a request for a shorter one costs
#: as much as it brings on a quick connection.
MIN_RANGE = 4 * MiB
MAX_RANGE = 16 * MiB

# Parts after which the part size of a stream of unknown length doubles, at the latest.
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

    It is *wanted*, raised to the provider's smallest part, and to whole MiB if there
    would be more parts than the provider allows.

    Raises:
        InvalidRequestError: The provider cannot store an object of that size.
    """
    check_size(total, capabilities)
    needed = -(-total // capabilities.max_parts)
    size = max(wanted, capabilities.min_part_size)
    if needed > size:
        size = -(-needed // MiB) * MiB
    return min(size, capabilities.max_part_size)


def check_size(total: int, capabilities: Capabilities) -> None:
    """
    Raise :class:`InvalidRequestError` if the provider cannot store an object of *total* bytes.
    """
    if total < capabilities.min_object_size:
        raise InvalidRequestError(
            f"an object must have at least {capabilities.min_object_size} bytes, not {total} "
            f"(see {capabilities.reference})"
        )
    if total > capabilities.max_object_size:
        raise InvalidRequestError(
            f"an object can have at most {capabilities.max_object_size} bytes, not {total} "
            f"(see {capabilities.reference})"
        )


def multipart_part_size(size: int, options: UploadOptions, capabilities: Capabilities) -> int | None:
    """
    Return the part size of a multipart upload of *size* bytes, ``None`` for one request.

    Raises:
        InvalidRequestError: The provider cannot store the object, or not by one request
            and it does not support multipart uploads.
    """
    check_size(size, capabilities)
    if capabilities.multipart and size >= min(max(1, options.multipart_threshold), capabilities.max_put_size + 1):
        return part_size(size, options.part_size, capabilities)
    if size > capabilities.max_put_size:
        raise InvalidRequestError(
            f"one request can write at most {capabilities.max_put_size} bytes, not {size} "
            f"(see {capabilities.reference})"
        )
    return None


def stream_part_size(number: int, wanted: int, capabilities: Capabilities, largest: int | None = None) -> int:
    """
    Return the size of part *number* (from 1) of a stream of unknown length.

    Parts grow with the stream, as late as possible, so that the provider's largest
    object fits into its number of parts.

    Args:
        largest: The most bytes of a part.
    """
    ceiling = min(capabilities.max_part_size, largest or capabilities.max_part_size)
    first = min(max(wanted, capabilities.min_part_size), ceiling)
    doublings = (number - 1) // _growth(first, ceiling, capabilities)
    return min(first << min(doublings, 63), ceiling)


@cache
def _growth(first: int, ceiling: int, capabilities: Capabilities) -> int:
    """
    Return after how many parts their size doubles.
    """
    parts = capabilities.max_parts
    # Parts that start small cannot hold as much as the largest parts could.
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
    Divide the bytes from *start* up to *end* into spans of *size*; the last may be shorter.
    """
    for number, first in enumerate(range(start, end, size), 1):
        yield Span(number, first, min(first + size, end))


def sized(options: DownloadOptions, size: int, capabilities: Capabilities, most: int) -> DownloadOptions:
    """
    Return *options* with the bytes of each range of a download of *size* bytes, with up to *most* requests at a time.

    If they do not say it, ranges are short enough for all requests, so that these end at about the same time.
    """
    if not capabilities.ranges:
        part_size = max(1, size)
    elif options.part_size is not None:
        part_size = options.part_size
    else:
        part_size = max(MIN_RANGE, min(MAX_RANGE, -(-size // (2 * most * MiB)) * MiB))
    return replace(options, part_size=part_size)


def coalesce(ranges: Sequence[tuple[int, int]], gap: int = COALESCE_GAP) -> list[tuple[int, int]]:
    """
    Merge ranges that overlap or are at most *gap* bytes apart, sorted by start.
    """
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1] + gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged

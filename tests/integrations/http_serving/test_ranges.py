"""
Ranges of a request, joined where they touch.
"""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from asyncstore.integrations.http_serving.ranges import MAX_RANGES, parse_ranges, resolve
from asyncstore.options import ByteRange

RANGES = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 900)), min_size=1, max_size=8)


@given(RANGES, st.integers(0, 2000))
def test_resolved_ranges(pairs: list[tuple[int, int]], size: int) -> None:
    """
    Every byte that was asked for and exists is in exactly one part, and parts are far apart.
    """
    header = "bytes=" + ",".join(f"{start}-{start + length}" for start, length in pairs)
    wanted = {byte for start, length in pairs for byte in range(start, min(start + length + 1, size))}

    parts = resolve(parse_ranges(header), size)

    sent = [byte for part in parts for byte in range(*part)]
    assert wanted <= set(sent) <= set(range(size))
    assert len(sent) == len(set(sent))
    ordered = sorted(parts)
    assert all(one.end + 100 < other.start for one, other in itertools.pairwise(ordered))


@given(st.text(alphabet="bytes=0123456789-, \t", max_size=40))
def test_any_header(text: str) -> None:
    """
    Whatever a client sends is a few ranges or none, and never an error.
    """
    ranges = parse_ranges(text)

    assert len(ranges) <= MAX_RANGES
    assert all(part.start < part.end <= 10 for part in resolve(ranges, 10))


def test_longest_list() -> None:
    header = "bytes=" + ",".join(["1-2"] * MAX_RANGES)

    assert parse_ranges(header) == [ByteRange(1, 3)] * MAX_RANGES
    assert parse_ranges(f"{header},1-2") == ()


def test_no_header() -> None:
    assert parse_ranges(None) == ()

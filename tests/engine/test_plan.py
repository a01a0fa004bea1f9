"""
Bytes are divided without gaps, within the provider's limits.
"""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstore.drivers.memory.driver import CAPABILITIES
from asyncstore.engine.plan import check_size, coalesce, part_size, spans, stream_part_size
from asyncstore.errors import InvalidRequestError
from asyncstore.options import GiB, MiB

TiB = 1024 * GiB

# Smallest part, largest part, number of parts, largest object.
PROVIDERS = {
    "s3": (5 * MiB, 5 * GiB, 10_000, 5 * TiB),
    "s3 of 2025": (5 * MiB, 5 * GiB, 10_000, 48 * TiB),
    "gcs": (5 * MiB, 5 * GiB, 10_000, 5 * TiB),
    "azure": (1, 4000 * MiB, 50_000, 190 * TiB),
    "oci": (10 * MiB, 50 * GiB, 10_000, 10 * TiB),
    "memory": (1, 5 * GiB, 10_000, 5 * TiB),
}
ABLE = {
    name: replace(CAPABILITIES, min_part_size=least, max_part_size=most, max_parts=parts, max_object_size=size)
    for name, (least, most, parts, size) in PROVIDERS.items()
}

providers = st.sampled_from(sorted(ABLE))


@given(start=st.integers(0, 10_000), length=st.integers(0, 10_000), size=st.integers(1, 3000))
def test_spans_cover_exactly(start: int, length: int, size: int) -> None:
    found = list(spans(start, start + length, size))

    assert list(range(1, len(found) + 1)) == [span.number for span in found]
    assert length == sum(span.size for span in found)
    assert all(0 < span.size <= size for span in found)
    assert [start, *[span.end for span in found]] == [*[span.start for span in found], start + length]


@given(provider=providers, share=st.floats(0, 1), wanted=st.integers(1, 60 * GiB))
def test_every_object_fits_into_the_parts(provider: str, share: float, wanted: int) -> None:
    able = ABLE[provider]
    total = int(able.max_object_size * share)
    size = part_size(total, wanted, able)

    assert able.min_part_size <= size <= able.max_part_size
    assert -(-total // size) <= able.max_parts


@given(wanted=st.integers(1, 4 * GiB))
def test_parts_have_the_wanted_size_if_possible(wanted: int) -> None:
    assert max(wanted, 5 * MiB) == part_size(5 * GiB, wanted, ABLE["s3"])


def test_parts_that_must_grow_are_whole_mebibytes() -> None:
    assert 0 == part_size(5 * TiB, 8 * MiB, ABLE["s3"]) % MiB


def test_too_large_an_object_is_refused() -> None:
    check_size(5 * TiB, ABLE["s3"])
    with pytest.raises(InvalidRequestError, match="at most"):
        part_size(5 * TiB + 1, MiB, ABLE["s3"])


@pytest.mark.parametrize("provider", sorted(ABLE))
@pytest.mark.parametrize("wanted", [1, 1 * MiB, 5 * MiB, 16 * MiB, 1 * GiB])
def test_parts_of_a_stream_reach_the_largest_object(provider: str, wanted: int) -> None:
    """
    Or four fifths of what the largest parts could hold, if that is less.
    """
    able = ABLE[provider]
    sizes = [stream_part_size(number, wanted, able) for number in range(1, able.max_parts + 1)]

    assert sizes == sorted(sizes)
    assert able.min_part_size <= sizes[0]
    assert able.max_part_size >= sizes[-1]
    assert sum(sizes) >= min(able.max_object_size, able.max_parts * able.max_part_size * 4 // 5)


@given(
    provider=providers, wanted=st.integers(1, GiB), largest=st.integers(16 * MiB, GiB), number=st.integers(1, 10_000)
)
def test_parts_of_a_stream_fit_into_memory(provider: str, wanted: int, largest: int, number: int) -> None:
    size = stream_part_size(number, wanted, ABLE[provider], largest)

    assert ABLE[provider].min_part_size <= size <= largest


def test_parts_of_a_stream_start_as_wanted() -> None:
    assert {16 * MiB} == {stream_part_size(number, 16 * MiB, ABLE["gcs"]) for number in range(1, 900)}


ranges = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 100)).map(lambda r: (r[0], r[0] + r[1])))


@given(asked=ranges, gap=st.integers(0, 50))
def test_coalesced_ranges_contain_all_requested_bytes(asked: list[tuple[int, int]], gap: int) -> None:
    merged = coalesce(asked, gap)

    assert all(any(a <= start and end <= b for a, b in merged) for start, end in asked)
    assert all(second[0] > first[1] + gap for first, second in itertools.pairwise(merged))
    assert {edge for edges in merged for edge in edges} <= {edge for edges in asked for edge in edges}

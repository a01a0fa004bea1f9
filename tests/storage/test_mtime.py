"""
Modification times in metadata, in the forms of other tools.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstore.storage import mtime

AT = 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("s3", "1700000000.123456789"),
        ("oci", "1700000000.123456789"),
        ("azure", "2023-11-14T22:13:20.123456789Z"),
        ("gcs", "2023-11-14T22:13:20.123456789Z"),
    ],
)
def test_forms_of_rclone(provider: str, expected: str) -> None:
    """
    Each provider has the form that rclone writes and reads there.
    """
    assert mtime.encoded(AT, provider) == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"mtime": "1700000000.123456789"}, AT),
        ({"mtime": "1700000000.1234567891"}, AT),
        ({"mtime": "1700000000"}, AT - 123_456_789),
        ({"mtime": "-1.5"}, -1_500_000_000),
        ({"mtime": "2023-11-14T23:13:20.123456789+01:00"}, AT),
        ({"mtime": "2023-11-14T22:13:20Z"}, AT - 123_456_789),
        ({"goog-reserved-file-mtime": "1700000000"}, AT - 123_456_789),
        ({"mtime": "yesterday", "goog-reserved-file-mtime": "1"}, 1_000_000_000),
        ({}, None),
        ({"mtime": "9" * 12}, None),
        ({"mtime": "2023-13-14T22:13:20Z"}, None),
        ({"mtime": "1e9"}, None),
        ({"mtime": "\u0661"}, None),
    ],
)
def test_what_is_read(metadata: dict[str, str], expected: int | None) -> None:
    """
    What rclone and gsutil write is read; what is no time is ignored.
    """
    assert mtime.decoded(metadata) == expected


@given(
    st.integers(min_value=-62_135_596_800 * 10**9, max_value=253_402_300_799 * 10**9 + 999_999_999),
    st.sampled_from(["s3", "azure", "gcs", "oci", "file"]),
)
def test_every_time_comes_back(nanoseconds: int, provider: str) -> None:
    assert mtime.decoded({"mtime": mtime.encoded(nanoseconds, provider)}) == nanoseconds

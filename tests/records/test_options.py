"""
Options are checked when they are made, and stay as they are.
"""

import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from asyncstore.errors import ConfigurationError
from asyncstore.options import (
    BulkOptions,
    ByteRange,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    ListOptions,
    ReadOptions,
    UploadOptions,
    WriteOptions,
)

RECORDS = [
    BulkOptions,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    ListOptions,
    ReadOptions,
    UploadOptions,
    WriteOptions,
]


@pytest.mark.parametrize("record", RECORDS)
def test_records_are_values(record: Any) -> None:
    """The defaults are valid, equal, replaceable, picklable, and cannot be changed."""
    options = record()

    assert options == record() == replace(options) == pickle.loads(pickle.dumps(options))
    with pytest.raises((FrozenInstanceError, TypeError)):
        options.anything = 1
    with pytest.raises(TypeError):
        record(None)


@pytest.mark.parametrize(
    ("wanted", "header"),
    [
        (ByteRange(0), "bytes=0-"),
        (ByteRange(5, 6), "bytes=5-5"),
        (ByteRange(0, 100), "bytes=0-99"),
        (ByteRange(-5), "bytes=-5"),
    ],
)
def test_header_of_a_range(wanted: ByteRange, header: str) -> None:
    """Ends are exclusive in Python and inclusive on the wire."""
    assert wanted.header() == header
    assert not wanted.empty


def test_ranges_that_make_no_sense() -> None:
    """An end before the start, or one of a suffix; no bytes at all are fine."""
    assert ByteRange(3, 3).empty
    with pytest.raises(ValueError, match="at or after its start"):
        ByteRange(3, 2)
    with pytest.raises(ValueError, match=r"ByteRange\(-3\)"):
        ByteRange(-3, 2)


@pytest.mark.parametrize(
    ("record", "values", "message"),
    [
        (ReadOptions, {"if_modified_since": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - that is the point
        (DownloadOptions, {"if_unmodified_since": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001
        (DownloadOptions, {"part_size": 0}, "at least 1 byte"),
        (UploadOptions, {"max_concurrency": 0}, "at least 1"),
        (UploadOptions, {"multipart_threshold": -1}, "number of bytes"),
        (UploadOptions, {"if_match": "a", "if_none_match": "*"}, "one of them"),
        (WriteOptions, {"if_none_match": "etag"}, "takes"),
        (CopyOptions, {"if_none_match": "etag"}, "takes"),
        (CopyOptions, {"part_size": 0}, "at least 1 byte"),
        (CopyOptions, {"replace": WriteOptions(if_match="a")}, "CopyOptions itself"),
        (ListOptions, {"delimiter": ""}, "None for a flat listing"),
        (ListOptions, {"page_size": 0}, "at least 1"),
        (BulkOptions, {"max_concurrency": 0}, "at least 1"),
        (WriteOptions, {"content_type": "a\r\nb"}, "control character"),
        (WriteOptions, {"metadata": {"a": "b\0"}}, "control character"),
        (WriteOptions, {"metadata": {"a\n": "b"}}, "control character"),
        (WriteOptions, {"metadata": {"": "b"}}, "empty"),
        (WriteOptions, {"metadata": {"a": 1}}, "text"),
        (WriteOptions, {"metadata": {"A": "1", "a": "2"}}, "twice"),
    ],
)
def test_values_that_do_not_fit(record: Any, values: dict[str, Any], message: str) -> None:
    """Each is refused with what would do."""
    with pytest.raises(ValueError, match=message):
        record(**values)


def test_metadata_is_a_copy_in_lower_case() -> None:
    """What the caller does to theirs afterwards changes nothing; tabs and inner spaces stay."""
    given = {"Key": "a \t b"}
    options = UploadOptions(metadata=given)
    given["other"] = "x"

    assert options.metadata == {"key": "a \t b"}
    assert isinstance(ConfigurationError(), ValueError)
    assert ReadOptions(if_modified_since=datetime(2026, 1, 1, tzinfo=UTC)).range is None

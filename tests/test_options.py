"""
Options are checked when they are built, and immutable.
"""

import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from asyncstore import options
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
from asyncstore.types import ChecksumAlgorithm

#: The records, for values that a type checker refuses.
untyped: Any = options

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


def test_invalid_ranges_are_refused() -> None:
    """A range must not end before its start, nor have an end if it is a suffix; empty ranges are valid."""
    assert ByteRange(3, 3).empty
    with pytest.raises(ValueError, match="ends before it starts"):
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
        (UploadOptions, {"multipart_threshold": -1}, "0 or more bytes"),
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
def test_invalid_values_are_refused(record: Any, values: dict[str, Any], message: str) -> None:
    """Each invalid value is refused with a message that says what is valid."""
    with pytest.raises(ValueError, match=message):
        record(**values)


def test_metadata_is_a_copy_in_lower_case() -> None:
    """Metadata is copied, so later changes by the caller have no effect; tabs and inner spaces stay."""
    given = {"Key": "a \t b"}
    options = UploadOptions(metadata=given)
    given["other"] = "x"

    assert options.metadata == {"key": "a \t b"}
    assert isinstance(ConfigurationError(), ValueError)
    assert ReadOptions(if_modified_since=datetime(2026, 1, 1, tzinfo=UTC)).range is None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: untyped.ByteRange("0"), "start takes a whole number, not '0'"),
        (lambda: untyped.ReadOptions(range=(0, 5)), r"range takes a ByteRange or None, not \(0, 5\)"),
        (
            lambda: untyped.ReadOptions(if_modified_since="today"),
            "if_modified_since takes a datetime or None",
        ),
        (lambda: untyped.ReadOptions(if_match=5), "if_match takes text or None, not 5"),
        (lambda: untyped.DownloadOptions(overwrite="no"), "overwrite takes True or False, not 'no'"),
        (lambda: untyped.UploadOptions(part_size="8MB"), "part_size takes a whole number, not '8MB'"),
        (lambda: untyped.UploadOptions(part_size=8e6), "part_size takes a whole number, not 8000000.0"),
        (lambda: untyped.UploadOptions(max_concurrency=True), "max_concurrency takes a whole number or None, not True"),
        (lambda: untyped.UploadOptions(metadata=None), "metadata takes a mapping, not NoneType"),
        (lambda: untyped.UploadOptions(checksum=5), "checksum takes a ChecksumAlgorithm or None, not 5"),
        (lambda: untyped.WriteOptions(content_type=b"text/plain"), "content_type takes text or None, not bytes"),
        (lambda: untyped.CopyOptions(replace={}), "replace takes a WriteOptions or None, not dict"),
        (lambda: untyped.CopyOptions(if_none_match=True), "if_none_match takes '\\*' or None, not True"),
        (lambda: untyped.DeleteOptions(version_id=5), "version_id takes text or None, not 5"),
        (lambda: untyped.ListOptions(page_size=1.5), "page_size takes a whole number or None, not 1.5"),
        (lambda: untyped.BulkOptions(upload=DownloadOptions()), "upload takes an UploadOptions, not DownloadOptions"),
    ],
)
def test_wrong_types(build: Any, message: str) -> None:
    """The error names the field, what it takes and what was given."""
    with pytest.raises(TypeError, match=message):
        build()


def test_choices() -> None:
    with pytest.raises(ValueError, match="keep takes 'all' or 'failures', not 'some'"):
        untyped.BulkOptions(keep="some")


def test_names_of_checksums() -> None:
    """An algorithm is given by its name as well, in upper or lower case."""
    assert untyped.UploadOptions(checksum="MD5").checksum is ChecksumAlgorithm.MD5
    with pytest.raises(ValueError, match=r"checksum takes crc32, .*sha256 or None, not 'md4'"):
        untyped.UploadOptions(checksum="md4")

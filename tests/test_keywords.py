"""
Fields of option records as keywords: the same names, types and checks as the records.
"""

from dataclasses import fields
from datetime import datetime
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from asyncstore import keywords
from asyncstore.keywords import merged
from asyncstore.options import (
    BulkOptions,
    ByteRange,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    ListOptions,
    PostOptions,
    PresignOptions,
    RangeLike,
    ReadOptions,
    UploadOptions,
    WriteOptions,
)
from asyncstore.storage.compare import SyncOptions
from asyncstore.storage.tree_options import TreeOptions

#: Each typed dictionary and its record, without the fields that the verbs have no use for.
PAIRS: list[tuple[type, type, set[str]]] = [
    (keywords.StatFields, ReadOptions, {"range"}),
    (keywords.ReadFields, ReadOptions, set()),
    (keywords.DownloadFields, DownloadOptions, set()),
    (keywords.WriteFields, WriteOptions, set()),
    (keywords.UploadFields, UploadOptions, set()),
    (keywords.CopyFields, CopyOptions, set()),
    (keywords.DeleteFields, DeleteOptions, set()),
    (keywords.PresignFields, PresignOptions, set()),
    (keywords.PostFields, PostOptions, set()),
    (keywords.ListFields, ListOptions, set()),
    (keywords.BulkFields, BulkOptions, set()),
    (keywords.TreeFields, TreeOptions, set()),
    (keywords.SyncFields, SyncOptions, set()),
]

untyped: Any = merged


def members(hint: Any) -> set[Any]:
    """
    Return the members of a union, or the hint itself.
    """
    return set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}


class TestFields:
    """The typed dictionaries mirror the records."""

    @pytest.mark.parametrize(("given", "record", "left_out"), PAIRS, ids=lambda value: getattr(value, "__name__", ""))
    def test_names(self, given: type, record: type, left_out: set[str]) -> None:
        """
        Every field of the record is a keyword, and no other name is.
        """
        assert set(get_type_hints(given)) == {item.name for item in fields(record)} - left_out

    @pytest.mark.parametrize(("given", "record", "left_out"), PAIRS, ids=lambda value: getattr(value, "__name__", ""))
    def test_types(self, given: type, record: type, left_out: set[str]) -> None:
        """
        A keyword takes what the field takes; ``range`` and the algorithm of a checksum take more.
        """
        hints = get_type_hints(record)
        for name, hint in get_type_hints(given).items():
            if name == "range" or (name == "checksum" and given is not keywords.PresignFields):
                assert members(hint) > members(hints[name])
            else:
                assert hint == hints[name], name

    def test_checksum_by_name(self) -> None:
        """
        Every algorithm can be named by its text.
        """
        (names,) = (hint for hint in members(get_type_hints(keywords.WriteFields)["checksum"]) if get_args(hint))

        assert [WriteOptions(checksum=name).checksum for name in get_args(names)] == list(get_args(names))


class TestMerged:
    """Keywords replace fields of the record."""

    def test_nothing_given(self) -> None:
        """
        Without keywords it is the same record: drivers recognize the default by identity.
        """
        options = ReadOptions()

        assert merged(options, ReadOptions, {}) is options

    def test_replaces_what_is_given(self) -> None:
        """
        The other fields stay.
        """
        options = UploadOptions(content_type="text/plain", if_none_match="*")

        assert merged(options, UploadOptions, {"content_type": "text/html"}) == UploadOptions(
            content_type="text/html", if_none_match="*"
        )

    @pytest.mark.parametrize("part", [(1, 5), slice(1, 5), "bytes=1-4", ByteRange(1, 5)])
    def test_range(self, part: RangeLike) -> None:
        """
        A range can be written in several ways.
        """
        assert merged(ReadOptions(), ReadOptions, {"range": part}).range == ByteRange(1, 5)

    def test_no_range(self) -> None:
        """
        ``range=None`` is the whole object.
        """
        assert merged(ReadOptions(range=ByteRange(1)), ReadOptions, {"range": None}).range is None

    def test_unknown_name(self) -> None:
        """
        The error names the record, and what was probably meant.
        """
        with pytest.raises(TypeError, match=r"ReadOptions has no field 'if_mach'\. Did you mean 'if_match'\?"):
            merged(ReadOptions(), ReadOptions, {"if_mach": "etag"})

    def test_options_of_another_operation(self) -> None:
        """
        The record is checked before its fields.
        """
        with pytest.raises(TypeError, match="options must be ReadOptions, not CopyOptions"):
            untyped(CopyOptions(), ReadOptions, {"if_match": "etag"})

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"range": 5}, r"range takes \(start, end\)"),
            ({"range": (1, 2, 3)}, r"range takes \(start, end\)"),
            ({"if_match": ""}, "if_match must not be empty"),
            ({"if_modified_since": datetime(2026, 1, 1)}, "must have a time zone"),  # noqa: DTZ001 - what is tested
            ({"verify": 1}, "verify takes True or False"),
        ],
        ids=str,
    )
    def test_invalid_value(self, given: dict[str, Any], message: str) -> None:
        """
        Values are checked as in the record.
        """
        with pytest.raises((TypeError, ValueError), match=message):
            merged(ReadOptions(), ReadOptions, given)


class TestRange:
    """Ranges as people have them."""

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            ((0, 5), ByteRange(0, 5)),
            ((3, None), ByteRange(3)),
            ((-5, None), ByteRange(-5)),
            (slice(5), ByteRange(0, 5)),
            (slice(2, 5, 1), ByteRange(2, 5)),
            (slice(-5, None), ByteRange(-5)),
            (slice(None), ByteRange(0)),
            ("bytes=0-4", ByteRange(0, 5)),
            ("bytes=3-", ByteRange(3)),
            ("bytes=-5", ByteRange(-5)),
            (" Bytes = 0 - 4 ", ByteRange(0, 5)),
        ],
        ids=str,
    )
    def test_of(self, part: RangeLike, expected: ByteRange) -> None:
        """
        Pairs, slices and headers are the same range as a ``ByteRange``, and its header means the same bytes.
        """
        assert ByteRange.of(part) == expected
        assert ByteRange.of(expected.header()) == expected

    @pytest.mark.parametrize(
        "part",
        [
            slice(0, 5, 2),
            slice(None, -5),
            slice(5, 2),
            (5, 2),
            "bytes=0-4,6-8",
            "bytes=-0",
            "bytes=-",
            "bytes=4-2",
            "items=0-4",
            "0-4",
            "",
        ],
        ids=str,
    )
    def test_not_one_range(self, part: RangeLike) -> None:
        """
        What is not one range of bytes is refused.
        """
        with pytest.raises(ValueError):
            ByteRange.of(part)

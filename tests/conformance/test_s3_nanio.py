"""
The parts of the conformance suite that nanio, whose objects are files, can do most of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import pytest

from asyncstore.testing.conformance.copying import Copying
from asyncstore.testing.conformance.deleting import Deleting
from asyncstore.testing.conformance.files import Files
from asyncstore.testing.conformance.multipart import Multipart
from asyncstore.testing.conformance.objects import Objects
from asyncstore.testing.conformance.ranges import Ranges
from tests.conformance.s3 import S3Harness
from tests.servers.s3 import S3Server

_ALL_UPLOADS: Final = (
    "test_uploads_are_listed",
    "test_uploads_without_a_part_are_listed",
    "test_sweep_aborts_unfinished_uploads",
    "test_large_copy_to_an_existing_object",
    "test_abort",
    "test_abort_of_an_empty_upload",
    "test_racing_uploads_do_not_mix",
    "test_source_that_fails_writes_nothing",
)
_RANGES: Final = (
    "[suffix]",
    "[all-and-more]",
    "[past-the-end]",
    "[suffix-longer-than-all]",
    "[suffix-of-all]",
    "test_range_past_the_end",
    "test_range_of_an_empty_object",
    "test_ranges[clipped]",
    "test_one_of_the_ranges_past_the_end",
)
_COPIES: Final = ("test_large_copy", "test_large_copy_of_one_version")
_PATHS: Final = ("test_prefix_is_not_deleted", "test_bulk_of_awkward_keys")
QUIRKS: Final = {
    **dict.fromkeys(_ALL_UPLOADS, "A listing of unfinished uploads ignores its prefix."),
    **dict.fromkeys(_RANGES, "A suffix, and a range that goes past the end, are InvalidArgument."),
    **dict.fromkeys(_COPIES, "A part cannot be copied."),
    **dict.fromkeys(_PATHS, "Keys are paths: empty segments, `.` and `..`, and a file below a file are refused."),
    "test_copy_of_one_version": "The condition on the source of a copy is ignored.",
    "test_copy_to_itself_changes_attributes": "A copy keeps the metadata of its source, whatever the request says.",
    "test_small_part_in_the_middle_is_refused": "A part may have any size.",
}


@pytest.fixture(scope="module")
def server(nanio: S3Server) -> S3Server:
    return nanio


class TestNanio(S3Harness, Objects, Ranges, Copying, Deleting, Multipart, Files):
    """
    Over http. Left out are conditions, tags, versions and keys that are no paths: it has none of them.
    """

    quirks: ClassVar[Mapping[str, str]] = QUIRKS

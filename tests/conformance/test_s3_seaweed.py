"""
The conformance suite on SeaweedFS, an S3 server that is strict about sizes, signatures and checksums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import pytest

from tests.conformance.s3 import S3Conformance
from tests.servers.quirks import EMPTY_METADATA, GHOST_PREFIX, KEY_FORMS, LIST_ORDER, SENTENCES
from tests.servers.s3 import S3Server

# Tests of single keys, named by their parameter; where a key fails only some tests, each test.
_PATHS: Final = (
    "[slashes-only]",
    "[dot]",
    "[dotdot]",
    "[backslash-dotdot]",
    "[backslash-mixed]",
    "test_key_is_listed[double-slash]",
    "test_key_is_a_prefix_of_itself[double-slash]",
    "test_key_is_listed[slash-first]",
    "test_key_is_listed[backslash]",
    "test_key_is_a_prefix_of_itself[backslash]",
    "test_key_is_listed[ascii-91-96]",
    "test_key_is_a_prefix_of_itself[ascii-91-96]",
    "test_key_is_stored_or_refused[double-slash]",
    "test_key_is_stored_or_refused[slash-first]",
    "test_key_is_stored_or_refused[backslash]",
    "test_key_is_stored_or_refused[ascii-91-96]",
    "test_key_is_written_and_read[trailing-slash]",
    "test_key_is_copied[trailing-slash]",
    "test_key_is_signed[trailing-slash]",
    "test_key_is_written_and_read[ascii-32-47]",
    "test_key_is_copied[ascii-32-47]",
    "test_key_is_signed[ascii-32-47]",
    *(
        f"test_key_is_named_relative_to_the_root[{key}]"
        for key in ("ascii-32-47", "ascii-91-96", "backslash", "double-slash", "slash-first", "trailing-slash")
    ),
    "test_first_in_the_bucket",
    "test_longest_key[one-segment]",
    "test_longest_key[characters]",
    "test_object_and_folder_of_one_name",
    "test_folder_is_not_an_object",
    "test_keys_that_look_alike_are_two[slashes]",
    "test_keys_that_look_alike_are_two[slants]",
    "test_delimiter[slash]",
    "test_delimiter[backslash]",
    "test_delimiter_in_the_prefix",
)
QUIRKS: Final = {
    **dict.fromkeys(_PATHS, SENTENCES[KEY_FORMS]),
    "test_large_copy_between_keys": "A part cannot be copied from or to an object with a customer's key.",
    "list-order": SENTENCES[LIST_ORDER],
    "test_parallel_listing": SENTENCES[LIST_ORDER],
    "test_prefix_vanishes_with_its_last_object": SENTENCES[GHOST_PREFIX],
    "test_retention_is_removed": "A retention can be shortened, but not removed.",
    "test_copy_with_protection": "The headers of object lock are ignored on a copy.",
    "test_metadata_value_is_kept_or_refused[empty]": SENTENCES[EMPTY_METADATA],
}


@pytest.fixture(scope="module")
def server(seaweed: S3Server) -> S3Server:
    return seaweed


class TestSeaweed(S3Conformance):
    """
    Over http.
    """

    quirks: ClassVar[Mapping[str, str]] = QUIRKS

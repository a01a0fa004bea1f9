"""
The conformance suite on `rclone serve s3`, whose objects are files in folders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar, Final

import pytest

from asyncstore.errors import IntegrityError
from asyncstore.storage import Storage
from tests.conformance.s3 import S3Conformance
from tests.servers.quirks import KEYS_IGNORED, SENTENCES
from tests.servers.s3 import S3Server

_PATHS: Final = (
    "[double-slash]",
    "[slash-first]",
    "[slashes-only]",
    "[dot]",
    "[dotdot]",
    "[backslash-mixed]",
    "[trailing-slash]",
    "[ascii-32-47]",
    "test_first_in_the_bucket",
    "test_longest_key",
    "test_object_and_folder_of_one_name",
    "test_object_below_an_object",
    "test_folder_is_not_an_object",
    "test_folder_object",
    "test_keys_that_look_alike_are_two[composition]",
    "test_keys_that_look_alike_are_two[slashes]",
    "test_object_and_prefix_of_one_name",
    "test_prefix_is_not_deleted",
    "test_prefix_is_a_raw_string",
    "test_byte_order_of_whole_keys",
    "test_levels_with_a_character_before_the_slash",
    "test_bulk_of_awkward_keys",
)
_DELIMITERS: Final = (
    "test_delimiter",
    "test_delimiter_in_the_prefix",
    "test_option_is_honoured_or_refused[ListOptions.delimiter]",
)
_TAGS: Final = (
    "test_object_without_tags",
    "test_tags_are_replaced_as_a_whole",
    "test_tags_are_taken_away",
    "test_tags_of_every_allowed_character",
    "test_tags_up_to_the_limit",
    "test_copy_keeps_tags",
    "test_overwritten_object_has_no_tags",
    "test_write_with_tags",
    "test_multipart_upload_with_tags",
    "test_copy_with_other_tags",
    "test_large_copy_with_other_tags",
    "test_option_is_honoured_or_refused[WriteOptions.tags]",
    "test_option_is_honoured_or_refused[CopyOptions.tags]",
)
_ATTRIBUTES: Final = (
    "test_copy_keeps_all",
    "test_copy_replaces_all",
    "test_copy_is_independent",
    "test_option_is_honoured_or_refused[CopyOptions.replace]",
)
_CONDITIONS: Final = (
    "test_one_of_many_creators_wins",
    "test_no_increment_is_lost",
    "test_replaced_while_it_is_moved",
    "test_update",
    "test_updates_at_once",
    "test_update_that_fails",
    "test_others_are_always_first",
    "test_url_that_only_creates",
)
_SOURCES: Final = ("test_copy_of_one_version", "test_copy_if_source_matches")
_PART_COPIES: Final = (
    "test_large_copy",
    "test_large_copy_between_keys",
    "test_large_copy_keeps_tags",
    "test_large_copy_of_one_version",
    "test_progress_of_a_large_copy",
    "test_cancelled_large_copy",
)
_PARTS: Final = (
    "test_part_sent_again_replaces",
    "test_part_left_out",
    "test_wrong_etag_is_refused",
    "test_small_part_in_the_middle_is_refused",
)
_ETAGS: Final = (
    "test_upload",
    "test_file_is_written[part-and-one]",
    "test_file_is_written[two-parts-and-more]",
    "test_parts_make_the_object",
    "test_reply_agrees_with_stat[two-parts-and-more]",
    "test_ranges_of_one_version",
    "etag-of-parts",
)
_CHECKSUMS: Final = (
    "test_flipped_bit_is_refused[put]",
    "test_flipped_bit_is_never_stored",
    "test_wrong_checksum_of_the_whole_is_refused",
    "test_url_with_a_checksum",
)
_SUFFIXES: Final = ("test_range[suffix-longer-than-all]", "test_range_of_a_stream[suffix-longer-than-all]")
QUIRKS: Final = {
    **dict.fromkeys(_PATHS, "Keys are paths: empty segments, `.` and `..`, and a file below a file are refused."),
    **dict.fromkeys(_DELIMITERS, "The only delimiter is `/`, and segments are not empty."),
    **dict.fromkeys(_TAGS, "There are no tags: a request for them is answered with the object."),
    **dict.fromkeys(_ATTRIBUTES, "Some content headers are lost, and the time of the file is added to the metadata."),
    **dict.fromkeys(_CONDITIONS, "Conditions of writes are ignored, so only one writer at a time can rely on them."),
    **dict.fromkeys(_SOURCES, "The condition on the source of a copy is ignored."),
    **dict.fromkeys(_PART_COPIES, "A part cannot be copied."),
    "test_large_copy_to_an_existing_object": "Unfinished uploads cannot be listed before a bucket has had one.",
    **dict.fromkeys(_PARTS, "A part is written once, in order, of any size; its ETag is not checked."),
    **dict.fromkeys(_ETAGS, "The ETag is the MD5 of the file, but not in the reply to a completion."),
    **dict.fromkeys(_CHECKSUMS, "Checksums are not verified."),
    "test_object_with_a_customer_key": SENTENCES[KEYS_IGNORED],
    **dict.fromkeys(("test_form", "test_form_for_a_prefix"), "A form is answered with 400."),
    "object-lock": "There is no object lock: its headers are stored and change nothing.",
    "test_url_of_a_range": "A part of an object is answered with 200, not 206.",
    **dict.fromkeys(_SUFFIXES, "A suffix that is longer than the object is InvalidRange."),
}


@pytest.fixture(scope="module")
def server(rclone: S3Server) -> S3Server:
    return rclone


class TestRclone(S3Conformance):
    """
    Over http.
    """

    quirks: ClassVar[Mapping[str, str]] = QUIRKS

    @pytest.fixture
    async def versioned(self) -> None:
        pytest.xfail("There are no versions.")

    async def test_writers_of_one_key_do_not_mix(self, storage: Storage) -> None:
        """
        Of concurrent writes to one key the bytes of one are kept, but sometimes with the metadata of another.
        """
        versions = [bytes([letter]) * 4096 for letter in range(8)]
        async with asyncio.TaskGroup() as group:
            for data in versions:
                group.create_task(storage.put(storage.root / "key", data))

        assert await storage.read(storage.root / "key", verify=False) in versions
        # The checksum of another is noticed, and never passed on.
        with suppress(IntegrityError):
            assert await storage.read(storage.root / "key") in versions

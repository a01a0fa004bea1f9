"""
The conformance suite on moto, which computes a CRC32 for every CRC without its optional packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import pytest

from tests.conformance.s3 import S3Conformance
from tests.servers.quirks import KEYS_IGNORED, SENTENCES, SIGNATURES_IGNORED
from tests.servers.s3 import S3Server

_LINES = "A key with a line end, or other control characters, is not found by its URL."
_UNVERIFIED = "Checksums are not verified."
_SOURCE_CONDITIONS = "The condition on the source of a copy is ignored."
_NO_UPLOAD = "A request for an upload that does not exist is an internal error."
_CRC32_ONLY = "The checksum of a multipart upload is a CRC32 under the name of the algorithm that was asked for."
_NO_RETENTION = "A request for the retention of an object is answered with something else."
_UNLOCKED = "The headers of object lock are ignored on multipart uploads."
_OLD_UPLOADS = "All uploads were begun in 2010: the one whose id was lost is not taken for ours, and none is young."
QUIRKS: Final = {
    "test_object_with_a_customer_key": SENTENCES[KEYS_IGNORED],
    "test_retention_is_removed": _NO_RETENTION,
    "test_retention_of_an_existing_object": _NO_RETENTION,
    "test_multipart_upload_with_protection": _UNLOCKED,
    "test_large_copy_with_protection": _UNLOCKED,
    "test_copy_with_protection": "A copy with a retention is refused without the checksum of an upload.",
    "[newline]": _LINES,
    "[ascii-1-15]": _LINES,
    "test_bulk_of_awkward_keys": _LINES,
    "test_flipped_bit_is_refused": _UNVERIFIED,
    "test_flipped_bit_is_never_stored": _UNVERIFIED,
    "test_wrong_checksum_of_the_whole_is_refused": _UNVERIFIED,
    "test_checksum_of_choice[part-and-one-crc32c]": _CRC32_ONLY,
    "test_checksum_of_choice[part-and-one-crc64nvme]": _CRC32_ONLY,
    "test_copy_of_one_version": _SOURCE_CONDITIONS,
    "test_large_copy_of_one_version": _SOURCE_CONDITIONS,
    "test_abort": _NO_UPLOAD,
    "test_unknown_upload_id_is_refused": _NO_UPLOAD,
    **{f"test_lost_reply_of_a_step[initiate_multipart_upload-{status}]": _OLD_UPLOADS for status in (None, 500, 504)},
    "test_lost_replies_of_an_upload_by_hand": _OLD_UPLOADS,
    "test_sweep_aborts_unfinished_uploads": _OLD_UPLOADS,
    "test_no_increment_is_lost": "If-Match is checked, but another writer can come in before the write.",
    "test_versions_after_a_key": "A listing of versions starts at its key marker, not after it.",
    "test_tags_are_taken_away": "An empty set of tags is an internal error.",
    "test_more_than_a_thousand": "It takes longer for a thousand objects than a test may.",
    "test_signed_for_one_method": SENTENCES[SIGNATURES_IGNORED],
    "signatures": SENTENCES[SIGNATURES_IGNORED],
}


@pytest.fixture(scope="module")
def server(moto_s3: S3Server) -> S3Server:
    return moto_s3


class TestMoto(S3Conformance):
    """
    Over http, with the settings as they are: the default checksum is the one that moto computes.
    """

    quirks: ClassVar[Mapping[str, str]] = QUIRKS

"""
The conformance suite on ministack, an S3 server that keeps keys and their order exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import pytest

from tests.conformance.s3 import S3Conformance
from tests.servers.quirks import (
    COMPOSITE_ONLY,
    COPY_CONDITIONS,
    EMPTY_SUFFIX,
    SENTENCES,
    SMALL_PARTS,
    TAGS_STAY,
    UNTAGGED_PARTS,
)
from tests.servers.s3 import S3Server

_LOCKED: Final = (
    "test_multipart_upload_with_protection",
    "test_large_copy_with_protection",
    "test_copy_with_protection",
)
QUIRKS: Final = {
    "small-parts": SENTENCES[SMALL_PARTS],
    "test_copy_if_match": SENTENCES[COPY_CONDITIONS],
    "[CopyOptions.if_match]": SENTENCES[COPY_CONDITIONS],
    "[CopyOptions.if_none_match]": SENTENCES[COPY_CONDITIONS],
    "test_copy_if_none_match": SENTENCES[COPY_CONDITIONS],
    "test_range_of_an_empty_object[suffix]": SENTENCES[EMPTY_SUFFIX],
    "tags-until-overwritten": SENTENCES[TAGS_STAY],
    "test_multipart_upload_with_tags": SENTENCES[UNTAGGED_PARTS],
    "test_large_copy_with_other_tags": SENTENCES[UNTAGGED_PARTS],
    "test_retention_is_removed": "A retention can be shortened, but not removed.",
    **dict.fromkeys(_LOCKED, "The headers of object lock are ignored on copies and multipart uploads."),
    "whole-checksums": SENTENCES[COMPOSITE_ONLY],
    "test_checksum_of_choice[part-and-one-crc32]": SENTENCES[COMPOSITE_ONLY],
    "test_checksum_of_choice[part-and-one-crc32c]": SENTENCES[COMPOSITE_ONLY],
    "test_checksum_of_choice[part-and-one-crc64nvme]": SENTENCES[COMPOSITE_ONLY],
}


@pytest.fixture(scope="module")
def server(ministack: S3Server) -> S3Server:
    return ministack


class TestMinistack(S3Conformance):
    """
    Over http.
    """

    # It supports only composite checksums, not the CRCs of whole objects.
    own_settings: ClassVar[Mapping[str, Any]] = {"checksum": "sha256"}
    quirks: ClassVar[Mapping[str, str]] = QUIRKS

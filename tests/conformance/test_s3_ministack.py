"""
The shared contract, on S3: ministack, which is exact about names of keys and their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import pytest

from tests.conformance.s3 import S3Conformance
from tests.servers.quirks import COMPOSITE_ONLY, COPY_CONDITIONS, EMPTY_SUFFIX, SENTENCES, SMALL_PARTS, TAGS_STAY
from tests.servers.s3 import S3Server

QUIRKS: Final = {
    "small-parts": SENTENCES[SMALL_PARTS],
    "test_copy_if_match": SENTENCES[COPY_CONDITIONS],
    "test_copy_if_none_match": SENTENCES[COPY_CONDITIONS],
    "test_range_of_an_empty_object[suffix]": SENTENCES[EMPTY_SUFFIX],
    "tags-until-overwritten": SENTENCES[TAGS_STAY],
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

    # It makes checksums of checksums only, which the CRCs of whole objects are not.
    own_settings: ClassVar[Mapping[str, Any]] = {"checksum": "sha256"}
    quirks: ClassVar[Mapping[str, str]] = QUIRKS

"""
The shared contract, on fake-gcs-server: what it does right.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from typing import ClassVar, Final

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance import StorageConformance
from tests.conformance.gcs import NAMES
from tests.servers.gcs import GCSEndpoint, fresh_bucket
from tests.servers.quirks import (
    CHECKSUMS_IGNORED,
    CONDITIONS_IGNORED,
    DELIMITER_OF_ONE,
    MERGED_COPY,
    PREFIXES_UNCOUNTED,
    SENTENCES,
    SIGNATURES_IGNORED,
    VERSION_NOT_DELETED,
    VERSIONS_REPEATED,
)

_UNCONDITIONAL: Final = (
    "test_read_if_match",
    "test_read_if_none_match",
    "test_read_if_modified_since[read]",
    "test_read_if_modified_since[get]",
    "test_read_if_unmodified_since[read]",
    "test_read_if_unmodified_since[get]",
    "test_create_only[multipart]",
    "test_compare_and_swap[multipart]",
    "test_compare_and_swap_of_nothing[multipart]",
    "test_delete_if_match",
    "test_copy_if_none_match",
    "test_copy_if_match",
    "test_copy_if_source_matches",
    "test_copy_of_one_version",
)
QUIRKS: Final = {
    **NAMES,
    **dict.fromkeys(_UNCONDITIONAL, SENTENCES[CONDITIONS_IGNORED]),
    "test_flipped_bit_is_refused[put]": SENTENCES[CHECKSUMS_IGNORED],
    "test_flipped_bit_is_never_stored": SENTENCES[CHECKSUMS_IGNORED],
    "test_signed_for_one_method": SENTENCES[SIGNATURES_IGNORED],
    "test_delimiter[word]": SENTENCES[DELIMITER_OF_ONE],
    "test_levels_on_pages_of_every_size[1]": SENTENCES[PREFIXES_UNCOUNTED],
    "test_copy_replaces_all": SENTENCES[MERGED_COPY],
    "test_version_is_deleted_for_good": SENTENCES[VERSION_NOT_DELETED],
    **{f"test_versions_on_pages_of_every_size[{size}]": SENTENCES[VERSIONS_REPEATED] for size in (1, 2, 3, 5, 12)},
}

_numbers = itertools.count(1)


@pytest.fixture(scope="class")
def bucket(fake_gcs: GCSEndpoint) -> str:
    return fresh_bucket(fake_gcs)


@pytest.fixture(scope="class")
def versioned_bucket(fake_gcs: GCSEndpoint) -> str:
    return fresh_bucket(fake_gcs, versioning={"enabled": True})


class TestFakeGCS(StorageConformance):
    """
    With composed uploads: it has none of the XML API's.
    """

    quirks: ClassVar[Mapping[str, str]] = QUIRKS

    @pytest.fixture
    async def storage(self, fake_gcs: GCSEndpoint, bucket: str) -> AsyncIterator[Storage]:
        async with self._opened(fake_gcs, bucket) as storage:
            yield storage

    @pytest.fixture
    async def versioned(self, fake_gcs: GCSEndpoint, versioned_bucket: str) -> AsyncIterator[Storage]:
        async with self._opened(fake_gcs, versioned_bucket) as storage:
            yield storage

    def _opened(self, fake_gcs: GCSEndpoint, bucket: str) -> Storage:
        return open_storage(
            f"gs://{bucket}/{next(_numbers)}/",
            endpoint_url=fake_gcs.url,
            anonymous=True,
            hmac_access_id="GOOGFAKE",
            hmac_secret="fake-secret-for-tests",
            multipart="compose",
            # It takes the question how much has arrived for the end of the upload.
            resumable_threshold=1 << 40,
        )

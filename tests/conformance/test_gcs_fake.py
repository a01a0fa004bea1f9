"""
The conformance suite on fake-gcs-server, except for its known defects.
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
    KEYS_IGNORED,
    MERGED_COPY,
    PREFIXES_UNCOUNTED,
    SENTENCES,
    SIGNATURES_IGNORED,
    VERSION_NOT_DELETED,
    VERSIONS_REPEATED,
)

# A stat does check these dates.
_READ_WAYS: Final = ("read", "get", "read_ranges", "download")
_UNCONDITIONAL: Final = (
    "test_read_if_match",
    "test_read_if_none_match",
    *(f"test_read_if_{condition}_since[{way}]" for condition in ("modified", "unmodified") for way in _READ_WAYS),
    "test_create_only[multipart]",
    "test_compare_and_swap[multipart]",
    "test_compare_and_swap_of_nothing[multipart]",
    "test_delete_if_match",
    "test_copy_if_none_match",
    "test_move_create_only",
    "test_replaced_while_it_is_moved",
    "test_copy_if_match",
    "test_copy_if_source_matches",
    "test_copy_of_one_version",
    "[ReadOptions.if_match]",
    "[ReadOptions.if_none_match]",
    "[ReadOptions.if_modified_since]",
    "[ReadOptions.if_unmodified_since]",
    "[CopyOptions.if_match]",
    "[CopyOptions.if_none_match]",
    "[CopyOptions.source_if_match]",
    "[DeleteOptions.if_match]",
)
QUIRKS: Final = {
    **NAMES,
    **dict.fromkeys(_UNCONDITIONAL, SENTENCES[CONDITIONS_IGNORED]),
    "test_flipped_bit_is_refused[put]": SENTENCES[CHECKSUMS_IGNORED],
    "test_flipped_bit_is_never_stored": SENTENCES[CHECKSUMS_IGNORED],
    "test_signed_for_one_method": SENTENCES[SIGNATURES_IGNORED],
    "signatures": SENTENCES[SIGNATURES_IGNORED],
    "object-lock": "Retentions of objects are ignored.",
    "test_form": "A form is answered with 404.",
    "test_url_of_a_version": "The XML API ignores the generation.",
    "test_object_with_a_customer_key": SENTENCES[KEYS_IGNORED],
    "test_delimiter[word]": SENTENCES[DELIMITER_OF_ONE],
    "test_levels_on_pages_of_every_size[1]": SENTENCES[PREFIXES_UNCOUNTED],
    "test_copy_replaces_all": SENTENCES[MERGED_COPY],
    "test_storage_class_of_a_copy": "A rewrite ignores the storage class in its body.",
    "test_version_is_deleted_for_good": SENTENCES[VERSION_NOT_DELETED],
    "test_missing_version_is_not_restored": SENTENCES[VERSION_NOT_DELETED],
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
    With composed uploads, since it does not support XML API multipart uploads.
    """

    storage_class: ClassVar[str | None] = "NEARLINE"

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
            # It mistakes a status query of a resumable session for the end of the upload.
            resumable_threshold=1 << 40,
        )

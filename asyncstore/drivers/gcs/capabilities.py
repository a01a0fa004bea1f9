"""
What GCS can do, and its limits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from asyncstore.driver import Capabilities
from asyncstore.drivers.gcs import batch, listing, multipart
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.options import GiB, KiB
from asyncstore.types import ChecksumAlgorithm

_CHECKSUMS: Final = frozenset({ChecksumAlgorithm.CRC32C, ChecksumAlgorithm.MD5})
_TiB: Final = 1024 * GiB

CAPABILITIES: Final = Capabilities(
    reference="https://cloud.google.com/storage/quotas",
    max_object_size=5 * _TiB,
    max_put_size=5 * _TiB,
    max_key_bytes=1024,
    max_metadata_bytes=8 * KiB,
    multipart=True,
    min_part_size=multipart.MIN_PART_SIZE,
    max_part_size=5 * GiB,
    max_parts=multipart.MAX_PARTS,
    copy=True,
    max_copy_size=5 * _TiB,
    # Neither API makes a part from a range; a rewrite copies objects of any size.
    copy_part=False,
    delete_batch_size=batch.MAX_CALLS,
    list_page_size=listing.MAX_RESULTS,
    # https://cloud.google.com/storage/docs/request-preconditions
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    storage_classes=True,
    versions=True,
    checksums=_CHECKSUMS,
    sign=True,
)


def capabilities_of(settings: GCSSettings, *, may_sign: bool) -> Capabilities:
    """
    Return what can be done with *settings*, and with credentials that sign URLs or do not.
    """
    able = replace(CAPABILITIES, sign=may_sign)
    if settings.checksum is None:
        able = replace(able, checksums=frozenset())
    # Objects that are composed can have any size.
    return replace(able, min_part_size=1) if settings.multipart == "compose" else able

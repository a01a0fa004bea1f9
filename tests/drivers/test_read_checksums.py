"""
The checksum that a small read is verified with equals the one in its metadata.
"""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from asyncstore.drivers.azure import headers as azure
from asyncstore.drivers.gcs import headers as gcs
from asyncstore.drivers.oci import headers as oci
from asyncstore.drivers.s3 import headers as s3
from asyncstore.http.reply import Reply
from asyncstore.uri import parse_uri

CRC32C = "yZRlqg=="
MD5 = "XrY7u+Ae7tCTyyK7j1rNww=="
SHA256 = "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="


class Head:
    """The part of aiohttp's reply that is used."""

    status = 200

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.headers = CIMultiDictProxy(CIMultiDict(pairs))


def reply(*pairs: tuple[str, str]) -> Reply:
    head: Any = Head(*pairs)
    return Reply(head)


@pytest.mark.parametrize(
    "values",
    [
        (f"crc32c={CRC32C},md5={MD5}",),
        (f"md5={MD5},crc32c={CRC32C}",),
        (f"md5={MD5}, crc32c={CRC32C}",),
        (f"crc32c={CRC32C}", f"md5={MD5}"),
        (f"md5={MD5}", f"crc32c={CRC32C}"),
        (f"crc32c={CRC32C}",),
        (f"md5={MD5}",),
        (f"notcrc32c={CRC32C}",),
        ("crc32c=no checksum",),
        ("crc32c=",),
        (),
    ],
)
def test_gcs(values: tuple[str, ...]) -> None:
    """
    The CRC in any position, otherwise the MD5, otherwise none.
    """
    found = reply(*[("x-goog-hash", value) for value in values]).headers

    assert gcs.checksum_of(found) == gcs.metadata_of(parse_uri("gs://b/k"), found, 9).checksum


@pytest.mark.parametrize(
    "pairs",
    [
        [("x-amz-checksum-crc32c", CRC32C)],
        [("x-amz-checksum-sha256", SHA256), ("x-amz-checksum-type", "FULL_OBJECT")],
        [("x-amz-checksum-crc32c", CRC32C), ("x-amz-checksum-type", "COMPOSITE")],
        [("x-amz-checksum-crc32c", f"{CRC32C}-3")],
        [("x-amz-checksum-crc32c", "?")],
        [],
    ],
)
def test_s3(pairs: list[tuple[str, str]]) -> None:
    """
    The checksum of the bytes, never the checksum of part checksums.
    """
    found = reply(*pairs).headers

    assert s3.checksum_of(found) == s3.metadata_of(parse_uri("s3://b/k"), found, 9).checksum


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "pairs",
    [
        [("Content-MD5", MD5)],
        [("x-ms-blob-content-md5", MD5)],
        [("x-ms-blob-content-md5", MD5), ("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")],
        [("Content-MD5", "?")],
        [],
    ],
)
def test_azure(pairs: list[tuple[str, str]], whole: bool) -> None:
    """
    The blob's MD5, not the MD5 of a range.
    """
    found = reply(*pairs).headers

    expected = azure.metadata_of(parse_uri("azure://b/k"), found, 9, whole).checksum
    assert azure.checksum_of(found, whole) == expected


@pytest.mark.parametrize("md5_metadata", [False, True])
@pytest.mark.parametrize(
    "pairs",
    [
        [("opc-content-crc32c", CRC32C), ("Content-MD5", MD5)],
        [("Content-MD5", MD5)],
        [("opc-content-sha256", SHA256)],
        [("opc-multipart-md5", f"{MD5}-3")],
        [("opc-multipart-md5", f"{MD5}-3"), ("opc-meta-md5", MD5)],
        [("opc-meta-md5", MD5), ("opc-content-crc32c", CRC32C)],
        [("opc-content-crc32c", "?"), ("opc-meta-md5", "5eb63bbbe01eeed093cb22bb8f5acdc3")],
        [],
    ],
)
def test_oci(pairs: list[tuple[str, str]], md5_metadata: bool) -> None:
    """
    The fastest checksum of the whole object, otherwise the MD5 in user metadata if that is enabled.
    """
    found = reply(*pairs).headers

    expected = oci.metadata_of(parse_uri("oci://ns/b/k"), found, 9, md5_metadata=md5_metadata).checksum
    assert oci.checksum_of(found, md5_metadata=md5_metadata) == expected

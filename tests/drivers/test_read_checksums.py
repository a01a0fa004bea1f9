"""
What a small read is compared with is found without its metadata, and is what they say.
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
    """As much of aiohttp's reply as is looked at."""

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
    The CRC wherever it stands, else the MD5, else nothing.
    """
    found = reply(*[("x-goog-hash", value) for value in values])

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
    That of the bytes, and never that of part checksums.
    """
    found = reply(*pairs).headers

    assert s3.checksum_of(found) == s3.metadata_of(parse_uri("s3://b/k"), found, 9).checksum


@pytest.mark.parametrize("part", [False, True])
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
def test_azure(pairs: list[tuple[str, str]], part: bool) -> None:
    """
    The blob's MD5, for which a range's is not taken.
    """
    found = reply(*pairs).headers

    expected = azure.metadata_of(parse_uri("azure://b/k"), found, 9, part=part).checksum
    assert azure.stored_checksum(found, part=part) == expected


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
    The quickest of the whole, else the MD5 among the user's own metadata if that counts.
    """
    found = reply(*pairs).headers

    expected = oci.metadata_of(parse_uri("oci://ns/b/k"), found, 9, md5_metadata=md5_metadata).checksum
    assert oci.checksum_of(found, md5_metadata=md5_metadata) == expected

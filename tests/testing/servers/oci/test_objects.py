"""
Objects, with the official SDK.
"""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from oci.exceptions import ServiceError

from tests.testing.servers.oci.conftest import Place, refused

CUSTOMER_KEY = base64.b64encode(b"k" * 32).decode()
SSE_C = {
    "opc_sse_customer_algorithm": "AES256",
    "opc_sse_customer_key": CUSTOMER_KEY,
    "opc_sse_customer_key_sha256": base64.b64encode(hashlib.sha256(b"k" * 32).digest()).decode(),
}


def test_round_trip(place: Place) -> None:
    """An object is returned with its headers and metadata."""
    md5 = base64.b64encode(hashlib.md5(b"hello").digest()).decode()
    put = place.call(
        "put_object",
        "a/b",
        b"hello",
        opc_meta={"Colour": "blue", "empty": ""},
        content_type="text/plain",
        cache_control="no-cache",
        content_disposition="inline",
        content_encoding="identity",
        content_language="en",
        content_md5=md5,
    )

    got = place.call("get_object", "a/b")

    assert got.data.content == b"hello"
    assert {name: got.headers[name] for name in ("etag", "version-id", "last-modified")} == {
        name: put.headers[name] for name in ("etag", "version-id", "last-modified")
    }
    assert put.headers["opc-content-md5"] == got.headers["content-md5"] == md5
    assert (got.headers["opc-meta-colour"], got.headers["opc-meta-empty"]) == ("blue", "")
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["cache-control"] == "no-cache"
    assert got.headers["content-disposition"] == "inline"
    assert got.headers["content-language"] == "en"
    assert got.headers["storage-tier"] == "Standard"


def test_head_matches_get(place: Place) -> None:
    """HeadObject returns the same headers as GetObject."""
    place.call("put_object", "a", b"hello", opc_meta={"x": "1"})

    head, got = place.call("head_object", "a").headers, place.call("get_object", "a").headers

    changing = {"date", "opc-request-id"}
    assert {n: v for n, v in head.items() if n.lower() not in changing} == {
        n: v for n, v in got.items() if n.lower() not in changing
    }
    assert head["content-length"] == "5"


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 3 * 1024 * 1024 + 1])
def test_sizes(place: Place, size: int) -> None:
    """Empty objects, and objects larger than one chunk."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    place.call("put_object", "a", body)

    assert place.read("a") == body
    assert place.call("head_object", "a").headers["content-length"] == str(size)


@pytest.mark.parametrize(
    ("requested", "expected", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-5", b"2345", "bytes 2-5/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
    ],
)
def test_ranges(place: Place, requested: str, expected: bytes, content_range: str) -> None:
    """A single byte range works in every form."""
    place.call("put_object", "a", b"0123456789")

    got = place.call("get_object", "a", range=requested)

    assert (got.status, got.data.content, got.headers["content-range"]) == (206, expected, content_range)


@pytest.mark.parametrize("requested", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_range_without_bytes(place: Place, requested: str) -> None:
    """A range without any byte is refused."""
    place.call("put_object", "a", b"0123456789")

    assert place.refused("get_object", "a", range=requested) == (416, "InvalidRange")


def test_not_found(place: Place) -> None:
    """The error says what is missing: the object, the bucket or the namespace."""
    assert place.refused("get_object", "no") == (404, "ObjectNotFound")
    assert place.refused("delete_object", "no") == (404, "ObjectNotFound")
    assert refused(place.client.get_object, place.namespace, "no", "a") == (404, "BucketNotFound")
    assert refused(place.client.get_object, "no", place.bucket, "a") == (404, "NamespaceNotFound")


def test_error_body(place: Place) -> None:
    """An error has a code, a message, and both ids of the request."""
    from oci.exceptions import ServiceError

    with pytest.raises(ServiceError) as caught:
        place.call("get_object", "no", opc_client_request_id="mine")

    assert caught.value.code == "ObjectNotFound"
    assert "'no'" in caught.value.message
    assert caught.value.headers["opc-client-request-id"] == "mine"
    assert caught.value.headers["opc-request-id"]


def test_conditions_on_writes(place: Place) -> None:
    """Writes check If-Match and If-None-Match against the existing object."""
    assert place.refused("put_object", "a", b"1", if_match="foo") == (412, "IfMatchFailed")
    first = place.call("put_object", "a", b"1", if_none_match="*").headers["etag"]
    assert place.refused("put_object", "a", b"2", if_none_match="*") == (412, "IfNoneMatchFailed")
    second = place.call("put_object", "a", b"2", if_match=first).headers["etag"]
    assert place.refused("put_object", "a", b"3", if_match=first) == (412, "IfMatchFailed")
    assert place.refused("put_object", "a", b"3", if_none_match=second) == (400, "IfNoneMatchDisallowed")
    assert place.refused("delete_object", "a", if_match=first) == (412, "IfMatchFailed")
    assert place.read("a") == b"2"

    place.call("delete_object", "a", if_match=second)

    assert place.refused("get_object", "a") == (404, "ObjectNotFound")


def test_one_of_many_creates(place: Place) -> None:
    """Exactly one of many concurrent creates succeeds."""

    def create(number: int) -> int:
        with place.server.client() as client:
            body = str(number).encode() * 100_000
            try:
                put = client.put_object(place.namespace, place.bucket, "a", body, if_none_match="*")
            except ServiceError as error:
                return int(error.status)
            return int(put.status)

    with ThreadPoolExecutor(8) as threads:
        found = sorted(threads.map(create, range(10, 18)))

    assert found == [200] + [412] * 7


def test_conditions_on_reads(place: Place) -> None:
    """A read fails if the ETag differs from If-Match, and has no body if it equals If-None-Match."""
    etag = place.call("put_object", "a", b"1").headers["etag"]

    assert place.read("a", if_match=etag) == b"1"
    assert place.read("a", if_none_match="other") == b"1"
    assert place.refused("get_object", "a", if_match="other") == (412, "IfMatchFailed")
    assert place.refused("get_object", "a", if_none_match=etag)[0] == 304
    assert place.refused("head_object", "a", if_none_match=etag)[0] == 304


def test_wrong_md5_is_refused(place: Place) -> None:
    """A body that does not match Content-MD5 is not stored."""
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()

    assert place.refused("put_object", "a", b"hello", content_md5=md5) == (400, "UnmatchedContentMD5")
    assert place.refused("put_object", "a", b"hello", content_md5="?") == (400, "InvalidContentMD5")
    assert place.refused("get_object", "a") == (404, "ObjectNotFound")


CRC32C_OF_DIGITS = "4waSgw=="  # 0xe3069283, the algorithm's check value for b"123456789"


@pytest.mark.parametrize(
    ("algorithm", "checksum"),
    [
        ("CRC32C", CRC32C_OF_DIGITS),
        ("SHA256", base64.b64encode(hashlib.sha256(b"123456789").digest()).decode()),
        ("SHA384", base64.b64encode(hashlib.sha384(b"123456789").digest()).decode()),
    ],
)
def test_additional_checksums(place: Place, algorithm: str, checksum: str) -> None:
    """An additional checksum is computed on request, stored, and compared with the one sent."""
    name = f"opc-content-{algorithm.lower()}"
    argument = name.replace("-", "_")

    made = place.call("put_object", "a", b"123456789", opc_checksum_algorithm=algorithm)
    place.call("put_object", "b", b"123456789", opc_checksum_algorithm=algorithm, **{argument: checksum})

    assert made.headers[name] == checksum
    assert place.call("head_object", "b").headers[name] == checksum
    wrong: dict[str, Any] = {"opc_checksum_algorithm": algorithm, argument: checksum}
    assert place.refused("put_object", "c", b"12345678x", **wrong) == (400, f"UnmatchedContent{algorithm}")
    assert place.refused("put_object", "c", b"123456789", **{argument: checksum}) == (
        400,
        "MissingOrInvalidChecksumType",
    )


def test_customer_keys(place: Place) -> None:
    """An object with a customer key can be read only with that key."""
    other = base64.b64encode(b"o" * 32).decode()
    place.call("put_object", "a", b"secret", **SSE_C)

    assert place.read("a", **SSE_C) == b"secret"
    assert place.refused("get_object", "a")[0] == 400
    assert place.refused("head_object", "a")[0] == 400
    assert place.refused("get_object", "a", **{**SSE_C, "opc_sse_customer_key": other})[0] == 400
    assert place.refused("put_object", "b", b"x", **{**SSE_C, "opc_sse_customer_algorithm": "DES"})[0] == 400
    place.call("put_object", "c", b"open")
    assert place.refused("get_object", "c", **SSE_C)[0] == 400


def test_only_one_kind_of_key(place: Place) -> None:
    """A Vault key and a customer key cannot be combined."""
    assert place.refused("put_object", "a", b"1", opc_sse_kms_key_id="ocid1.key.oc1..fake", **SSE_C)[0] == 400


def test_kms_key_is_kept(place: Place) -> None:
    """The id of the Vault key is returned with the object."""
    place.call("put_object", "a", b"1", opc_sse_kms_key_id="ocid1.key.oc1..fake")

    assert place.call("head_object", "a").headers["opc-sse-kms-key-id"] == "ocid1.key.oc1..fake"


def test_replacing_headers_of_a_reply(place: Place) -> None:
    """GetObject can override some headers of the reply."""
    place.call("put_object", "a", b"1")

    got = place.call("get_object", "a", http_response_content_type="text/x", http_response_content_disposition="b")

    assert (got.headers["content-type"], got.headers["content-disposition"]) == ("text/x", "b")


@pytest.mark.parametrize("name", ["x" * 1025, "é" * 513, "a\nb", "a\rb", "a\0b"])
def test_invalid_names(place: Place, name: str) -> None:
    """A name has at most 1024 bytes, without line breaks or NUL."""
    assert place.refused("put_object", name, b"1") == (400, "InvalidObjectName")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"), min_size=1, max_size=200))
def test_any_other_name(place: Place, name: str) -> None:
    """An object can have any other name, and is listed under it."""
    # The SDK refuses names that consist of white space only.
    assume(name.strip())
    place.call("put_object", name, name.encode(), enable_strict_url_encoding=True)

    assert place.read(name, enable_strict_url_encoding=True) == name.encode()
    assert [one.name for one in place.call("list_objects", prefix=name, limit=1).data.objects] == [name]


@pytest.mark.parametrize("name", ["/a", "a//b", "a/", "../a", "a/./b", "%2F", "a+b c", "é", "?#&=", "x" * 1024])
def test_awkward_names_without_strict_encoding(place: Place, name: str) -> None:
    """Without strict encoding, the SDK's default, slashes are sent literally."""
    place.call("put_object", name, b"1")

    assert [one.name for one in place.call("list_objects").data.objects] == [name]
    assert place.read(name) == b"1"


def test_metadata_has_a_prefix(place: Place) -> None:
    """Metadata names must begin with opc-meta-, in calls where the SDK does not add it."""
    from oci.object_storage.models import CreateMultipartUploadDetails

    details = CreateMultipartUploadDetails(object="a", metadata={"x": "1"})

    assert place.refused("create_multipart_upload", details) == (400, "InvalidMetadata")

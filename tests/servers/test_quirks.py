"""
Each quirk is declared for the servers that have it, and for no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.servers import quirks
from tests.servers.s3 import S3Server, blocking_client, fresh_bucket

MIB = 1024 * 1024


@pytest.fixture(params=["seaweed", "ministack"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """Return the error code of a call, or an empty string if it succeeds."""
    try:
        call(**arguments)
    except ClientError as exc:
        return str(exc.response["Error"]["Code"])
    return ""


def upload(
    client: Any, bucket: str, bodies: list[bytes], **options: str
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Upload parts without completing; return the arguments that name the upload, and its parts."""
    begun = client.create_multipart_upload(Bucket=bucket, Key="k", **options)
    names = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    parts = [
        {"PartNumber": number, "ETag": client.upload_part(**names, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(bodies, 1)
    ]
    return names, parts


def orders_by_directory(client: Any, bucket: str) -> bool:
    for key in ("a/x", "a-x"):
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    return [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]] != ["a-x", "a/x"]


def loses_body_of_folder_key(client: Any, bucket: str) -> bool:
    client.put_object(Bucket=bucket, Key="folder/", Body=b"body")
    return bool(client.get_object(Bucket=bucket, Key="folder/")["Body"].read() != b"body")


def answers_412_for_absent_key(client: Any, bucket: str) -> bool:
    code = refusal(client.put_object, Bucket=bucket, Key="k", Body=b"", IfMatch='"0123456789abcdef0123456789abcdef"')
    assert code in {"NoSuchKey", "PreconditionFailed"}
    return code == "PreconditionFailed"


def reads_archived(client: Any, bucket: str) -> bool:
    client.put_object(Bucket=bucket, Key="k", Body=b"body", StorageClass="GLACIER")
    return refusal(client.get_object, Bucket=bucket, Key="k") != "InvalidObjectState"


def takes_long_key(client: Any, bucket: str) -> bool:
    # In short segments: the server that treats keys as paths refuses long ones for another reason.
    return refusal(client.put_object, Bucket=bucket, Key="segment/" * 128 + "x", Body=b"") == ""


def batch_refusal(client: Any, bucket: str) -> str:
    keys = [{"Key": str(number)} for number in range(1001)]
    return refusal(client.delete_objects, Bucket=bucket, Delete={"Objects": keys})


def takes_long_batch(client: Any, bucket: str) -> bool:
    return batch_refusal(client, bucket) == ""


def names_long_batch_otherwise(client: Any, bucket: str) -> bool:
    return batch_refusal(client, bucket) == "InvalidArgument"


def takes_small_parts(client: Any, bucket: str) -> bool:
    names, parts = upload(client, bucket, [b"small", b"small"])
    code = refusal(client.complete_multipart_upload, **names, MultipartUpload={"Parts": parts})
    assert code in {"", "EntityTooSmall"}
    return code == ""


def takes_parts_in_any_order(client: Any, bucket: str) -> bool:
    names, parts = upload(client, bucket, [bytes(5 * MIB), bytes(5 * MIB)])
    code = refusal(client.complete_multipart_upload, **names, MultipartUpload={"Parts": parts[::-1]})
    assert code in {"", "InvalidPartOrder"}
    return code == ""


def copies_to_itself(client: Any, bucket: str) -> bool:
    client.put_object(Bucket=bucket, Key="k", Body=b"body")
    code = refusal(client.copy_object, Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k"})
    assert code in {"", "InvalidRequest"}
    return code == ""


def composes_full_object_checksum(client: Any, bucket: str) -> bool:
    wish = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"}
    names, _ = upload(client, bucket, [], **wish)
    part = client.upload_part(**names, PartNumber=1, Body=b"body", ChecksumAlgorithm="CRC32C")
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32C": part["ChecksumCRC32C"]}]
    client.complete_multipart_upload(**names, MultipartUpload={"Parts": parts}, ChecksumType="FULL_OBJECT")
    return "-" in str(client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC32C"])


def takes_long_metadata(client: Any, bucket: str) -> bool:
    return refusal(client.put_object, Bucket=bucket, Key="k", Body=b"", Metadata={"long": "x" * 3000}) == ""


def takes_second_creation(client: Any, bucket: str) -> bool:
    return refusal(client.create_bucket, Bucket=bucket) == ""


def answers_404_for_delete_marker(client: Any, bucket: str) -> bool:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=bucket, Key="k", Body=b"body")
    marker = client.delete_object(Bucket=bucket, Key="k")["VersionId"]
    return refusal(client.get_object, Bucket=bucket, Key="k", VersionId=marker) != "MethodNotAllowed"


def copies_over_what_is_there(client: Any, bucket: str) -> bool:
    for key in ("source", "target"):
        client.put_object(Bucket=bucket, Key=key, Body=b"body")
    source = {"Bucket": bucket, "Key": "source"}
    code = refusal(client.copy_object, Bucket=bucket, Key="target", CopySource=source, IfNoneMatch="*")
    assert code in {"", "PreconditionFailed"}
    return code == ""


def serves_suffix_of_nothing(client: Any, bucket: str) -> bool:
    client.put_object(Bucket=bucket, Key="k", Body=b"")
    return refusal(client.get_object, Bucket=bucket, Key="k", Range="bytes=-1") == ""


def drops_empty_metadata(client: Any, bucket: str) -> bool:
    client.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"empty": ""})
    return "empty" not in client.head_object(Bucket=bucket, Key="k")["Metadata"]


def shows_prefix_of_nothing(client: Any, bucket: str) -> bool:
    for key in ("kept/x", "left/x", "left/sub/y"):
        client.put_object(Bucket=bucket, Key=key, Body=b"")
    for key in ("left/x", "left/sub/y"):
        client.delete_object(Bucket=bucket, Key=key)
    found = client.list_objects_v2(Bucket=bucket, Delimiter="/")["CommonPrefixes"]
    return [prefix["Prefix"] for prefix in found] != ["kept/"]


def keeps_tags(client: Any, bucket: str) -> bool:
    client.put_object(Bucket=bucket, Key="k", Body=b"one")
    client.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    client.put_object(Bucket=bucket, Key="k", Body=b"other")
    return bool(client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"])


def loses_tags_of_uploads(client: Any, bucket: str) -> bool:
    names, parts = upload(client, bucket, [b"part"], Tagging="a=1")
    client.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    return not client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]


PROBES: dict[str, Callable[[Any, str], bool]] = {
    quirks.LIST_ORDER: orders_by_directory,
    quirks.KEY_FORMS: loses_body_of_folder_key,
    quirks.IF_MATCH_ABSENT: answers_412_for_absent_key,
    quirks.GLACIER_READ: reads_archived,
    quirks.LONG_KEYS: takes_long_key,
    quirks.BATCH_LIMIT: takes_long_batch,
    quirks.BATCH_ERROR_CODE: names_long_batch_otherwise,
    quirks.SMALL_PARTS: takes_small_parts,
    quirks.PART_ORDER: takes_parts_in_any_order,
    quirks.SELF_COPY: copies_to_itself,
    quirks.COMPOSITE_ONLY: composes_full_object_checksum,
    quirks.METADATA_SIZE: takes_long_metadata,
    quirks.REDUNDANT_CREATE: takes_second_creation,
    quirks.COPY_CONDITIONS: copies_over_what_is_there,
    quirks.EMPTY_SUFFIX: serves_suffix_of_nothing,
    quirks.EMPTY_METADATA: drops_empty_metadata,
    quirks.TAGS_STAY: keeps_tags,
    quirks.UNTAGGED_PARTS: loses_tags_of_uploads,
    quirks.GHOST_PREFIX: shows_prefix_of_nothing,
    quirks.DELETE_MARKER_READ: answers_404_for_delete_marker,
}


@pytest.mark.parametrize("quirk", PROBES)
def test_quirk(server: S3Server, quirk: str) -> None:
    """The server has exactly the quirks that it is declared with."""
    with blocking_client(server) as client:
        assert PROBES[quirk](client, fresh_bucket(server)) == (quirk in server.quirks)


def test_every_quirk_is_explained(server: S3Server) -> None:
    """Each declared quirk has its sentence, so that an expected failure says why."""
    assert server.quirks <= quirks.SENTENCES.keys()


def test_expected_failure_says_why(server: S3Server) -> None:
    """An expected failure names the quirk and explains it."""
    claimed = min(server.quirks)

    with pytest.raises(pytest.xfail.Exception, match=claimed) as excused:
        server.xfail_if(claimed)

    assert quirks.SENTENCES[claimed] in str(excused.value)


def test_nothing_expected_without_the_quirk(server: S3Server) -> None:
    """A test runs on a server without the quirk."""
    server.xfail_if("no such quirk")

"""
The servers are what the other tests take them for.
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.servers import quirks
from tests.servers.s3 import Keys, S3Server, blocking_client, fresh_bucket

SERVERS = ["seaweed", "seaweed_tls", "ministack", "ministack_tls"]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> S3Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


@pytest.fixture(params=["seaweed", "ministack"])
def plain_server(request: pytest.FixtureRequest) -> S3Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


def code_of(failure: pytest.ExceptionInfo[ClientError]) -> str:
    return str(failure.value.response["Error"]["Code"])


def listed(client: Any, bucket: str) -> list[str]:
    return [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_right_keys_write_and_read(server: S3Server) -> None:
    """What is put with the right keys is read back."""
    bucket = fresh_bucket(server)

    with blocking_client(server) as client:
        client.put_object(Bucket=bucket, Key="k", Body=b"body")
        read = client.get_object(Bucket=bucket, Key="k")["Body"].read()

    assert read == b"body"


def test_wrong_secret_is_refused(server: S3Server) -> None:
    """A signature made with another secret is not accepted."""
    bucket = fresh_bucket(server)

    with (
        blocking_client(server, keys=Keys(server.access_key_id, "wrong")) as client,
        pytest.raises(ClientError) as failure,
    ):
        client.put_object(Bucket=bucket, Key="k", Body=b"body")

    assert code_of(failure) == "SignatureDoesNotMatch"


def test_readonly_keys_read_and_do_not_write(server: S3Server) -> None:
    """The reader sees what the administrator put, and may not put."""
    bucket = fresh_bucket(server)
    with blocking_client(server) as client:
        client.put_object(Bucket=bucket, Key="k", Body=b"body")

    with blocking_client(server, keys=server.readonly) as client:
        read = client.get_object(Bucket=bucket, Key="k")["Body"].read()
        with pytest.raises(ClientError) as failure:
            client.put_object(Bucket=bucket, Key="k", Body=b"other")

    assert read == b"body"
    assert code_of(failure) == "AccessDenied"


def test_list_order(plain_server: S3Server) -> None:
    """The quirk of order is claimed where it is true, and only there."""
    bucket = fresh_bucket(plain_server)
    with blocking_client(plain_server) as client:
        for key in ("a/x", "a-x"):
            client.put_object(Bucket=bucket, Key=key, Body=b"")
        keys = listed(client, bucket)

    assert (quirks.LIST_ORDER in plain_server.quirks) == (keys != ["a-x", "a/x"])


def test_key_forms(plain_server: S3Server) -> None:
    """The quirk of keys as paths is claimed where it is true, and only there."""
    bucket = fresh_bucket(plain_server)
    with blocking_client(plain_server) as client:
        client.put_object(Bucket=bucket, Key="folder/", Body=b"body")
        read = client.get_object(Bucket=bucket, Key="folder/")["Body"].read()

    assert (quirks.KEY_FORMS in plain_server.quirks) == (read != b"body")


def test_small_parts(plain_server: S3Server) -> None:
    """The quirk of small parts is claimed where it is true, and only there."""
    bucket = fresh_bucket(plain_server)
    with blocking_client(plain_server) as client:
        upload = {
            "Bucket": bucket,
            "Key": "k",
            "UploadId": client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"],
        }
        parts = [
            {"PartNumber": n, "ETag": client.upload_part(**upload, PartNumber=n, Body=b"small")["ETag"]} for n in (1, 2)
        ]
        try:
            client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
            refused = ""
        except ClientError as exc:
            refused = exc.response["Error"]["Code"]

    assert ("" if quirks.SMALL_PARTS in plain_server.quirks else "EntityTooSmall") == refused


def test_if_match_on_an_absent_key(plain_server: S3Server) -> None:
    """The quirk of If-Match is claimed where it is true, and only there."""
    bucket = fresh_bucket(plain_server)
    with blocking_client(plain_server) as client, pytest.raises(ClientError) as failure:
        client.put_object(Bucket=bucket, Key="k", Body=b"", IfMatch='"0123456789abcdef0123456789abcdef"')

    expected = "PreconditionFailed" if quirks.IF_MATCH_ABSENT in plain_server.quirks else "NoSuchKey"
    assert expected == code_of(failure)


def test_every_quirk_is_explained(plain_server: S3Server) -> None:
    """Each name a server claims has its sentence, so a skipped test says why."""
    assert plain_server.quirks <= quirks.SENTENCES.keys()

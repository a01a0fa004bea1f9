"""
The S3 servers check keys, as the other tests assume.
"""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.servers.s3 import Keys, S3Server, blocking_client, fresh_bucket

SERVERS = ["seaweed", "seaweed_tls", "ministack", "ministack_tls"]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> S3Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


def code_of(failure: pytest.ExceptionInfo[ClientError]) -> str:
    return str(failure.value.response["Error"]["Code"])


def test_right_keys_write_and_read(server: S3Server) -> None:
    """An object put with the right keys can be read."""
    bucket = fresh_bucket(server)

    with blocking_client(server) as client:
        client.put_object(Bucket=bucket, Key="k", Body=b"body")
        read = client.get_object(Bucket=bucket, Key="k")["Body"].read()

    assert read == b"body"


def test_wrong_secret_is_refused(server: S3Server) -> None:
    """A signature made with another secret is refused."""
    bucket = fresh_bucket(server)

    with (
        blocking_client(server, keys=Keys(server.access_key_id, "wrong")) as client,
        pytest.raises(ClientError) as failure,
    ):
        client.put_object(Bucket=bucket, Key="k", Body=b"body")

    assert code_of(failure) == "SignatureDoesNotMatch"


def test_readonly_keys_read_and_do_not_write(server: S3Server) -> None:
    """Read-only keys can read what the administrator put, and cannot put."""
    bucket = fresh_bucket(server)
    with blocking_client(server) as client:
        client.put_object(Bucket=bucket, Key="k", Body=b"body")

    with blocking_client(server, keys=server.readonly) as client:
        read = client.get_object(Bucket=bucket, Key="k")["Body"].read()
        with pytest.raises(ClientError) as failure:
            client.put_object(Bucket=bucket, Key="k", Body=b"other")

    assert read == b"body"
    assert code_of(failure) == "AccessDenied"

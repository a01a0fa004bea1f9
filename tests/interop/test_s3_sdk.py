"""
boto3 reads what the driver writes, and the other way round.
"""

import base64
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from asyncstore.checksum import compute
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.s3 import S3Driver, open_driver
from asyncstore.options import ListOptions, ReadOptions, WriteOptions
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import ObjectURI, parse_uri
from tests.drivers.s3.test_servers import config_of, read
from tests.servers.quirks import COMPOSITE_ONLY, KEY_FORMS
from tests.servers.s3 import S3Server, blocking_client, fresh_bucket

MiB = 1024 * 1024
READ = ReadOptions()
AWKWARD = [
    "a b+c%20d",
    "ä/ö?ü#&=",
    "tilde~'()*!$,;:@",
    "日本/💾",
    "new\nline",
    "tab\tquote\"'<>&",
    "x//y",
    "dots/../up",
    "./here",
    "back\\slash",
    "/leading",
]


@pytest.fixture(params=["seaweed", "ministack"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def bucket(server: S3Server) -> str:
    return fresh_bucket(server)


@pytest.fixture
def root(bucket: str) -> ObjectURI:
    return parse_uri(f"s3://{bucket}")


@pytest.fixture
async def driver(server: S3Server, bucket: str) -> AsyncIterator[S3Driver]:
    opened = open_driver(config_of(server, bucket))
    yield opened
    await opened.aclose()


@pytest.fixture
def boto(server: S3Server) -> Iterator[Any]:
    with blocking_client(server) as client:
        yield client


async def in_thread(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a blocking call of boto3 in a thread."""
    import asyncio

    return await asyncio.to_thread(call, *args, **kwargs)


async def test_boto3_reads_what_we_put(driver: S3Driver, root: ObjectURI, boto: Any) -> None:
    """
    boto3 reads the bytes, headers, metadata and checksum that the driver wrote.
    """
    options = WriteOptions(content_type="text/x", cache_control="no-cache", metadata={"a": "1 2", "b": "x"})
    info = await driver.put(root / "k", BytesBody(b"data"), options)
    found = await in_thread(boto.get_object, Bucket=root.bucket, Key="k", ChecksumMode="ENABLED")

    assert found["Body"].read() == b"data"
    assert (found["ContentType"], found["CacheControl"]) == ("text/x", "no-cache")
    assert found["Metadata"] == {"a": "1 2", "b": "x"}
    assert found["ETag"].strip('"') == info.etag
    assert base64.b64decode(found["ChecksumCRC32"]) == compute(ChecksumAlgorithm.CRC32, b"data").value


async def test_we_read_what_boto3_puts(driver: S3Driver, root: ObjectURI, boto: Any) -> None:
    """
    The driver reads what boto3 wrote, including the checksum that boto3 chose.
    """
    await in_thread(
        boto.put_object,
        Bucket=root.bucket,
        Key="k",
        Body=b"data",
        ContentType="text/x",
        Metadata={"Some-Key": "a value"},
        ChecksumAlgorithm="SHA256",
    )
    found = await driver.stat(root / "k", READ)

    assert await read(driver, root / "k") == b"data"
    assert found.content_type == "text/x"
    assert found.metadata == {"some-key": "a value"}
    assert compute(ChecksumAlgorithm.SHA256, b"data") in found.checksums


async def test_object_that_boto3_streamed_with_a_trailer(driver: S3Driver, root: ObjectURI, boto: Any) -> None:
    """
    An object that boto3 sent in chunks with a trailing checksum is read without the framing.
    """
    data = b"x" * (2 * MiB)
    await in_thread(boto.put_object, Bucket=root.bucket, Key="k", Body=io.BytesIO(data), ChecksumAlgorithm="CRC32")
    found = await driver.stat(root / "k", READ)

    assert await read(driver, root / "k") == data
    assert found.content_encoding is None
    assert compute(ChecksumAlgorithm.CRC32, data) in found.checksums


@pytest.mark.parametrize("key", AWKWARD)
async def test_awkward_key(server: S3Server, driver: S3Driver, root: ObjectURI, boto: Any, key: str) -> None:
    """
    The driver and boto3 agree on keys in writes, reads, lists and deletions.
    """
    if key in ("x//y", "dots/../up", "./here", "back\\slash", "/leading"):
        server.xfail_if(KEY_FORMS)
    uri = root.with_key(key)
    await driver.put(uri, BytesBody(b"ours"), WriteOptions())
    theirs = await in_thread(boto.get_object, Bucket=root.bucket, Key=key)
    assert theirs["Body"].read() == b"ours"
    await in_thread(boto.put_object, Bucket=root.bucket, Key=key, Body=b"theirs")
    assert await read(driver, uri) == b"theirs"
    listed = await in_thread(boto.list_objects_v2, Bucket=root.bucket)
    ours = await driver.list_page(root, ListOptions(), None)
    assert [item["Key"] for item in listed["Contents"]] == [info.key for info in ours.objects] == [key]
    assert await driver.delete_batch([uri]) == [None]

    assert "Contents" not in await in_thread(boto.list_objects_v2, Bucket=root.bucket)


async def test_upload_with_parts_of_both(driver: S3Driver, root: ObjectURI, boto: Any) -> None:
    """
    Parts of the driver and of boto3 make one object.
    """
    uri, options = root / "k", WriteOptions(metadata={"a": "1"})
    upload = await driver.initiate_multipart_upload(uri, options)
    data = bytes(range(256)) * (5 * MiB // 256)
    await driver.upload_part(uri, upload, 1, BytesBody(data), options)
    names = {"Bucket": root.bucket, "Key": "k", "UploadId": upload}
    await in_thread(boto.upload_part, **names, PartNumber=2, Body=b"tail", ChecksumAlgorithm="CRC32")
    listed = (await driver.list_parts(uri, upload, None)).parts
    theirs = await in_thread(boto.list_parts, **names)
    assert [part.etag for part in listed] == [part["ETag"].strip('"') for part in theirs["Parts"]]
    await driver.complete_multipart_upload(uri, upload, listed, options)
    found = await in_thread(boto.get_object, Bucket=root.bucket, Key="k")

    assert found["Body"].read() == data + b"tail"
    assert found["Metadata"] == {"a": "1"}


async def test_boto3_reads_the_checksum_of_the_whole(
    server: S3Server, driver: S3Driver, root: ObjectURI, boto: Any
) -> None:
    """
    boto3 reads the checksum of all bytes of a multipart object.
    """
    server.xfail_if(COMPOSITE_ONLY)
    data = [b"x" * 5 * MiB, b"tail"]
    uri, options = root / "k", WriteOptions(checksum=ChecksumAlgorithm.CRC64NVME)
    upload = await driver.initiate_multipart_upload(uri, options)
    parts = [await driver.upload_part(uri, upload, n, BytesBody(d), options) for n, d in enumerate(data, 1)]
    whole = compute(ChecksumAlgorithm.CRC64NVME, b"".join(data))
    await driver.complete_multipart_upload(uri, upload, parts, options, whole)
    found = await in_thread(boto.head_object, Bucket=root.bucket, Key="k", ChecksumMode="ENABLED")

    assert found["ChecksumCRC64NVME"] == whole.base64()


async def test_we_read_what_boto3_uploads_in_parts(driver: S3Driver, root: ObjectURI, boto: Any) -> None:
    """
    An object of boto3's transfer manager is read, and its composite checksum does not count as its own.
    """
    data = bytes(range(256)) * (11 * MiB // 256)
    await in_thread(boto.upload_fileobj, io.BytesIO(data), root.bucket, "k", ExtraArgs={"ChecksumAlgorithm": "SHA256"})
    found = await driver.stat(root / "k", READ)

    assert await read(driver, root / "k") == data
    assert found.checksum is None or found.checksum == compute(found.checksum.algorithm, data)


async def test_native_client(server: S3Server, driver: S3Driver, root: ObjectURI) -> None:
    """
    The native client has the same endpoint, region and credentials.
    """
    await driver.put(root / "k", BytesBody(b"data"), WriteOptions())
    async with driver.native() as client:
        found = await client.get_object(Bucket=root.bucket, Key="k")
        async with found["Body"] as body:
            assert await body.read() == b"data"
        assert client.meta.region_name == server.region


async def test_tags_both_ways(driver: S3Driver, root: ObjectURI, boto: Any) -> None:
    """
    boto3 reads the tags that the driver sets, and the other way round.
    """
    await driver.put(root / "k", BytesBody(b"data"), WriteOptions())
    ours, theirs = {"a b": "x + y", "c": ""}, {"d": "1", "e/f": "x@y"}

    await driver.set_tags(root / "k", ours)
    found = await in_thread(boto.get_object_tagging, Bucket=root.bucket, Key="k")
    assert {tag["Key"]: tag["Value"] for tag in found["TagSet"]} == ours

    tags = [{"Key": key, "Value": value} for key, value in theirs.items()]
    await in_thread(boto.put_object_tagging, Bucket=root.bucket, Key="k", Tagging={"TagSet": tags})
    assert await driver.get_tags(root / "k") == theirs


async def test_versions_that_boto3_made(driver: S3Driver, root: ObjectURI, boto: Any) -> None:
    """
    The driver lists the same versions and delete markers as boto3: ids, sizes, and which one is current.
    """
    enabled = {"Status": "Enabled"}
    await in_thread(boto.put_bucket_versioning, Bucket=root.bucket, VersioningConfiguration=enabled)
    for data in (b"one", b"other"):
        await in_thread(boto.put_object, Bucket=root.bucket, Key="a b+c%20d", Body=data)
    await in_thread(boto.delete_object, Bucket=root.bucket, Key="a b+c%20d")

    page = await driver.list_versions_page(root, ListOptions(), None)
    listed = await in_thread(boto.list_object_versions, Bucket=root.bucket)

    ours = {(info.key, info.version_id, info.size, info.is_current) for info in page.objects if not info.is_deleted}
    assert ours == {(item["Key"], item["VersionId"], item["Size"], item["IsLatest"]) for item in listed["Versions"]}
    (marker,) = [info for info in page.objects if info.is_deleted]
    assert marker.version_id == listed["DeleteMarkers"][0]["VersionId"]
    assert marker.is_current

"""
The driver against real servers: SeaweedFS, which verifies checksums, and ministack, which stores keys verbatim.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from urllib.request import Request, urlopen

import aiohttp
import pytest

from asyncstore.checksum import compute
from asyncstore.config import AuthConfig, HTTPOptions, StorageConfig
from asyncstore.driver.body import Body, BytesBody, BytesLike
from asyncstore.drivers.s3 import S3Driver, open_driver
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    UnauthenticatedError,
)
from asyncstore.options import ByteRange, CopyOptions, DeleteOptions, ListOptions, ReadOptions, WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm
from asyncstore.uri import ObjectURI, parse_uri
from tests.drivers.calls import copied
from tests.servers.quirks import COMPOSITE_ONLY
from tests.servers.s3 import Keys, S3Server, fresh_bucket

MiB = 1024 * 1024
READ = ReadOptions()
PLAIN = WriteOptions()


class Streamed(Body):
    """A body in chunks, whose checksum is known only when it has been sent."""

    def __init__(self, data: bytes, algorithm: ChecksumAlgorithm = ChecksumAlgorithm.CRC32) -> None:
        self.size = len(data)
        self._data = data
        self._followed = algorithm
        self._ended = False

    async def chunks(self) -> AsyncIterator[BytesLike]:
        for start in range(0, len(self._data), MiB):
            yield self._data[start : start + MiB]
        self._ended = True

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum | None:
        return compute(algorithm, self._data) if self._ended and algorithm is self._followed else None


def config_of(server: S3Server, bucket: str, keys: Keys | None = None, **settings: object) -> StorageConfig:
    using = keys or server.keys
    return StorageConfig(
        uri=parse_uri(f"s3://{bucket}"),
        endpoint_url=server.endpoint_url,
        region=server.region,
        auth=AuthConfig(
            auth_type="static",
            settings={"access_key_id": using.access_key_id, "secret_access_key": using.secret_access_key},
        ),
        http=HTTPOptions(ca_file=server.ca_file),
        settings=settings,
    )


@pytest.fixture(params=["seaweed", "ministack", "seaweed_tls"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def driver(server: S3Server) -> AsyncIterator[S3Driver]:
    opened = open_driver(config_of(server, fresh_bucket(server)))
    yield opened
    await opened.aclose()


@pytest.fixture
def root(driver: S3Driver) -> ObjectURI:
    return driver._root


async def read(driver: S3Driver, uri: ObjectURI, options: ReadOptions = READ) -> bytes:
    body = await driver.open_read(uri, options)
    try:
        return await body.read()
    finally:
        await body.aclose()


@pytest.mark.parametrize("size", [0, 1, 100_000, 5 * MiB + 3])
@pytest.mark.parametrize("streamed", [False, True])
async def test_round_trip(driver: S3Driver, root: ObjectURI, size: int, streamed: bool) -> None:
    """
    A read returns the bytes that were put, from memory or in chunks, also over TLS.
    """
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    uri = root / "some/key"
    info = await driver.put(uri, Streamed(data) if streamed else BytesBody(data), PLAIN)

    assert (info.uri, info.size) == (uri, size)
    assert await read(driver, uri) == data
    body = await driver.open_read(uri, READ)
    assert b"".join([chunk async for chunk in body]) == data
    await body.aclose()
    assert (await driver.stat(uri, READ)).etag == info.etag


async def test_headers_and_metadata(driver: S3Driver, root: ObjectURI) -> None:
    """
    Headers and metadata are stored and returned, also beyond ASCII.
    """
    options = WriteOptions(
        content_type="text/plain",
        content_encoding="gzip",
        content_language="de",
        content_disposition='attachment; filename="x"',
        cache_control="max-age=3",
        metadata={"Plain": "a  b", "umlaut": "grüße, 日本", "odd": "=?x"},
    )
    await driver.put(root / "k", BytesBody(b"data"), options)
    found = await driver.stat(root / "k", READ)

    assert found.metadata == {"plain": "a  b", "umlaut": "grüße, 日本", "odd": "=?x"}
    assert (found.content_type, found.content_encoding, found.content_language) == ("text/plain", "gzip", "de")
    assert (found.content_disposition, found.cache_control) == ('attachment; filename="x"', "max-age=3")
    assert found.checksum == compute(ChecksumAlgorithm.CRC32, b"data")
    assert found.last_modified is not None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ByteRange(2, 5), (2, 5)),
        (ByteRange(7), (7, 10)),
        (ByteRange(-3), (7, 10)),
        (ByteRange(-30), (0, 10)),
        (ByteRange(8, 99), (8, 10)),
    ],
)
async def test_range(driver: S3Driver, root: ObjectURI, wanted: ByteRange, expected: tuple[int, int]) -> None:
    """
    A range returns its start and end, and the size of the object.
    """
    await driver.put(root / "k", BytesBody(b"0123456789"), PLAIN)
    body = await driver.open_read(root / "k", ReadOptions(range=wanted))

    assert (body.start, body.end, body.info.size) == (*expected, 10)
    assert await body.read() == b"0123456789"[expected[0] : expected[1]]
    await body.aclose()


async def test_range_past_the_end(driver: S3Driver, root: ObjectURI) -> None:
    """
    A range that starts at the end is an error.
    """
    await driver.put(root / "k", BytesBody(b"0123456789"), PLAIN)
    with pytest.raises(RangeNotSatisfiableError):
        await driver.open_read(root / "k", ReadOptions(range=ByteRange(10)))


async def test_conditions(driver: S3Driver, root: ObjectURI) -> None:
    """
    Conditions of reads, writes and deletions are enforced.
    """
    uri = root / "k"
    etag = (await driver.put(uri, BytesBody(b"one"), WriteOptions(if_none_match="*"))).etag
    with pytest.raises(AlreadyExistsError):
        await driver.put(uri, BytesBody(b"two"), WriteOptions(if_none_match="*"))
    with pytest.raises(PreconditionFailedError):
        await driver.put(uri, BytesBody(b"two"), WriteOptions(if_match="0" * 32))
    with pytest.raises(PreconditionFailedError):
        await driver.put(root / "none", BytesBody(b"two"), WriteOptions(if_match="0" * 32))
    with pytest.raises(NotModifiedError):
        await driver.open_read(uri, ReadOptions(if_none_match=etag))
    with pytest.raises(PreconditionFailedError):
        await driver.stat(uri, ReadOptions(if_match="0" * 32))
    with pytest.raises(PreconditionFailedError):
        await driver.delete(uri, DeleteOptions(if_match="0" * 32))
    await driver.put(uri, BytesBody(b"two"), WriteOptions(if_match=etag))

    assert await read(driver, uri) == b"two"


async def test_missing_key_and_bucket(driver: S3Driver, root: ObjectURI) -> None:
    """
    Reading a missing key fails and deleting it succeeds; a missing bucket is always an error.
    """
    nowhere = parse_uri("s3://no-such-bucket-at-all/k")
    for uri in (root / "none", nowhere):
        with pytest.raises(NotFoundError):
            await driver.open_read(uri, READ)
        with pytest.raises(NotFoundError):
            await driver.stat(uri, READ)
    await driver.delete(root / "none", DeleteOptions())
    with pytest.raises(NotFoundError):
        await driver.list_page(nowhere.with_key(""), ListOptions(), None)


async def test_listing(driver: S3Driver, root: ObjectURI) -> None:
    """
    Pages are in key order; with a delimiter they include prefixes.
    """
    for key in ("a/1", "a/2", "b", "c/1", "d"):
        await driver.put(root / key, BytesBody(b"x"), PLAIN)
    keys, token = [], None
    while True:
        page = await driver.list_page(root, ListOptions(page_size=2), token)
        keys += [info.key for info in page.objects]
        token = page.next_token
        if token is None:
            break
    rolled = await driver.list_page(root, ListOptions(delimiter="/"), None)
    after = await driver.list_page(root, ListOptions(start_after="b"), None)

    assert keys == ["a/1", "a/2", "b", "c/1", "d"]
    assert [info.key for info in rolled.objects] == ["a/", "b", "c/", "d"]
    assert [info.key for info in after.objects] == ["c/1", "d"]


async def test_multipart_upload(server: S3Server, driver: S3Driver, root: ObjectURI) -> None:
    """
    Parts uploaded out of order, from memory and in chunks, become one object with the checksum of its bytes.
    """
    data = bytes(range(256)) * 30_000
    uri, cut = root / "k", 5 * MiB
    upload = await driver.initiate_multipart_upload(uri, WriteOptions(metadata={"a": "b"}))
    second = await driver.upload_part(uri, upload, 2, Streamed(data[cut:]), PLAIN)
    first = await driver.upload_part(uri, upload, 1, BytesBody(data[:cut]), PLAIN)
    listed = await driver.list_parts(uri, upload, None)
    unfinished = await driver.list_multipart_uploads(root, None)
    whole = compute(ChecksumAlgorithm.CRC32, data)
    info = await driver.complete_multipart_upload(uri, upload, [second, first], PLAIN, whole)

    assert [(part.number, part.etag, part.size) for part in listed.parts] == [
        (part.number, part.etag, part.size) for part in (first, second)
    ]
    assert [(found.uri.key, found.upload_id) for found in unfinished.uploads] == [("k", upload)]
    assert info.size == len(data)
    assert await read(driver, uri) == data
    found = await driver.stat(uri, READ)
    assert found.metadata == {"a": "b"}
    if COMPOSITE_ONLY not in server.quirks:
        assert found.checksum == info.checksum == whole


async def test_wrong_checksum_of_the_object(driver: S3Driver, root: ObjectURI) -> None:
    """
    An upload whose parts do not match the checksum of the object is not published.
    """
    uri = root / "k"
    upload = await driver.initiate_multipart_upload(uri, PLAIN)
    part = await driver.upload_part(uri, upload, 1, BytesBody(b"data"), PLAIN)
    with pytest.raises(IntegrityError):
        await driver.complete_multipart_upload(uri, upload, [part], PLAIN, compute(ChecksumAlgorithm.CRC32, b"other"))
    await driver.abort_multipart_upload(uri, upload)
    await driver.abort_multipart_upload(uri, upload)

    with pytest.raises(NotFoundError):
        await driver.stat(uri, READ)


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme", "sha1", "sha256", "none"])
async def test_every_checksum(server: S3Server, algorithm: str) -> None:
    """
    Every checksum algorithm works for objects and parts, and so does no checksum.
    """
    bucket = fresh_bucket(server)
    driver = open_driver(config_of(server, bucket, checksum=algorithm))
    uri = parse_uri(f"s3://{bucket}/k")
    await driver.put(uri, BytesBody(b"data"), PLAIN)
    stored = (await driver.stat(uri, READ)).checksums
    upload = await driver.initiate_multipart_upload(uri, PLAIN)
    part = await driver.upload_part(uri, upload, 1, BytesBody(b"data2"), PLAIN)
    await driver.complete_multipart_upload(uri, upload, [part], PLAIN)
    assert await read(driver, uri) == b"data2"
    await driver.aclose()

    if algorithm != "none":
        assert compute(ChecksumAlgorithm(algorithm), b"data") in stored


async def test_copies(driver: S3Driver, root: ObjectURI) -> None:
    """
    A copy keeps the metadata unless it is replaced; a part can be copied from a range of another object.
    """
    await driver.put(root / "a +%/ä", BytesBody(b"0123456789"), WriteOptions(metadata={"a": "1"}))
    kept = await copied(driver, root / "a +%/ä", root / "kept", CopyOptions())
    replacing = CopyOptions(replace=WriteOptions(metadata={"b": "2"}))
    await copied(driver, root / "a +%/ä", root / "replaced", replacing)
    upload = await driver.initiate_multipart_upload(root / "part", PLAIN)
    part = await driver.copy_part(root / "kept", root / "part", upload, 1, 3, 7, CopyOptions())
    await driver.complete_multipart_upload(root / "part", upload, [part], PLAIN)

    assert kept.size == 10
    assert (await driver.stat(root / "kept", READ)).metadata == {"a": "1"}
    assert (await driver.stat(root / "replaced", READ)).metadata == {"b": "2"}
    assert await read(driver, root / "part") == b"3456"


async def test_batch(driver: S3Driver, root: ObjectURI) -> None:
    """
    One request deletes many keys, including unusual and missing ones.
    """
    keys = ["a", "b <&> c", "ä\n", "none"]
    for key in keys[:3]:
        await driver.put(root / key, BytesBody(b"x"), PLAIN)

    assert await driver.delete_batch([root / key for key in keys]) == [None] * 4
    assert (await driver.list_page(root, ListOptions(), None)).objects == []


async def test_presigned_urls(server: S3Server, driver: S3Driver, root: ObjectURI) -> None:
    """
    A presigned URL works without credentials.
    """
    life = timedelta(minutes=1)
    uri = root / "a +%/ä"
    put = Request(await driver.sign("PUT", uri, life), data=b"data", method="PUT")
    get = await driver.sign("GET", uri, life)
    await asyncio.to_thread(lambda: urlopen(put, context=_trust(server)).close())
    got = await asyncio.to_thread(lambda: _fetched(get, _trust(server)))

    assert got == b"data"


def _trust(server: S3Server) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=server.ca_file) if server.ca_file else None


def _fetched(url: str, trust: ssl.SSLContext | None) -> bytes:
    with urlopen(url, context=trust) as found:
        data: bytes = found.read()
    return data


async def test_rejected_and_insufficient_keys(server: S3Server) -> None:
    """
    Invalid keys and keys without permission are different errors.
    """
    assert server.readonly is not None
    bucket = fresh_bucket(server)
    uri = parse_uri(f"s3://{bucket}/k")
    for keys, kind in (
        (Keys(server.readonly.access_key_id, "wrong-and-fake"), UnauthenticatedError),
        (server.readonly, PermissionDeniedError),
    ):
        driver = open_driver(config_of(server, bucket, keys))
        with pytest.raises(kind):
            await driver.put(uri, BytesBody(b"x"), PLAIN)
        await driver.aclose()


async def test_session_of_the_caller(server: S3Server) -> None:
    """
    A session that the caller passes in is used and stays open.
    """
    bucket = fresh_bucket(server)
    connector = aiohttp.TCPConnector(ssl=_trust(server) or True)
    async with aiohttp.ClientSession(connector=connector) as session:
        driver = open_driver(replace(config_of(server, bucket), session=session))
        await driver.put(parse_uri(f"s3://{bucket}/k"), BytesBody(b"x"), PLAIN)
        await driver.aclose()

        assert not session.closed

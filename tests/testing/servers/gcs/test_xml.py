"""
The XML API of the stand-in for Google Cloud Storage: objects, listings and multipart uploads.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import aiohttp
import pytest

from asyncstore.testing.servers.gcs import GCSServer
from tests.servers.gcs_client import MIB, random_bytes

_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_LIST = "{http://doc.s3.amazonaws.com/2006-03-01}"


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    async with GCSServer(buckets=["b-1"]) as running:
        yield running


class Client:
    """Sends requests to one bucket."""

    def __init__(self, session: aiohttp.ClientSession, server: GCSServer) -> None:
        self._session = session
        self._base = f"{server.url}/b-1"

    async def ask(self, method: str, target: str, **options: Any) -> tuple[int, Any, bytes]:
        """Send a request; return status, headers and body."""
        async with self._session.request(method, f"{self._base}{target}", **options) as reply:
            return reply.status, reply.headers, await reply.read()

    async def refusal(self, method: str, target: str, **options: Any) -> tuple[int, str]:
        """Send a request that is refused; return status and error code."""
        status, headers, body = await self.ask(method, target, **options)
        assert headers["Content-Type"].startswith("application/xml")
        return status, ET.fromstring(body).findtext("Code") or ""

    async def initiate(self, name: str, **headers: str) -> str:
        """Start a multipart upload; return its id."""
        status, _, body = await self.ask("POST", f"/{name}?uploads", headers=headers)
        assert status == 200, body
        return ET.fromstring(body).findtext(f"{_S3}UploadId") or ""

    async def part(self, name: str, upload_id: str, number: int, data: bytes, **headers: str) -> str:
        """Upload a part; return its ETag."""
        target = f"/{name}?partNumber={number}&uploadId={upload_id}"
        status, replied, body = await self.ask("PUT", target, data=io.BytesIO(data), headers=headers)
        assert status == 200, body
        return str(replied["ETag"])


@pytest.fixture
async def client(server: GCSServer) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, server)


def completion(parts: Iterable[tuple[int, str]]) -> bytes:
    rows = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()


async def test_object_and_its_headers(client: Client) -> None:
    """A stored object is returned with its headers: one line per hash, the MD5 as ETag, generation, metadata."""
    headers = {"Content-Type": "text/x-test", "x-goog-meta-colour": "blue", "x-goog-storage-class": "NEARLINE"}
    _, put, _ = await client.ask("PUT", "/a%20b/c", data=b"body", headers=headers)
    status, got, body = await client.ask("GET", "/a%20b/c")
    _, head, nothing = await client.ask("HEAD", "/a%20b/c")

    md5 = hashlib.md5(b"body", usedforsecurity=False).digest()
    assert (status, body, nothing) == (200, b"body", b"")
    assert put["ETag"] == got["ETag"] == head["ETag"] == f'"{md5.hex()}"'
    assert [one.partition("=")[0] for one in got.getall("x-goog-hash")] == ["crc32c", "md5"]
    assert got.getall("x-goog-hash")[1] == f"md5={_b64(md5)}"
    assert put["x-goog-generation"] == got["x-goog-generation"] == head["x-goog-generation"]
    assert (got["x-goog-meta-colour"], got["Content-Type"]) == ("blue", "text/x-test")
    assert (got["x-goog-storage-class"], got["x-goog-stored-content-length"]) == ("NEARLINE", "4")
    assert head["Content-Length"] == "4"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_ranges(client: Client) -> None:
    """A range is a 206 with Content-Range; beyond the end it is a 416 with the size; a malformed one is ignored."""
    await client.ask("PUT", "/a", data=b"0123456789")
    for requested, expected, span in (("2-4", b"234", "2-4"), ("7-", b"789", "7-9"), ("-3", b"789", "7-9")):
        status, headers, body = await client.ask("GET", "/a", headers={"Range": f"bytes={requested}"})
        assert (status, body, headers["Content-Range"]) == (206, expected, f"bytes {span}/10")
    status, headers, _ = await client.ask("GET", "/a", headers={"Range": "bytes=10-"})
    assert (status, headers["Content-Range"]) == (416, "bytes */10")
    assert (await client.ask("GET", "/a", headers={"Range": "bytes=4-2"}))[0] == 200
    await client.ask("PUT", "/empty", data=b"")
    assert (await client.ask("GET", "/empty", headers={"Range": "bytes=-1"}))[0] == 416


async def test_conditions(client: Client) -> None:
    """Reads and writes check conditions on generation, metageneration, ETag and date."""
    _, put, _ = await client.ask("PUT", "/a", data=b"1", headers={"x-goog-if-generation-match": "0"})
    generation, etag = put["x-goog-generation"], put["ETag"]
    refused = (412, "PreconditionFailed")

    assert await client.refusal("PUT", "/a", data=b"2", headers={"x-goog-if-generation-match": "0"}) == refused
    for name, met, unmet in (
        ("x-goog-if-generation-match", generation, "1"),
        ("x-goog-if-metageneration-match", "1", "2"),
        ("If-Match", etag, '"0"'),
        ("If-Unmodified-Since", "Fri, 01 Jan 2100 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"),
    ):
        assert (await client.ask("GET", "/a", headers={name: met}))[0] == 200
        assert await client.refusal("GET", "/a", headers={name: unmet}) == refused
    assert (await client.ask("GET", "/a", headers={"If-None-Match": etag}))[0] == 304
    assert (await client.ask("GET", "/a", headers={"If-None-Match": '"0"'}))[0] == 200
    since = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert (await client.ask("GET", "/a", headers=since))[0] == 304
    assert await client.refusal("DELETE", "/a", headers={"x-goog-if-generation-match": "1"}) == refused
    assert (await client.ask("DELETE", "/a", headers={"x-goog-if-generation-match": generation}))[0] == 204
    assert await client.refusal("DELETE", "/a") == (404, "NoSuchKey")


async def test_checksums(client: Client) -> None:
    """A body that does not match its checksum is not stored."""
    wrong = _b64(bytes(16))
    for headers in ({"Content-MD5": wrong}, {"x-goog-hash": f"md5={wrong}"}, {"x-goog-hash": "crc32c=AAAAAA=="}):
        assert await client.refusal("PUT", "/a", data=b"body", headers=headers) == (400, "BadDigest")

    assert await client.refusal("GET", "/a") == (404, "NoSuchKey")


async def test_copies(client: Client) -> None:
    """A copy keeps or replaces the metadata, and checks the conditions on its source."""
    await client.ask("PUT", "/a%2Bb", data=b"1", headers={"x-goog-meta-x": "y", "Content-Type": "text/x-test"})
    source = {"x-goog-copy-source": "/b-1/" + quote("a+b")}
    status, _, body = await client.ask("PUT", "/kept", headers=source)
    assert (status, b"CopyObjectResult" in body) == (200, True)
    replaced = {**source, "x-goog-metadata-directive": "REPLACE", "x-goog-meta-z": "1"}
    await client.ask("PUT", "/replaced", headers=replaced)

    _, kept, _ = await client.ask("GET", "/kept")
    assert (kept["x-goog-meta-x"], kept["Content-Type"]) == ("y", "text/x-test")
    _, other, _ = await client.ask("GET", "/replaced")
    assert ("x-goog-meta-x" in other, other["x-goog-meta-z"]) == (False, "1")
    unmet = {**source, "x-goog-copy-source-if-generation-match": "1"}
    assert await client.refusal("PUT", "/c", headers=unmet) == (412, "PreconditionFailed")
    assert await client.refusal("PUT", "/c", headers={"x-goog-copy-source": "b-1/none"}) == (404, "NoSuchKey")


@pytest.mark.parametrize("version", [1, 2])
async def test_lists(client: Client, version: int) -> None:
    """Both list versions return each name and prefix once, across pages."""
    names = ["a", "a-x", "a/b", "a/c", "b&<>/1", "c d", "é"]
    for name in names:
        await client.ask("PUT", f"/{quote(name)}", data=b"1")
    marker, token = ("marker", "NextMarker") if version == 1 else ("continuation-token", "NextContinuationToken")
    found: list[str] = []
    query, pages = "", 0
    while pages < 10:
        pages += 1
        target = f"?delimiter=/&max-keys=2{query}" + ("&list-type=2" if version == 2 else "")
        root = ET.fromstring((await client.ask("GET", target))[2])
        found += [one.text or "" for one in root.iterfind(f"{_LIST}Contents/{_LIST}Key")]
        found += [one.text or "" for one in root.iterfind(f"{_LIST}CommonPrefixes/{_LIST}Prefix")]
        if root.findtext(f"{_LIST}IsTruncated") == "false":
            break
        query = f"&{marker}={quote(root.findtext(f'{_LIST}{token}') or '', safe='')}"

    assert sorted(found) == ["a", "a-x", "a/", "b&<>/", "c d", "é"]
    assert pages == 3


async def test_multipart_upload(client: Client) -> None:
    """Parts sent in any order, one of them twice, become one object with the metadata from the start."""
    upload = await client.initiate("p", **{"x-goog-meta-colour": "blue", "Content-Type": "text/x-test"})
    first, second = random_bytes(5 * MIB), random_bytes(10)
    await client.part("p", upload, 7, b"replaced")
    etags = {7: await client.part("p", upload, 7, second), 2: await client.part("p", upload, 2, first)}
    await client.part("p", upload, 3, b"not chosen")
    assert etags[2] == f'"{hashlib.md5(first, usedforsecurity=False).hexdigest()}"'
    status, _, body = await client.ask("POST", f"/p?uploadId={upload}", data=completion(sorted(etags.items())))
    assert status == 200
    etag = ET.fromstring(body).findtext(f"{_S3}ETag")

    _, headers, data = await client.ask("GET", "/p")
    assert data == first + second
    assert (headers["x-goog-meta-colour"], headers["Content-Type"]) == ("blue", "text/x-test")
    assert headers["ETag"] == etag
    # No MD5: the server never hashes all bytes in order.
    assert [one[:7] for one in headers.getall("x-goog-hash")] == ["crc32c="]
    assert await client.refusal("GET", f"/p?uploadId={upload}") == (404, "NoSuchUpload")


async def test_invalid_completions(client: Client) -> None:
    """Missing, changed, unordered and too small parts are refused, and no object is created."""
    upload = await client.initiate("p")
    large = await client.part("p", upload, 1, bytes(5 * MIB))
    small = await client.part("p", upload, 2, b"small")
    last = await client.part("p", upload, 3, b"last")

    async def refused(body: bytes) -> tuple[int, str]:
        return await client.refusal("POST", f"/p?uploadId={upload}", data=body)

    assert await refused(completion([(2, small), (1, large)])) == (400, "InvalidPartOrder")
    assert await refused(completion([(1, large), (1, large)])) == (400, "InvalidPartOrder")
    assert await refused(completion([(1, small)])) == (400, "InvalidPart")
    assert await refused(completion([(4, small)])) == (400, "InvalidPart")
    assert await refused(completion([(1, large), (2, small), (3, last)])) == (400, "EntityTooSmall")
    assert await refused(completion([])) == (400, "MalformedXML")
    assert await refused(b"<CompleteMultipartUpload>") == (400, "MalformedXML")
    assert await refused(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>') == (400, "MalformedXML")
    assert await client.refusal("GET", "/p") == (404, "NoSuchKey")


async def test_invalid_parts(client: Client) -> None:
    """Part numbers are 1 to 10,000, checksums must match, and conditions are not supported."""
    upload = await client.initiate("p")
    for number in ("0", "10001", "x"):
        target = f"/p?partNumber={number}&uploadId={upload}"
        assert await client.refusal("PUT", target, data=b"1") == (400, "InvalidArgument")
    target = f"/p?partNumber=1&uploadId={upload}"
    assert await client.refusal("PUT", target, data=b"1", headers={"x-goog-hash": "crc32c=AAAAAA=="}) == (
        400,
        "BadDigest",
    )
    assert await client.refusal("PUT", "/p?partNumber=1&uploadId=none", data=b"1") == (404, "NoSuchUpload")
    assert await client.refusal("PUT", f"/q?partNumber=1&uploadId={upload}", data=b"1") == (404, "NoSuchUpload")
    condition = {"x-goog-if-generation-match": "0"}
    assert await client.refusal("POST", "/p?uploads", headers=condition) == (400, "InvalidArgument")
    body = completion([(1, await client.part("p", upload, 1, b"1"))])
    assert await client.refusal("POST", f"/p?uploadId={upload}", data=body, headers=condition) == (
        400,
        "InvalidArgument",
    )


async def test_aborted_uploads(client: Client) -> None:
    """An aborted upload is no longer listed and accepts no more parts."""
    kept, gone = await client.initiate("kept"), await client.initiate("gone")
    await client.part("gone", gone, 1, b"1")
    assert (await client.ask("DELETE", f"/gone?uploadId={gone}"))[0] == 204

    root = ET.fromstring((await client.ask("GET", "?uploads"))[2])
    assert [one.text for one in root.iterfind(f"{_S3}Upload/{_S3}UploadId")] == [kept]
    assert await client.refusal("PUT", f"/gone?partNumber=1&uploadId={gone}", data=b"1") == (404, "NoSuchUpload")
    assert await client.refusal("DELETE", f"/gone?uploadId={gone}") == (404, "NoSuchUpload")


async def test_lists_of_parts_and_uploads_have_pages(client: Client) -> None:
    """Listings of parts and uploads continue after the previous page's marker."""
    upload = await client.initiate("p")
    for number in (3, 1, 2):
        await client.part("p", upload, number, b"x" * number)
    first = ET.fromstring((await client.ask("GET", f"/p?uploadId={upload}&max-parts=2"))[2])
    assert [one.text for one in first.iterfind(f"{_S3}Part/{_S3}PartNumber")] == ["1", "2"]
    assert [one.text for one in first.iterfind(f"{_S3}Part/{_S3}Size")] == ["1", "2"]
    marker = first.findtext(f"{_S3}NextPartNumberMarker")
    second = ET.fromstring((await client.ask("GET", f"/p?uploadId={upload}&part-number-marker={marker}"))[2])
    assert [one.text for one in second.iterfind(f"{_S3}Part/{_S3}PartNumber")] == ["3"]

    ids = {upload, await client.initiate("p"), await client.initiate("q/r"), await client.initiate("q/s")}
    found: list[str] = []
    query = ""
    for _ in range(4):
        root = ET.fromstring((await client.ask("GET", f"?uploads&max-uploads=1{query}"))[2])
        found += [one.text or "" for one in root.iterfind(f"{_S3}Upload/{_S3}UploadId")]
        key, upload_id = (root.findtext(f"{_S3}Next{name}Marker") for name in ("Key", "UploadId"))
        query = f"&key-marker={quote(key or '', safe='')}&upload-id-marker={upload_id}"
    assert (len(found), set(found)) == (4, ids)
    assert root.findtext(f"{_S3}IsTruncated") == "false"


async def test_buckets(client: Client, server: GCSServer) -> None:
    """Buckets can be created once, found, and deleted when empty."""
    async with aiohttp.ClientSession() as session:

        async def status(method: str, name: str) -> int:
            async with session.request(method, f"{server.url}/{name}") as reply:
                return reply.status

        assert [await status("PUT", "b-2"), await status("PUT", "b-2")] == [200, 409]
        assert [await status("HEAD", "b-2"), await status("HEAD", "b-3")] == [200, 404]
        await client.ask("PUT", "/a", data=b"")
        assert [await status("DELETE", name) for name in ("b-1", "b-2", "b-2")] == [409, 204, 404]
        assert [await status("PUT", name) for name in ("B", "x")] == [400, 400]
        assert await status("PATCH", "b-1/a") == 405

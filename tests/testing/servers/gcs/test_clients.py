"""
What Google's clients in other languages, gsutil and rclone send; and what the server does not know, which it refuses.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from typing import Any

import aiohttp
import pytest

from asyncstore.testing.servers.gcs import GCSServer
from asyncstore.testing.servers.gcs.errors import ServiceError
from asyncstore.testing.servers.gcs.glob import compiled
from tests.servers.gcs_client import QUANTUM, random_bytes

NO_308 = {"X-GUploader-No-308": "yes"}


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    async with GCSServer(buckets=["b-1"]) as running:
        yield running


@pytest.fixture
async def http(server: GCSServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def ask(http: aiohttp.ClientSession, method: str, path: str, **options: Any) -> tuple[int, bytes, dict[str, str]]:
    async with http.request(method, path, allow_redirects=False, **options) as reply:
        return reply.status, await reply.read(), {name.lower(): value for name, value in reply.headers.items()}


async def started(http: aiohttp.ClientSession) -> str:
    _, _, headers = await ask(http, "POST", "/upload/storage/v1/b/b-1/o?uploadType=resumable&name=r", json={})
    return headers["location"]


async def write(http: aiohttp.ClientSession, *names: str) -> None:
    for name in names:
        query = {"uploadType": "media", "name": name}
        assert (await ask(http, "POST", "/upload/storage/v1/b/b-1/o", params=query, data=b"1"))[0] == 200


async def names(http: aiohttp.ClientSession, **query: str) -> list[str]:
    status, body, _ = await ask(http, "GET", "/storage/v1/b/b-1/o", params=query)
    assert status == 200, body
    page = json.loads(body)
    return [*[item["name"] for item in page.get("items", [])], *page.get("prefixes", [])]


async def content(http: aiohttp.ClientSession, name: str = "r") -> bytes | None:
    status, body, _ = await ask(http, "GET", f"/b-1/{name}")
    return body if status == 200 else None


# The Node.js client.


@pytest.mark.parametrize("total", ["*", str(QUANTUM + 7)])
async def test_rest_in_one_request_of_unknown_end(http: aiohttp.ClientSession, total: str) -> None:
    """The end of what is sent may be unknown, with and without the size of the object."""
    data = random_bytes(QUANTUM + 7)
    session = await started(http)

    status, body, _ = await ask(http, "PUT", session, data=data, headers={"Content-Range": f"bytes 0-*/{total}"})

    assert (status, json.loads(body)["size"]) == (200, str(len(data)))
    assert await content(http) == data


async def test_unknown_end_that_comes_early(http: aiohttp.ClientSession) -> None:
    """If fewer bytes come than the object has, the rest can be sent from where the session is."""
    data = random_bytes(2 * QUANTUM + 7)
    session = await started(http)
    first = {"Content-Range": f"bytes 0-*/{len(data)}"}

    status, _, headers = await ask(http, "PUT", session, data=data[: QUANTUM + 1], headers=first)
    assert (status, headers["range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    rest = {"Content-Range": f"bytes {QUANTUM}-*/{len(data)}"}
    assert (await ask(http, "PUT", session, data=data[QUANTUM:], headers=rest))[0] == 200
    assert await content(http) == data


async def test_unknown_end_beyond_the_size(http: aiohttp.ClientSession) -> None:
    """More bytes than the object has are refused."""
    session = await started(http)

    status, _, _ = await ask(http, "PUT", session, data=b"123456", headers={"Content-Range": "bytes 0-*/5"})

    assert (status, await content(http)) == (400, None)


# The Go client, and with it rclone, gcsfuse and Terraform.


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_pieces_without_308(http: aiohttp.ClientSession, method: str) -> None:
    """Pieces may be sent by POST. A client that asks for it gets 200 with a header instead of 308."""
    data = random_bytes(QUANTUM + 5)
    session = await started(http)
    first = {**NO_308, "Content-Range": f"bytes 0-{QUANTUM - 1}/*"}

    status, body, headers = await ask(http, method, session, data=data[:QUANTUM], headers=first)
    assert (status, body, headers["x-http-status-code-override"]) == (200, b"", "308")
    assert headers["range"] == f"bytes=0-{QUANTUM - 1}"
    status, _, headers = await ask(http, method, session, headers={**NO_308, "Content-Range": "bytes */*"})
    assert (status, headers["x-http-status-code-override"]) == (200, "308")
    last = {**NO_308, "Content-Range": f"bytes {QUANTUM}-{QUANTUM + 4}/{QUANTUM + 5}"}
    status, body, headers = await ask(http, method, session, data=data[QUANTUM:], headers=last)
    assert (status, json.loads(body)["size"]) == (200, str(len(data)))
    assert "x-http-status-code-override" not in headers
    assert await content(http) == data


async def test_listing_of_the_go_client(http: aiohttp.ClientSession) -> None:
    """Parameters that are sent empty or false are the same as absent ones."""
    await write(http, "a/1", "b")
    empty = dict.fromkeys(("delimiter", "endOffset", "filter", "matchGlob", "pageToken", "prefix", "startOffset"), "")
    false = dict.fromkeys(("includeFoldersAsPrefixes", "includeTrailingDelimiter", "softDeleted", "versions"), "false")

    found = await names(http, alt="json", prettyPrint="false", projection="full", **empty, **false)

    assert found == ["a/1", "b"]


# gsutil, and Google's older Python clients.


def related(metadata: Mapping[str, str], data: bytes) -> tuple[bytes, dict[str, str]]:
    """Return a body as Python's email package writes it, with line feeds only, and its headers."""
    message = MIMEMultipart("related")
    first = MIMENonMultipart("application", "json")
    first.set_payload(json.dumps(metadata))
    message.attach(first)
    second = MIMEApplication(data, "x-any", lambda part: part.set_payload("@@@"))
    message.attach(second)
    head, _, body = message.as_bytes().partition(b"\n\n")
    assert b"\r" not in head + body
    return body.replace(b"@@@", data), {"Content-Type": f'multipart/related; boundary="{message.get_boundary()}"'}


@pytest.mark.parametrize("compressed", [False, True])
async def test_multipart_body_with_line_feeds(http: aiohttp.ClientSession, compressed: bool) -> None:
    """Lines may end with a line feed only, and a body may be compressed for its transport."""
    data = b"binary\r\n--\n\0data" + random_bytes(70_000)
    body, headers = related({"name": "r", "contentType": "text/x-lab"}, data)
    if compressed:
        body = gzip.compress(body)
        headers["Content-Encoding"] = "gzip"

    status, reply, _ = await ask(
        http, "POST", "/upload/storage/v1/b/b-1/o?uploadType=multipart", data=body, headers=headers
    )

    assert status == 200, reply
    assert json.loads(reply)["contentType"] == "text/x-lab"
    assert await content(http) == data


async def test_compressed_content(http: aiohttp.ClientSession) -> None:
    """What was compressed for the transport is stored as it was; broken and unknown codings are refused."""
    path = "/upload/storage/v1/b/b-1/o?uploadType=media&name=r"
    packed = gzip.compress(b"text" * 1000)
    headers = {"Content-Encoding": "gzip"}

    assert (await ask(http, "POST", path, data=packed, headers=headers))[0] == 200
    assert await content(http) == b"text" * 1000
    for broken in (packed[:-9], b"text"):
        assert (await ask(http, "POST", path, data=broken, headers=headers))[0] == 400
    assert (await ask(http, "POST", path, data=packed, headers={"Content-Encoding": "br"}))[0] == 501
    session = await started(http)
    assert (await ask(http, "PUT", session, data=packed, headers=headers))[0] == 501


# Patterns of names.


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("l/1*", ["l/1", "l/12"]),
        ("*", ["other"]),
        ("**", ["l/1", "l/12", "l/2", "l/m/3", "other"]),
        ("l/**3", ["l/m/3"]),
        ("l/?", ["l/1", "l/2"]),
        ("l/[2-9]", ["l/2"]),
        ("l/[!2-9]", ["l/1"]),
        ("{l/2,other}", ["l/2", "other"]),
        ("l?1", []),
        ("o.her", []),
    ],
)
async def test_pattern(http: aiohttp.ClientSession, glob: str, found: list[str]) -> None:
    """Only the names that match a pattern are listed, on any number of pages."""
    await write(http, "l/1", "l/12", "l/2", "l/m/3", "other")

    assert await names(http, matchGlob=glob) == found
    assert await names(http, matchGlob=glob, maxResults="1") == found[:1]


async def test_pattern_with_prefixes(http: aiohttp.ClientSession) -> None:
    """With a delimiter, prefixes match or do not match too; it can only be a slash."""
    await write(http, "a/1", "ab", "b/1")

    assert await names(http, matchGlob="a{*,*/}", delimiter="/") == ["ab", "a/"]
    assert (await ask(http, "GET", "/storage/v1/b/b-1/o?matchGlob=a&delimiter=-"))[0] == 400


@pytest.mark.parametrize("glob", ["{a", "[", "a[]", "[z-a]"])
async def test_pattern_that_is_not_valid(http: aiohttp.ClientSession, glob: str) -> None:
    """A pattern that is not valid is refused."""
    status, body, _ = await ask(http, "GET", "/storage/v1/b/b-1/o", params={"matchGlob": glob})

    assert (status, json.loads(body)["error"]["errors"][0]["location"]) == (400, "matchGlob")


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        ("a[*]b", "a*b", True),
        ("a[^x]b", "a/b", False),
        ("a[^x]b", "ayb", True),
        ("a]b", "a]b", True),
        ("a}b,c", "a}b,c", True),
        ("{a,{b,c}d}", "cd", True),
        ("a+(b)", "a+(b)", True),
        ("a***b", "a/b", True),
    ],
)
def test_characters_of_patterns(glob: str, name: str, matches: bool) -> None:
    """Escaped characters, classes and alternatives; everything else stands for itself."""
    assert bool(compiled(glob).fullmatch(name)) is matches


def test_unclosed_class() -> None:
    """A class needs its closing bracket."""
    with pytest.raises(ServiceError):
        compiled("a[]")


# What the server does not know.


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/storage/v1/b/b-1/o?filter=contexts.a%3A*"),
        ("GET", "/storage/v1/b/b-1/o?unheardOf=1"),
        ("GET", "/storage/v1/b/b-1/o/r?restoreToken=x"),
        ("GET", "/storage/v1/b?project=p&softDeleted=true"),
        ("POST", "/storage/v1/b?project=p&predefinedAcl=private"),
        ("POST", "/upload/storage/v1/b/b-1/o?uploadType=media&name=r&objectContexts=x"),
        ("POST", "/storage/v1/b/b-1/o/r/rewriteTo/b/b-1/o/s?dropContextGroups=x"),
        ("POST", "/storage/v1/b/b-1/o/r/compose?destinationObjectAcl=private"),
        ("DELETE", "/storage/v1/b/b-1/o/r?recursive=true"),
        ("GET", "/b-1?acl"),
        ("GET", "/b-1?versions"),
        ("GET", "/b-1?lifecycle="),
        ("PUT", "/b-1/r?acl"),
        ("PUT", "/b-1/r?tagging"),
        ("GET", "/b-1/r?response-cache-control=no-store"),
        ("DELETE", "/b-1/r?X-Amz-Signature=x"),
    ],
)
async def test_unknown_parameters(http: aiohttp.ClientSession, method: str, path: str) -> None:
    """A parameter that the server does not know is refused by name, and nothing is done."""
    await write(http, "r")

    status, body, _ = await ask(http, method, path, data=b"other" if method in ("PUT", "POST") else None)

    last = path.rpartition("?")[2].rpartition("&")[2].partition("=")[0]
    assert (status, f"&apos;{last}&apos;".encode() in body or f"'{last}'".encode() in body) == (501, True)
    assert await content(http) == b"1"
    assert await names(http) == ["r"]


@pytest.mark.parametrize("header", ["x-goog-copy-acl", "x-goog-content-length-range", "x-amz-meta-a", "x-amz-acl"])
async def test_unknown_headers(http: aiohttp.ClientSession, header: str) -> None:
    """So is a header of Cloud Storage or of S3's API that would change what the request means."""
    await write(http, "r")

    status, body, _ = await ask(http, "PUT", "/b-1/r", data=b"other", headers={header: "x"})

    assert (status, header.encode() in body) == (501, True)
    assert await content(http) == b"1"

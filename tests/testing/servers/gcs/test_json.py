"""
The JSON API of the stand-in for Google Cloud Storage, tested on the wire.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from email.message import Message
from typing import Any

import aiohttp
import pytest
import yarl

from asyncstore.testing.servers.faults import Fault
from asyncstore.testing.servers.gcs import GCSServer
from tests.servers.gcs_client import random_bytes


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    async with GCSServer(buckets=["b-1"]) as running:
        yield running


class Client:
    """Sends requests to one server."""

    def __init__(self, session: aiohttp.ClientSession, server: GCSServer) -> None:
        self._session = session
        self._base = server.url

    async def ask(self, method: str, target: str, **options: Any) -> tuple[int, Any, bytes]:
        """Send a request to *target* unchanged; return status, headers and body."""
        address = yarl.URL(self._base + target, encoded=True)
        async with self._session.request(method, address, **options) as reply:
            return reply.status, reply.headers, await reply.read()

    async def put(self, name: str, data: bytes, query: str = "") -> dict[str, Any]:
        """Upload an object; return its resource."""
        target = f"/upload/storage/v1/b/b-1/o?uploadType=media&name={name}{query}"
        status, _, body = await self.ask("POST", target, data=data)
        assert status == 200, body
        return dict(json.loads(body))


@pytest.fixture
async def client(server: GCSServer) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, server)


async def test_resource(client: Client, server: GCSServer) -> None:
    """An object's resource has the documented fields, numbers as strings, and working links."""
    made = await client.put("dir%2Fa", b"body")
    md5 = hashlib.md5(b"body", usedforsecurity=False).digest()

    assert made["kind"] == "storage#object"
    assert made["id"] == f"b-1/dir/a/{made['generation']}"
    assert (made["size"], made["metageneration"], made["md5Hash"]) == ("4", "1", base64.b64encode(md5).decode())
    assert made["timeCreated"] == made["updated"]
    assert made["timeCreated"].endswith("Z")
    for link in ("selfLink", "mediaLink"):
        status, headers, body = await client.ask("GET", made[link].removeprefix(server.url))
        assert (status, headers["ETag"]) == (200, made["etag"])
    assert body == b"body"
    assert headers["x-goog-hash"] == f"crc32c={made['crc32c']},md5={made['md5Hash']}"
    assert headers["x-goog-generation"] == made["generation"]


@pytest.mark.parametrize(
    ("method", "target", "status", "reason"),
    [
        ("GET", "/storage/v1/b/none", 404, "notFound"),
        ("GET", "/storage/v1/b/b-1/o/none", 404, "notFound"),
        ("GET", "/storage/v1/b/none/o/none", 404, "notFound"),
        ("GET", "/storage/v1/b/b-1/o/a?ifGenerationMatch=1", 412, "conditionNotMet"),
        ("GET", "/storage/v1/b/b-1/o/a?ifGenerationMatch=x", 400, "invalid"),
        ("GET", "/storage/v1/b/b-1/o/a?ifGenerationMatch=1&ifGenerationNotMatch=2", 400, "invalid"),
        ("GET", "/storage/v1/b/b-1/o/a?fields=a(b", 400, "invalid"),
        ("GET", "/storage/v1/b/b-1/o/%FF", 400, "invalid"),
        ("DELETE", "/storage/v1/b/b-1/o/a?generation=1", 404, "notFound"),
        ("GET", "/storage/v1/b/b-1/o?pageToken=?", 400, "invalid"),
        ("GET", "/storage/v1/b/b-1/o?maxResults=-1", 400, "invalid"),
        ("GET", "/storage/v1/b/b-1/o?versions=maybe", 400, "invalid"),
        ("GET", "/storage/v1/b", 400, "required"),
        ("PATCH", "/storage/v1/b", 405, "httpMethodNotAllowed"),
        ("GET", "/storage/v1/nothing", 404, "notFound"),
        ("POST", "/upload/storage/v1/b/b-1/o?name=a", 400, "invalid"),
        ("POST", "/upload/storage/v1/b/b-1/o?uploadType=media", 400, "required"),
        ("POST", "/upload/storage/v1/b/none/o?uploadType=media&name=a", 404, "notFound"),
        ("POST", "/upload/storage/v1/b/b-1/o?uploadType=media&name=" + "n" * 1025, 400, "invalid"),
        ("POST", "/upload/storage/v1/b/b-1/o?uploadType=media&name=a%0Ab", 400, "invalid"),
        ("POST", "/upload/storage/v1/b/b-1/o?uploadType=multipart&name=a", 400, "invalid"),
        ("POST", "/storage/v1/b/b-1/o/c/compose", 400, "required"),
        ("POST", "/storage/v1/b/b-1/o/a/rewriteTo/b/b-1/o/c?maxBytesRewrittenPerCall=5", 400, "invalid"),
        ("POST", "/storage/v1/b/b-1/o/a/rewriteTo/b/none/o/c", 404, "notFound"),
        ("POST", "/storage/v1/b/b-1/o/a/restore?generation=1", 404, "notFound"),
    ],
)
async def test_refusals(client: Client, method: str, target: str, status: int, reason: str) -> None:
    """Errors are JSON, with the documented status and reason."""
    await client.put("a", b"1")
    replied, headers, body = await client.ask(method, target)

    assert (replied, headers["Content-Type"]) == (status, "application/json; charset=UTF-8"), body
    error = json.loads(body)["error"]
    assert error["code"] == status
    assert (error["errors"][0]["domain"], error["errors"][0]["reason"]) == ("global", reason)
    assert error["errors"][0]["message"] == error["message"]


async def test_refused_media_is_plain_text(client: Client) -> None:
    """The error for a request for content is the bare message."""
    status, headers, body = await client.ask("GET", "/storage/v1/b/b-1/o/none?alt=media")

    assert (status, headers["Content-Type"].partition(";")[0]) == (404, "text/html")
    assert body == b"No such object: b-1/none"


def target_of(name: str) -> str:
    return f"/storage/v1/b/b-1/o/{name}?alt=media"


async def test_not_modified(client: Client) -> None:
    """Reading an unchanged object, by generation, metageneration or ETag, is a 304 without a body."""
    made = await client.put("a", b"1")
    target = "/storage/v1/b/b-1/o/a?alt=media"

    for query, headers in (
        (f"&ifGenerationNotMatch={made['generation']}", {}),
        ("&ifMetagenerationNotMatch=1", {}),
        ("", {"If-None-Match": made["etag"]}),
    ):
        assert (await client.ask("GET", target + query, headers=headers))[::2] == (304, b"")
    assert (await client.ask("GET", target + "&ifGenerationNotMatch=1"))[0] == 200
    assert (await client.ask("GET", target, headers={"If-Match": '"x"'}))[0] == 412
    # The same holds for writes, which then change nothing.
    query = f"ifGenerationNotMatch={made['generation']}"
    assert (await client.ask("DELETE", f"/storage/v1/b/b-1/o/a?{query}"))[0] == 304
    # Both require a live generation.
    for number in (0, 1):
        target = f"/upload/storage/v1/b/b-1/o?uploadType=media&name=none&ifGenerationNotMatch={number}"
        assert (await client.ask("POST", target, data=b"1"))[0] == 304
    assert (await client.ask("GET", target_of("a")))[2] == b"1"
    assert (await client.ask("GET", target_of("none")))[0] == 404


async def test_generations_increase_and_metagenerations_restart(client: Client) -> None:
    """Each write increases the generation and resets the metageneration to 1; ETags change with both."""
    first = await client.put("a", b"1")
    changed = json.loads((await client.ask("PATCH", "/storage/v1/b/b-1/o/a", json={"contentType": "a/b"}))[2])
    second = await client.put("a", b"1")

    assert int(first["generation"]) < int(second["generation"])
    assert [one["metageneration"] for one in (first, changed, second)] == ["1", "2", "1"]
    assert len({one["etag"] for one in (first, changed, second)}) == 3
    assert second["contentType"] == "application/octet-stream"


@pytest.mark.parametrize(
    "name", [".", "..", "../a", "a/../b", "a//b", "/a", "a/", "%2e", "a?b#c", "a+b c", "\x01", "\\"]
)
async def test_awkward_names(client: Client, name: str) -> None:
    """A name is stored unchanged or refused; it is never normalized."""
    encoded = "".join(f"%{byte:02X}" for byte in name.encode())
    status, _, body = await client.ask("POST", f"/upload/storage/v1/b/b-1/o?uploadType=media&name={encoded}", data=b"1")
    if name in (".", ".."):
        assert status == 400
        return
    assert json.loads(body)["name"] == name
    assert (await client.ask("GET", f"/download/storage/v1/b/b-1/o/{encoded}?alt=media"))[2] == b"1"
    listed = json.loads((await client.ask("GET", "/storage/v1/b/b-1/o"))[2])
    assert [item["name"] for item in listed["items"]] == [name]


async def test_names_have_1024_bytes(client: Client) -> None:
    """The limit counts UTF-8 bytes, not characters."""
    assert (await client.put("n" * 1024, b""))["name"] == "n" * 1024
    status, _, _ = await client.ask("POST", "/upload/storage/v1/b/b-1/o?uploadType=media&name=" + "%C3%A9" * 513)
    assert status == 400


async def test_metadata_has_a_limit(client: Client) -> None:
    """Custom metadata is limited to 8 KiB, keys and values together."""
    await client.put("a", b"1")
    for size, expected in ((8191, 200), (8192, 400)):
        status, _, _ = await client.ask("PATCH", "/storage/v1/b/b-1/o/a", json={"metadata": {"k": "v" * size}})
        assert status == expected


async def test_encryption_keys_and_storage_classes(client: Client) -> None:
    """A KMS key name is kept and excludes a customer-supplied key; an unknown storage class is refused."""
    key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    assert (await client.put("a", b"1", f"&kmsKeyName={key}"))["kmsKeyName"] == key
    own = random_bytes(32)
    headers = {
        "x-goog-encryption-algorithm": "AES256",
        "x-goog-encryption-key": base64.b64encode(own).decode(),
        "x-goog-encryption-key-sha256": base64.b64encode(hashlib.sha256(own).digest()).decode(),
    }
    target = "/upload/storage/v1/b/b-1/o?uploadType=media&name=b"
    assert (await client.ask("POST", target, data=b"1", headers=headers))[0] == 200
    assert (await client.ask("POST", f"{target}&kmsKeyName={key}", data=b"1", headers=headers))[0] == 400
    for name, wrong in (("", "AES128"), ("-key", "c2hvcnQ="), ("-key-sha256", base64.b64encode(own).decode())):
        broken = {**headers, f"x-goog-encryption{name or '-algorithm'}": wrong}
        assert (await client.ask("POST", target, data=b"1", headers=broken))[0] == 400
    patch = {"storageClass": "LUKEWARM"}
    assert (await client.ask("PATCH", "/storage/v1/b/b-1/o/a", json=patch))[0] == 400


async def test_client_that_disconnects(client: Client, server: GCSServer, caplog: pytest.LogCaptureFixture) -> None:
    """An interrupted upload creates no object and logs no error."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    target = "/upload/storage/v1/b/b-1/o?uploadType=media&name=cut"
    writer.write(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc".encode())
    while not server.requests:
        await asyncio.sleep(0.01)
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.05)

    assert (await client.ask("GET", "/storage/v1/b/b-1/o/cut"))[0] == 404
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_update_replaces(client: Client) -> None:
    """PUT of a resource replaces all settable metadata and keeps the content."""
    await client.put("a", b"1")
    await client.ask("PATCH", "/storage/v1/b/b-1/o/a", json={"metadata": {"x": "y"}, "cacheControl": "no-store"})
    updated = json.loads((await client.ask("PUT", "/storage/v1/b/b-1/o/a", json={"contentType": "a/b"}))[2])

    assert (updated["contentType"], updated["metageneration"], updated["size"]) == ("a/b", "3", "1")
    assert not {"metadata", "cacheControl"} & set(updated)


async def test_partial_replies(client: Client) -> None:
    """``fields`` selects fields of the reply, at any depth."""
    for name in ("a", "b%2Fc"):
        await client.put(name, b"1")
    target = "/storage/v1/b/b-1/o?delimiter=%2F&fields=prefixes,items(name,size)"
    assert json.loads((await client.ask("GET", target))[2]) == {
        "prefixes": ["b/"],
        "items": [{"name": "a", "size": "1"}],
    }
    path = "/storage/v1/b/b-1/o?fields=items/name"
    assert json.loads((await client.ask("GET", path))[2]) == {"items": [{"name": "a"}, {"name": "b/c"}]}


async def test_multipart_body_that_contains_most_of_the_boundary(client: Client) -> None:
    """Content that resembles the boundary is still content."""
    data = b"\r\n--bound" + random_bytes(70_000) + b"\r\n--boundar\r\n--"
    head = b'--boundary\r\nContent-Type: application/json\r\n\r\n{"name": "m"}\r\n--boundary\r\n\r\n'
    headers = {"Content-Type": 'multipart/related; boundary="boundary"'}
    target = "/upload/storage/v1/b/b-1/o?uploadType=multipart"

    async def slowly() -> AsyncIterator[bytes]:
        whole = head + data + b"\r\n--boundary--"
        for start in range(0, len(whole), 1009):
            yield whole[start : start + 1009]

    status, _, body = await client.ask("POST", target, data=slowly(), headers=headers)
    assert status == 200, body
    assert (await client.ask("GET", "/b-1/m"))[2] == data
    cut = (head + data)[:500]
    assert (await client.ask("POST", target, data=cut, headers=headers))[0] == 400


async def test_batch_on_the_wire(client: Client) -> None:
    """A batch's reply has one part per request, with its Content-ID, status and body."""
    await client.put("a", b"1")
    parts = [
        ("1", "GET /storage/v1/b/b-1/o/a?fields=name HTTP/1.1\r\n\r\n"),
        ("2", "DELETE /storage/v1/b/b-1/o/none HTTP/1.1\r\n\r\n"),
        ("3", 'PATCH /storage/v1/b/b-1/o/a HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{"metadata": {"x": "y"}}'),
        ("4", "GET /storage/v1/b/b-1/o/a?alt=media HTTP/1.1\r\n\r\n"),
        ("5", "DELETE /storage/v1/b/b-1/o/a HTTP/1.1\r\n\r\n"),
    ]
    body = "".join(
        f"--limit\r\nContent-Type: application/http\r\nContent-ID: <x+{number}>\r\n\r\n{request}\r\n"
        for number, request in parts
    )
    headers = {"Content-Type": "multipart/mixed; boundary=limit"}
    status, replied, answer = await client.ask("POST", "/batch/storage/v1", data=body + "--limit--", headers=headers)

    assert status == 200
    head = Message()
    head["Content-Type"] = replied["Content-Type"]
    found = answer.decode().split(f"--{head.get_boundary()}")[1:-1]
    assert [part.partition("<")[2].partition(">")[0] for part in found] == [f"response-x+{n}" for n in range(1, 6)]
    assert [int(part.partition("HTTP/1.1 ")[2][:3]) for part in found] == [200, 404, 200, 400, 204]
    assert '{"name": "a"}' in found[0]
    assert '"notFound"' in found[1]


async def test_one_of_many_creates(client: Client) -> None:
    """Exactly one of many concurrent creates succeeds."""
    statuses: list[int] = []

    async def create(number: int) -> None:
        target = "/upload/storage/v1/b/b-1/o?uploadType=media&name=race&ifGenerationMatch=0"
        statuses.append((await client.ask("POST", target, data=b"%d" % number))[0])

    async with asyncio.TaskGroup() as group:
        for number in range(16):
            group.create_task(create(number))
    assert sorted(statuses) == [200] + [412] * 15


async def test_faults_and_requests(client: Client, server: GCSServer) -> None:
    """The server records requests, and fails those that a fault applies to."""
    fault = server.inject(Fault(status=503, method="POST", headers={"Retry-After": "1"}))
    target = "/upload/storage/v1/b/b-1/o?uploadType=media&name=a"
    assert (await client.ask("POST", target, data=b"1"))[0] == 503
    assert (await client.ask("POST", target, data=b"1"))[0] == 200

    assert fault.met == 1
    assert [one.path for one in server.requests] == [target, target]

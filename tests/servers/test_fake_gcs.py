"""
fake-gcs-server has each quirk that it is declared with.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.servers.gcs import GCSEndpoint, fresh_bucket


class Bucket:
    """An empty bucket, accessed with plain requests."""

    def __init__(self, session: aiohttp.ClientSession, url: str, name: str) -> None:
        self._session = session
        self._url = url
        self.name = name

    async def ask(self, method: str, path: str, **arguments: Any) -> tuple[int, bytes]:
        async with self._session.request(method, f"{self._url}{path}", **arguments) as reply:
            return reply.status, await reply.read()

    async def insert(self, name: str, data: bytes = b"data", **resource: Any) -> tuple[int, dict[str, Any]]:
        head = (
            f"--limit\r\nContent-Type: application/json\r\n\r\n{json.dumps(resource)}\r\n"
            "--limit\r\nContent-Type: x/y\r\n\r\n"
        )
        status, body = await self.ask(
            "POST",
            f"/upload/storage/v1/b/{self.name}/o?uploadType=multipart&name={quote(name, safe='')}",
            data=head.encode() + data + b"\r\n--limit--\r\n",
            headers={"Content-Type": "multipart/related; boundary=limit"},
        )
        return status, json.loads(body)

    def of(self, name: str) -> str:
        return f"/storage/v1/b/{self.name}/o/{quote(name, safe='')}"


@pytest.fixture
async def bucket(fake_gcs: GCSEndpoint) -> AsyncIterator[Bucket]:
    async with aiohttp.ClientSession() as session:
        yield Bucket(session, fake_gcs.url, fresh_bucket(fake_gcs))


async def test_conditions_ignored(bucket: Bucket) -> None:
    """A read and a deletion succeed although their condition fails."""
    await bucket.insert("k")

    assert (await bucket.ask("GET", f"{bucket.of('k')}?ifGenerationMatch=1"))[0] == 200
    assert (await bucket.ask("DELETE", f"{bucket.of('k')}?ifGenerationMatch=1"))[0] == 200


async def test_checksums_ignored(bucket: Bucket) -> None:
    """An insertion with the checksum of other bytes is stored."""
    status, found = await bucket.insert("k", crc32c="AAAAAA==")

    assert status == 200
    assert found["crc32c"] != "AAAAAA=="


async def test_signatures_ignored(bucket: Bucket) -> None:
    """A request with an invalid signature is answered."""
    await bucket.insert("k")

    assert await bucket.ask("GET", f"/{bucket.name}/k?X-Goog-Signature=00") == (200, b"data")


async def test_delimiter_of_one(bucket: Bucket) -> None:
    """A delimiter of three characters acts as one of one character."""
    await bucket.insert("1abcx")
    _, body = await bucket.ask("GET", f"/storage/v1/b/{bucket.name}/o?delimiter=abc")

    assert json.loads(body)["prefixes"] == ["1a"]


async def test_prefixes_uncounted(bucket: Bucket) -> None:
    """A page of one has two prefixes."""
    for name in ("a/1", "b/1"):
        await bucket.insert(name)
    _, body = await bucket.ask("GET", f"/storage/v1/b/{bucket.name}/o?delimiter=/&maxResults=1")

    assert len(json.loads(body)["prefixes"]) == 2


async def test_merged_copy(bucket: Bucket) -> None:
    """A copy with its own content type has the source's cache control."""
    await bucket.insert("k", cacheControl="no-store")
    _, body = await bucket.ask(
        "POST", f"{bucket.of('k')}/rewriteTo/b/{bucket.name}/o/copy", json={"contentType": "image/png"}
    )

    assert json.loads(body)["resource"]["cacheControl"] == "no-store"

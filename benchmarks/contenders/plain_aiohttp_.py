"""
The lower bound: aiohttp with the least code that still signs and transfers correctly.

It has no retries, no checksums and no helpful errors. The cost of a library is compared with this.
"""

import asyncio
import os
import ssl
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Target
from benchmarks.contenders.files import SmallFiles
from benchmarks.contenders.sigv4 import Signer
from benchmarks.inflight import for_each
from benchmarks.units import KiB, MiB

_NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


async def connect(target: Target) -> "PlainAiohttp":
    """Connect."""
    return PlainAiohttp(target, open_session(target))


def open_session(target: Target) -> aiohttp.ClientSession:
    """Open a session with a pool as large as the number of requests in flight."""
    tls: ssl.SSLContext | bool = ssl.create_default_context(cafile=target.ca) if target.ca else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=target.concurrency, ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60),
    )


class PlainAiohttp(SmallFiles):
    """One session and one signer."""

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        super().__init__(target.concurrency)
        self._session = session
        self._bucket = f"/{target.bucket}"
        self._endpoint = target.endpoint
        host = target.endpoint.partition("://")[2]
        self._signer = Signer(host, target.access_key, target.secret_key, target.region)

    def _request(
        self, method: str, key: str, query: str = "", data: object = None, headers: dict[str, str] | None = None
    ) -> "aiohttp.client._RequestContextManager":
        path = f"{self._bucket}/{key}" if key else self._bucket
        url = f"{self._endpoint}{path}?{query}" if query else f"{self._endpoint}{path}"
        signed = self._signer.headers(method, path, query)
        if headers:
            signed |= headers
        return self._session.request(
            method, URL(url, encoded=True), data=data, headers=signed, allow_redirects=False, raise_for_status=True
        )

    async def get(self, key: str) -> bytes:
        async with self._request("GET", key) as reply:
            return await reply.read()

    async def put(self, key: str, data: bytes) -> None:
        async with self._request("PUT", key, data=data):
            pass

    async def download(self, key: str, path: Path) -> None:
        async with self._request("HEAD", key) as reply:
            size, etag = int(reply.headers["Content-Length"]), reply.headers["ETag"]
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:

            async def part(start: int) -> None:
                await self._download_part(key, file, start, min(start + PART_SIZE, size), etag)

            await for_each(range(0, size, PART_SIZE), part, in_flight=PARTS_IN_FLIGHT)
        finally:
            os.close(file)

    async def _download_part(self, key: str, file: int, start: int, end: int, etag: str) -> None:
        headers = {"Range": f"bytes={start}-{end - 1}", "If-Match": etag}
        async with self._request("GET", key, headers=headers) as reply:
            chunks: list[bytes] = []
            size = 0
            async for chunk in reply.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size >= MiB:
                    await asyncio.to_thread(os.pwritev, file, chunks, start)
                    start += size
                    chunks, size = [], 0
            await asyncio.to_thread(os.pwritev, file, chunks, start)

    async def upload(self, path: Path, key: str) -> None:
        async with self._request("POST", key, "uploads=") as reply:
            upload_id = _text(ET.fromstring(await reply.read()), "UploadId")
        size = path.stat().st_size
        etags: dict[int, str] = {}
        file = os.open(path, os.O_RDONLY)
        try:

            async def part(number: int) -> None:
                start = (number - 1) * PART_SIZE
                body = FilePart(file, start, min(PART_SIZE, size - start))
                query = f"partNumber={number}&uploadId={upload_id}"
                async with self._request("PUT", key, query, data=body) as reply:
                    etags[number] = reply.headers["ETag"]

            await for_each(range(1, -(-size // PART_SIZE) + 1), part, in_flight=PARTS_IN_FLIGHT)
        finally:
            os.close(file)
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etags[number]}</ETag></Part>" for number in sorted(etags)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        async with self._request("POST", key, f"uploadId={upload_id}", data=body) as reply:
            await reply.read()

    async def list(self, prefix: str) -> int:
        total, token = 0, ""
        while True:
            start = f"continuation-token={quote(token, safe='')}&" if token else ""
            query = f"{start}list-type=2&prefix={quote(prefix, safe='')}"
            async with self._request("GET", "", query) as reply:
                page = ET.fromstring(await reply.read())
            total += len([_entry(found) for found in page.iterfind(f"{_NS}Contents")])
            token = _text(page, "NextContinuationToken")
            if not token:
                return total

    async def aclose(self) -> None:
        await self._session.close()


class FilePart(aiohttp.Payload):
    """
    Part of a file, read 1 MiB ahead of what is sent.

    The transport copies what it cannot send at once, so it gets small pieces. With a whole
    part at a time it would copy 16 MiB, over TLS twice.
    """

    _READ = MiB
    _WRITE = 128 * KiB

    def __init__(self, file: int, start: int, size: int) -> None:
        super().__init__(None, content_type="application/octet-stream")
        self._file, self._start, self._size = file, start, size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a part of a file is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        loop = asyncio.get_running_loop()
        end = self._start + (self._size or 0)
        ahead = loop.run_in_executor(None, os.pread, self._file, self._READ, self._start)
        for start in range(self._start, end, self._READ):
            data = memoryview(await ahead)[: end - start]
            if start + self._READ < end:
                ahead = loop.run_in_executor(None, os.pread, self._file, self._READ, start + self._READ)
            for offset in range(0, len(data), self._WRITE):
                await writer.write(data[offset : offset + self._WRITE])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)


def _entry(found: ET.Element) -> tuple[str, int, str, str]:
    return _text(found, "Key"), int(_text(found, "Size")), _text(found, "ETag"), _text(found, "LastModified")


def _text(parent: ET.Element, name: str) -> str:
    return parent.findtext(_NS + name) or ""

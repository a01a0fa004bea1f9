"""
A small S3 server in memory that deviates from S3 as a test tells it to.

It checks no signatures. What it does not deviate in is what asyncstore's verbs need of S3.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from aiohttp import web

from asyncstore import MiB, Storage, open_storage

_CHECKSUMS = "x-amz-checksum-"


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def refusal(status: int, code: str, message: str = "Words.") -> web.Response:
    text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


def document(root: str, content: str, **headers: str) -> web.Response:
    return web.Response(text=f"<{root}>{content}</{root}>", content_type="application/xml", headers=headers)


@dataclass
class LooseS3:
    """
    A server with one bucket.

    Attributes:
        refuse: Returns the reply to a request that the server does not understand.
        conditions: Whether writes, deletions and copies check their conditions.
        checksums: Whether it keeps and answers checksums.
        etag: Returns the ETag of the bytes of an object or part.
        roots: Other names of root elements.
        versions: The versions of listings that it has.
        wrong_at: The operation that answers with a checksum of other bytes: put, part, complete or copy.
    """

    refuse: Callable[[web.Request], web.Response | None] = lambda _: None
    conditions: bool = True
    checksums: bool = True
    etag: Callable[[bytes], str] = md5
    roots: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[int, ...] = (1, 2)
    wrong_at: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[int, bytes] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    requests: list[web.Request] = field(default_factory=list)
    page_size: int = 1000
    extra_headers: dict[str, str] = field(default_factory=dict)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        op = self._op(request)
        self.calls[op] += 1
        self.requests.append(request)
        body = await request.read()
        refused = self.refuse(request)
        if refused is not None:
            return refused
        key = request.path.removeprefix("/bucket").removeprefix("/")
        if self.conditions and op in ("put", "copy", "complete", "delete") and not self._holds(request, key):
            return refusal(412, "PreconditionFailed")
        handler: Callable[..., web.StreamResponse] = getattr(self, f"_{op}")
        return handler(request, key, body)

    def _op(self, request: web.Request) -> str:
        query, method = request.query, request.method
        if method == "POST":
            return "initiate" if "uploads" in query else "complete" if "uploadId" in query else "batch"
        if method == "DELETE":
            return "abort" if "uploadId" in query else "delete"
        if method == "PUT":
            return "part" if "partNumber" in query else "copy" if "x-amz-copy-source" in request.headers else "put"
        if request.path.strip("/") == "bucket":
            return "uploads" if "uploads" in query else "list"
        return "parts" if "uploadId" in query else "head" if method == "HEAD" else "get"

    def _holds(self, request: web.Request, key: str) -> bool:
        wanted, exists = request.headers.get("If-Match"), key in self.objects
        if request.headers.get("If-None-Match") == "*":
            return not exists
        return wanted is None or (exists and wanted.strip('"') in ("*", self.etag(self.objects[key])))

    def _headers(self, op: str, data: bytes) -> dict[str, str]:
        headers = {"ETag": f'"{self.etag(data)}"', **self.extra_headers}
        if self.checksums:
            headers[f"{_CHECKSUMS}crc32"] = crc32(b"other" if op == self.wrong_at else data)
        return headers

    def _put(self, request: web.Request, key: str, body: bytes) -> web.Response:
        self.objects[key] = body
        return web.Response(headers=self._headers("put", body))

    def _get(self, request: web.Request, key: str, body: bytes) -> web.Response:
        if key not in self.objects:
            return refusal(404, "NoSuchKey")
        return web.Response(body=self.objects[key], headers=self._headers("get", self.objects[key]))

    def _head(self, request: web.Request, key: str, body: bytes) -> web.Response:
        return self._get(request, key, body) if key in self.objects else web.Response(status=404)

    def _delete(self, request: web.Request, key: str, body: bytes) -> web.Response:
        self.objects.pop(key, None)
        return web.Response(status=204)

    def _copy(self, request: web.Request, key: str, body: bytes) -> web.Response:
        source = request.headers["x-amz-copy-source"].removeprefix("/bucket/")
        self.objects[key] = self.objects[source]
        stored = crc32(b"other" if self.wrong_at == "copy" else self.objects[key])
        told = f"<ChecksumCRC32>{stored}</ChecksumCRC32>" if self.checksums else ""
        return document("CopyObjectResult", f"<ETag>{self.etag(self.objects[key])}</ETag>{told}")

    def _initiate(self, request: web.Request, key: str, body: bytes) -> web.Response:
        return self._document("InitiateMultipartUploadResult", "<UploadId>u1</UploadId>")

    def _part(self, request: web.Request, key: str, body: bytes) -> web.Response:
        self.parts[int(request.query["partNumber"])] = body
        return web.Response(headers=self._headers("part", body))

    def _complete(self, request: web.Request, key: str, body: bytes) -> web.Response:
        whole = self.objects[key] = b"".join(self.parts[number] for number in sorted(self.parts))
        stored = crc32(b"other" if self.wrong_at == "complete" else whole)
        told = f"<ChecksumCRC32>{stored}</ChecksumCRC32>" if self.checksums else ""
        return self._document("CompleteMultipartUploadResult", f"<ETag>&quot;{md5(whole)}-2&quot;</ETag>{told}")

    def _abort(self, request: web.Request, key: str, body: bytes) -> web.Response:
        self.parts.clear()
        return web.Response(status=204)

    def _parts(self, request: web.Request, key: str, body: bytes) -> web.Response:
        rows = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>{self.etag(data)}</ETag><Size>{len(data)}</Size></Part>"
            for n, data in sorted(self.parts.items())
        )
        return self._document("ListPartsResult", f"<IsTruncated>false</IsTruncated>{rows}")

    def _uploads(self, request: web.Request, key: str, body: bytes) -> web.Response:
        return self._document("ListMultipartUploadsResult", "<IsTruncated>false</IsTruncated>")

    def _batch(self, request: web.Request, key: str, body: bytes) -> web.Response:
        for found in ET.fromstring(body).iter("{http://s3.amazonaws.com/doc/2006-03-01/}Key"):
            self.objects.pop(found.text or "", None)
        return self._document("DeleteResult", "")

    def _list(self, request: web.Request, key: str, body: bytes) -> web.Response:
        query = request.query
        version = 2 if query.get("list-type") == "2" and 2 in self.versions else 1
        names = ("continuation-token", "start-after") if version == 2 else ("marker",)
        after = next((query[name] for name in names if name in query), "")
        found = [key for key in sorted(self.objects) if key.startswith(query.get("prefix", "")) and key > after]
        page, more = found[: self.page_size], len(found) > self.page_size
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key])}</Size></Contents>" for key in page
        )
        facts = f"<KeyCount>{len(page)}</KeyCount>" if version == 2 else f"<Marker>{escape(after)}</Marker>"
        if more and version == 2:
            facts += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        return self._document("ListBucketResult", f"<IsTruncated>{str(more).lower()}</IsTruncated>{facts}{rows}")

    def _document(self, root: str, content: str) -> web.Response:
        return document(self.roots.get(root, root), content)


@asynccontextmanager
async def serving(server: LooseS3) -> AsyncIterator[LooseS3]:
    """
    Run *server* on loopback.
    """
    app = web.Application(client_max_size=64 * MiB)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def loose_s3(server: LooseS3, **settings: Any) -> AsyncIterator[Storage]:
    """
    Run *server*, and open a storage on its bucket.
    """
    keys: dict[str, Any] = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret", "region": "us-east-1"}
    async with (
        serving(server),
        open_storage(
            "s3://bucket", endpoint_url=server.url, attempts=2, initial_backoff=0.001, **keys, **settings
        ) as storage,
    ):
        yield storage

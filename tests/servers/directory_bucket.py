"""
A stand-in for one directory bucket of S3 Express One Zone, with its sessions and its limits.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-express-differences.html
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from aiohttp import web
from aiohttp.test_utils import TestServer

from asyncstore.auth.aws.sigv4 import SESSION_TOKEN, AWSKeys
from tests.auth.aws.sigv4_check import is_signed_by, scope

BUCKET = "models--use1-az4--x-s3"
KEYS = AWSKeys("AKIATEST", "not-a-secret", "not-a-token")

_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class DirectoryBucket:
    """
    Attributes:
        sessions: The keys of all sessions that were created.
        expired: Access key ids that are rejected as expired.
        lifetime: Seconds that a session lasts.
        listed: The queries of all listings.
        page: Entries of one page.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.sessions: list[AWSKeys] = []
        self.session_headers: list[dict[str, str]] = []
        self.expired: set[str] = set()
        self.lifetime = 300.0
        self.listed: list[dict[str, str]] = []
        self.page = 2
        self.requests = 0
        self._parts: dict[int, bytes] = {}

    async def __call__(self, request: web.Request) -> web.Response:
        self.requests += 1
        if scope(request) != "us-east-1/s3express":
            return _error(403, "SignatureDoesNotMatch")
        if "session" in request.query:
            return await self._create_session(request)
        if "X-Amz-Security-Token" in request.headers or not self.sessions:
            return _error(403, "AccessDenied")
        keys = self.sessions[-1]
        if keys.access_key_id in self.expired or keys.access_key_id not in request.headers["Authorization"]:
            return _error(400, "ExpiredToken")
        if not await is_signed_by(request, keys):
            return _error(403, "SignatureDoesNotMatch")
        key = unquote(request.raw_path.partition("?")[0]).removeprefix(f"/{BUCKET}").removeprefix("/")
        return await (self._of_object(request, key) if key else self._of_bucket(request))

    async def _create_session(self, request: web.Request) -> web.Response:
        if not await is_signed_by(request, KEYS):
            return _error(403, "SignatureDoesNotMatch")
        self.session_headers.append({name.lower(): value for name, value in request.headers.items()})
        number = len(self.sessions) + 1
        keys = AWSKeys(f"SESSION{number}", f"not-a-secret-{number}", f"not-a-token-{number}", SESSION_TOKEN)
        self.sessions.append(keys)
        end = (datetime.now(UTC) + timedelta(seconds=self.lifetime)).isoformat()
        fields = {
            "SessionToken": keys.session_token,
            "SecretAccessKey": keys.secret_access_key,
            "AccessKeyId": keys.access_key_id,
            "Expiration": end,
        }
        content = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        return _document("CreateSessionResult", f"<Credentials>{content}</Credentials>")

    async def _of_bucket(self, request: web.Request) -> web.Response:
        if request.method == "POST" and "delete" in request.query:
            return await self._delete_many(request)
        query = dict(request.query)
        self.listed.append(query)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        if "versions" in query or "start-after" in query or (prefix and not prefix.endswith("/")):
            return _error(400, "InvalidRequest")
        if delimiter not in (None, "/"):
            return _error(501, "NotImplemented")
        # Neither in the order of keys nor in that of writes.
        below = sorted((key for key in self.objects if key.startswith(prefix)), key=lambda key: (len(key), key[::-1]))
        rows: dict[str, str] = {}
        for key in below:
            rest = key[len(prefix) :]
            if delimiter and "/" in rest:
                common = prefix + rest[: rest.index("/") + 1]
                rows[common] = f"<CommonPrefixes><Prefix>{common}</Prefix></CommonPrefixes>"
            else:
                rows[key] = (
                    f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                    f"<ETag>&quot;e&quot;</ETag><Size>{len(self.objects[key])}</Size>"
                    "<StorageClass>EXPRESS_ONEZONE</StorageClass></Contents>"
                )
        start = int(query.get("continuation-token", 0))
        content = "".join(list(rows.values())[start : start + self.page])
        more = start + self.page < len(rows)
        token = f"<NextContinuationToken>{start + self.page}</NextContinuationToken>" if more else ""
        return _document("ListBucketResult", f"{content}<IsTruncated>{str(more).lower()}</IsTruncated>{token}")

    async def _delete_many(self, request: web.Request) -> web.Response:
        body = await request.read()
        crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        if "Content-MD5" in request.headers or request.headers.get("x-amz-checksum-crc32") != crc:
            return _error(400, "InvalidRequest")
        for element in ET.fromstring(body).iter(f"{_NAMESPACE}Key"):
            self.objects.pop(element.text or "", None)
        return _document("DeleteResult", "")

    async def _of_object(self, request: web.Request, key: str) -> web.Response:
        if "tagging" in request.query or "versionId" in request.query:
            return _error(501, "NotImplemented")
        method, query = request.method, request.query
        if method == "POST" and "uploads" in query:
            self._parts = {}
            return _document("InitiateMultipartUploadResult", "<UploadId>u</UploadId>")
        if method == "PUT" and "partNumber" in query:
            self._parts[int(query["partNumber"])] = await request.read()
            return web.Response(headers={"ETag": '"p"'})
        if method == "POST":
            # Without a gap, which other buckets allow.
            assert sorted(self._parts) == list(range(1, len(self._parts) + 1))
            self.objects[key] = b"".join(self._parts[number] for number in sorted(self._parts))
            return _document("CompleteMultipartUploadResult", "<ETag>&quot;whole&quot;</ETag>")
        if method == "PUT" and (source := request.headers.get("x-amz-copy-source")):
            self.objects[key] = self.objects[unquote(source).removeprefix(f"/{BUCKET}/")]
            return _document("CopyObjectResult", "<ETag>&quot;e&quot;</ETag>")
        if method == "PUT":
            if request.headers.get("If-None-Match") == "*" and key in self.objects:
                return _error(412, "PreconditionFailed")
            self.objects[key] = await request.read()
            return web.Response(headers={"ETag": f'"{hashlib.sha256(self.objects[key]).hexdigest()[:32]}"'})
        if method == "DELETE":
            self.objects.pop(key, None)
            return web.Response(status=204)
        if key not in self.objects:
            return _error(404, "NoSuchKey")
        return web.Response(body=self.objects[key], headers={"ETag": '"e"'})


@asynccontextmanager
async def serving_bucket(bucket: DirectoryBucket) -> AsyncIterator[str]:
    """Serve *bucket* on loopback; yields the URL."""

    # aiohttp accepts only functions.
    async def handle(request: web.Request) -> web.Response:
        return await bucket(request)

    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/")).rstrip("/")
    finally:
        await server.close()


def _document(tag: str, content: str) -> web.Response:
    text = f'<{tag} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{content}</{tag}>'
    return web.Response(text=text, content_type="application/xml")


def _error(status: int, code: str) -> web.Response:
    text = f"<Error><Code>{code}</Code><Message>Words.</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")

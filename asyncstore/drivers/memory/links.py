"""
Presigned URLs of memory: a small HTTP server of this process, on loopback, serves them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import anyio

from asyncstore.checksum import compute
from asyncstore.driver.body import BytesBody
from asyncstore.driver.presigning import expiry_of_url, form_fields
from asyncstore.drivers.memory.forms import check_form, read_form
from asyncstore.errors import AlreadyExistsError, NotFoundError, RangeNotSatisfiableError, StorageError
from asyncstore.options import (
    PLAIN_PRESIGN,
    ByteRange,
    DeleteOptions,
    PostOptions,
    PresignOptions,
    ReadOptions,
    WriteOptions,
)
from asyncstore.types import ChecksumAlgorithm, PresignedPost, PresignedURL
from asyncstore.uri import ObjectURI

if TYPE_CHECKING:
    from aiohttp import web

    from asyncstore.drivers.memory.driver import MemoryDriver

_HEADERS: Final = {
    "content_type": "Content-Type",
    "content_encoding": "Content-Encoding",
    "content_language": "Content-Language",
    "content_disposition": "Content-Disposition",
    "cache_control": "Cache-Control",
}
_CHECKSUM: Final = "X-Checksum-"
_STATUS: Final[dict[type[StorageError], int]] = {
    NotFoundError: 404,
    RangeNotSatisfiableError: 416,
    AlreadyExistsError: 412,
}


class LinkServer:
    """
    Signs URLs for the objects of one storage, and serves them until it is closed.
    """

    def __init__(self, driver: MemoryDriver, root: ObjectURI) -> None:
        self._driver = driver
        self._root = root
        self._secret = secrets.token_bytes(32)
        self._runner: web.ServerRunner | None = None
        self._origin = ""
        self._starting = anyio.Lock()

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        """
        Return a URL for *method* on the object; the first one starts the server.
        """
        await self._started()
        path = f"/{uri.bucket}/{'/'.join(map(_encoded, uri.key.split('/')))}"
        ends = expiry_of_url(time.time(), expires)
        headers = _demanded_headers(options)
        pairs = [("expires", str(int(ends.timestamp()))), *_demanded_query(options)]
        pairs += [(f"header-{name}", value) for name, value in headers.items()]
        pairs.append(("signature", self._signature(method, path, pairs)))
        url = f"{self._origin}{path}?{urlencode(pairs, quote_via=quote)}"
        return PresignedURL(url, ends, headers)

    async def sign_post(self, uri: ObjectURI, expires: timedelta, options: PostOptions) -> PresignedPost:
        """
        Return a form for *uri*.
        """
        await self._started()
        ends = expiry_of_url(time.time(), expires)
        fields = form_fields(uri, options, {}, ends)
        fields["signature"] = self._code(fields["policy"])
        return PresignedPost(url=f"{self._origin}/{uri.bucket}/", fields=fields, expires_at=ends)

    async def aclose(self) -> None:
        """
        Stop the server.
        """
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _started(self) -> None:
        async with self._starting:
            if self._runner is None:
                await self._start()

    async def _start(self) -> None:
        # Imported here: only programs that sign need a server.
        from aiohttp import web

        runner = web.ServerRunner(web.Server(self._handle), access_log=None, shutdown_timeout=1.0)
        try:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._origin = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def _signature(self, method: str, path: str, pairs: list[tuple[str, str]]) -> str:
        # Of what is decoded, since clients encode in ways of their own.
        return self._code(f"{method}\n{unquote(path)}\n{urlencode(pairs)}")

    def _code(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        from aiohttp import web

        if request.method == "POST":
            return await self._post(request)
        path, _, query = request.raw_path.partition("?")
        pairs = parse_qsl(query)
        demanded = dict(pairs)
        signed = [pair for pair in pairs if pair[0] != "signature"]
        signature = demanded.get("signature", "")
        # A URL for GET allows HEAD, as on the clouds that sign so.
        methods = {request.method, "GET"} if request.method == "HEAD" else {request.method}
        if not any(
            hmac.compare_digest(signature.encode(), self._signature(method, path, signed).encode())
            for method in methods
        ):
            return web.Response(status=403, text="the signature does not match the method, path and query")
        if float(demanded["expires"]) <= time.time():
            return web.Response(status=403, text="the URL has expired")
        for name, value in demanded.items():
            header = name.removeprefix("header-")
            if header != name and request.headers.get(header) != value:
                return web.Response(status=403, text=f"the request must have the header {header}: {value}")
        answer: Callable[[ObjectURI, web.BaseRequest, Mapping[str, str]], Awaitable[web.Response]] | None
        answer = {"GET": self._get, "HEAD": self._get, "PUT": self._put, "DELETE": self._delete}.get(request.method)
        if answer is None:
            return web.Response(status=405)
        bucket, _, key = unquote(path)[1:].partition("/")
        try:
            return await answer(ObjectURI(self._root.provider, bucket, key), request, demanded)
        except StorageError as exc:
            return web.Response(status=_STATUS.get(type(exc), 400), text=str(exc))

    async def _get(self, uri: ObjectURI, request: web.BaseRequest, demanded: Mapping[str, str]) -> web.Response:
        from aiohttp import web

        wanted = _range(request)
        options = ReadOptions(range=wanted, version_id=demanded.get("version"))
        body = await self._driver.open_read(uri, options)
        info = body.info
        headers = {header: value for name, header in _HEADERS.items() if (value := getattr(info, name)) is not None}
        headers |= {f"X-Meta-{name}": quote(value) for name, value in info.metadata.items()}
        headers |= {"ETag": f'"{info.etag}"', "Accept-Ranges": "bytes"}
        if info.last_modified is not None:
            headers["Last-Modified"] = format_datetime(info.last_modified, usegmt=True)
        if wanted is not None:
            headers["Content-Range"] = f"bytes {body.start}-{body.end - 1}/{info.size}"
        for header in _HEADERS.values():
            if (value := demanded.get(f"response-{header.lower()}")) is not None:
                headers[header] = value
        return web.Response(body=await body.read(), status=200 if wanted is None else 206, headers=headers)

    async def _put(self, uri: ObjectURI, request: web.BaseRequest, demanded: Mapping[str, str]) -> web.Response:
        from aiohttp import web

        # request.read() takes 1 MiB at most.
        data = await request.content.read()
        for algorithm in ChecksumAlgorithm:
            text = request.headers.get(f"{_CHECKSUM}{algorithm}")
            if text is not None and compute(algorithm, data).base64() != text:
                return web.Response(status=400, text=f"the bytes do not have the {algorithm} that the request has")
        if "upload" in demanded:
            number = int(demanded["part"])
            part = await self._driver.upload_part(uri, demanded["upload"], number, BytesBody(data), WriteOptions())
            return web.Response(headers={"ETag": f'"{part.etag}"'})
        stored: dict[str, Any] = {name: request.headers.get(header) for name, header in _HEADERS.items()}
        stored["if_none_match"] = "*" if request.headers.get("If-None-Match") == "*" else None
        info = await self._driver.put(uri, BytesBody(data), WriteOptions(**stored))
        return web.Response(headers={"ETag": f'"{info.etag}"'})

    async def _post(self, request: web.BaseRequest) -> web.Response:
        from aiohttp import web

        try:
            form = await read_form(request)
        except ValueError as exc:
            return web.Response(status=400, text=str(exc))
        fields = form.fields
        expected = self._code(fields.get("policy", ""))
        if not hmac.compare_digest(fields.get("signature", "").encode(), expected.encode()):
            return web.Response(status=403, text="the signature does not match the policy")
        bucket = unquote(request.path).strip("/")
        if (reason := check_form(form, bucket)) is not None:
            return web.Response(status=403, text=reason)
        uri = ObjectURI(self._root.provider, bucket, fields["key"])
        try:
            info = await self._driver.put(
                uri, BytesBody(form.data), WriteOptions(content_type=fields.get("Content-Type"))
            )
        except StorageError as exc:
            return web.Response(status=400, text=str(exc))
        return web.Response(status=204, headers={"ETag": f'"{info.etag}"'})

    async def _delete(self, uri: ObjectURI, request: web.BaseRequest, demanded: Mapping[str, str]) -> web.Response:
        from aiohttp import web

        await self._driver.delete(uri, DeleteOptions(version_id=demanded.get("version")))
        return web.Response(status=204)


def _demanded_query(options: PresignOptions) -> list[tuple[str, str]]:
    pairs = [(f"response-{name}", value) for name, value in options.response_headers().items()]
    if options.version_id is not None:
        pairs.append(("version", options.version_id))
    if options.upload_id is not None:
        pairs += [("upload", options.upload_id), ("part", str(options.part_number))]
    return pairs


def _demanded_headers(options: PresignOptions) -> dict[str, str]:
    headers = {}
    if options.content_type is not None:
        headers["Content-Type"] = options.content_type
    if options.checksum is not None:
        headers[f"{_CHECKSUM}{options.checksum.algorithm}"] = options.checksum.base64()
    if options.if_none_match is not None:
        headers["If-None-Match"] = options.if_none_match
    if options.range is not None:
        headers["Range"] = options.range.header()
    return headers


def _encoded(segment: str) -> str:
    # Clients remove segments of dots from a path.
    return segment.replace(".", "%2E") if segment in (".", "..") else quote(segment, safe="")


def _range(request: web.BaseRequest) -> ByteRange | None:
    try:
        wanted = request.http_range
    except ValueError:
        # A range that cannot be read is ignored, says RFC 9110.
        return None
    if wanted.start is None and wanted.stop is None:
        return None
    return ByteRange(wanted.start or 0, wanted.stop)

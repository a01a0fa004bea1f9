"""
The second origin, which serves assets: it accepts signed links, and no tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import ssl
import time
from typing import Final
from urllib.parse import quote, urlencode

from aiohttp import web
from yarl import URL

from asyncstore.testing.servers.github.store import Asset, Content
from asyncstore.testing.servers.stand_in import StandIn

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


class AssetHost(StandIn):
    """
    Serves assets through signed links that expire.

    Attributes:
        host: The host name in links.
        link_ttl: Lifetime of a link, in seconds.
        link_port: The port in links, if they lead to a proxy.
    """

    def __init__(self, *, host: str, link_ttl: float, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.host = host
        self.link_ttl = link_ttl
        self.link_port: int | None = None
        self._key = secrets.token_bytes(32)
        self._contents: dict[int, Content] = {}

    def link(self, asset: Asset) -> str:
        """
        Return a signed link to the current bytes of *asset*.
        """
        self._contents[asset.id] = asset.content
        path = f"/github-production-release-asset/{asset.id}"
        query = {
            "se": repr(time.time() + self.link_ttl),
            "rscd": f"attachment; filename={asset.name}",
            "rsct": asset.content_type,
        }
        query["sig"] = self._signature(path, query)
        scheme, port = "https" if self._tls else "http", self.link_port or self.port
        return f"{scheme}://{self.host}:{port}{path}?{urlencode(query, quote_via=quote)}"

    def expire_links(self) -> None:
        """
        Invalidate all links issued so far.
        """
        self._key = secrets.token_bytes(32)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Answer a GET or HEAD that has a valid link and no credentials.
        """
        url = URL(request.raw_path, encoded=True)
        query = dict(url.query)
        if "authorization" in request.headers:
            return _error(400, "InvalidArgument", "Only one auth mechanism allowed")
        signature = query.pop("sig", "")
        if not hmac.compare_digest(signature, self._signature(url.path, query)):
            return _error(403, "AuthenticationFailed", "Signature did not match")
        if float(query["se"]) <= time.time():
            return _error(403, "AuthenticationFailed", "Signature not valid in the specified time frame")
        content = self._contents.get(int(url.name))
        if content is None:
            return _error(404, "BlobNotFound", "The specified blob does not exist.")
        if request.method not in ("GET", "HEAD"):
            return _error(405, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.")
        return await _send(request, content, query)

    def forget(self, asset: Asset) -> None:
        """
        Drop the bytes of a deleted asset. Its links answer 404 from now on.
        """
        self._contents.pop(asset.id, None)

    def _signature(self, path: str, query: dict[str, str]) -> str:
        text = path + "\n" + urlencode(sorted(query.items()))
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


async def _send(request: web.BaseRequest, content: Content, query: dict[str, str]) -> web.StreamResponse:
    size = content.size
    start, end, status = 0, size, 200
    if match := _RANGE.fullmatch(request.headers.get("Range", "")):
        start, end, status = _resolve(match.group(1), match.group(2), size)
    if status == 416:
        reply = _error(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
        reply.headers["Content-Range"] = f"bytes */{size}"
        return reply
    response = web.StreamResponse(status=status)
    response.headers["Content-Type"] = query.get("rsct", "application/octet-stream")
    response.headers["Content-Disposition"] = query.get("rscd", "attachment")
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = f'"0x{content.digest()[7:22].upper()}"'
    if status == 206:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response.content_length = end - start
    await response.prepare(request)
    if request.method == "GET":
        async for piece in content.pieces(start, end):
            await response.write(piece)
    await response.write_eof()
    return response


def _resolve(first: str, last: str, size: int) -> tuple[int, int, int]:
    if not first:
        wanted = int(last) if last else 0
        return (0, 0, 416) if not wanted or not size else (max(0, size - wanted), size, 206)
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    return (start, end, 206) if start < size and start < end else (0, 0, 416)


def _error(status: int, code: str, message: str) -> web.Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return web.Response(status=status, body=body.encode(), headers={"Content-Type": "application/xml"})

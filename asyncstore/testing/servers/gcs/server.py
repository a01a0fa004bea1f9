"""
The server: a request becomes a call, its answer a reply.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Final, cast

from aiohttp import web
from multidict import CIMultiDict

from asyncstore.testing.servers.gcs import json_routes, xml_routes
from asyncstore.testing.servers.gcs.calls import Body, Call, Reply
from asyncstore.testing.servers.gcs.errors import ServiceError
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.world import Bucket, World
from asyncstore.testing.servers.stand_in import StandIn

#: Bytes up to which a reply's head and body are sent as one.
_SMALL: Final = 64 * 1024


class GCSServer(StandIn):
    """
    Google Cloud Storage on loopback: the JSON and the XML API, and what issues tokens for them.

    Attributes:
        world: The buckets, and all that is under way.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        buckets: Iterable[str] = (),
        settings: Settings | None = None,
    ) -> None:
        super().__init__(port=port, tls=tls)
        self.settings = settings or Settings()
        self.world = World(self.settings)
        for name in buckets:
            self.create_bucket(name)

    def create_bucket(self, name: str, **resource: Any) -> Bucket:
        """
        Create a bucket.

        Args:
            resource: Its settings, by the JSON API's names, e.g. ``versioning={"enabled": True}``,
                ``softDeletePolicy={"retentionDurationSeconds": "604800"}`` or
                ``billing={"requesterPays": True}``.
        """
        return self.world.add_bucket(name, resource)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Answer one request.
        """
        path, _, query = request.raw_path.partition("?")
        try:
            call = _call(request, path, query)
            reply = await self._dispatch(call)
        except ServiceError as refusal:
            reply = _refused(refusal, path, query)
        return await _send(request, reply)

    async def _dispatch(self, call: Call) -> Reply:
        return await json_routes.answer(self.world, call) or await xml_routes.answer(self.world, call)


def _call(request: web.BaseRequest, path: str, query: str) -> Call:
    headers = {name.lower(): value for name, value in request.headers.items()}
    base_url = f"{request.scheme}://{request.host}"
    return Call(request.method, path, query, headers, cast(Body, request.content), base_url)


def _refused(refusal: ServiceError, path: str, query: str) -> Reply:
    headers = dict(refusal.headers)
    if refusal.status == 304:
        return Reply(304, headers)
    if not path.startswith(("/storage/v1/", "/download/", "/upload/", "/resumable/", "/batch/")):
        return Reply(refusal.status, {"Content-Type": "application/xml; charset=UTF-8", **headers}, refusal.as_xml())
    if "alt=media" in query or path.startswith("/download/"):
        return Reply(refusal.status, {"Content-Type": "text/html; charset=UTF-8", **headers}, refusal.as_text())
    return Reply(refusal.status, {"Content-Type": "application/json; charset=UTF-8", **headers}, refusal.as_json())


async def _send(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    headers = CIMultiDict(reply.headers)
    content = reply.content
    if content is None:
        return web.Response(status=reply.status, headers=headers, body=reply.body)
    size = reply.stop - reply.start
    if size <= _SMALL and request.method != "HEAD":
        body = b"".join(content.slices(reply.start, reply.stop))
        return web.Response(status=reply.status, headers=headers, body=body)
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = size
    await response.prepare(request)
    if request.method != "HEAD":
        for piece in content.slices(reply.start, reply.stop):
            await response.write(piece)
    await response.write_eof()
    return response

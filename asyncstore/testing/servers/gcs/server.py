"""
The server: turns requests into calls, and sends the replies.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from aiohttp import web
from multidict import CIMultiDict

from asyncstore.testing.servers.gcs import json_routes, xml_routes
from asyncstore.testing.servers.gcs.access import check_caller
from asyncstore.testing.servers.gcs.batch import answer_batch, is_batch
from asyncstore.testing.servers.gcs.calls import Body, Call, Reply
from asyncstore.testing.servers.gcs.errors import ServiceError
from asyncstore.testing.servers.gcs.forms import answer_form, is_form
from asyncstore.testing.servers.gcs.known import check_headers
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.state import Bucket
from asyncstore.testing.servers.gcs.token_services import answer_metadata_request, answer_token_request
from asyncstore.testing.servers.gcs.tokens import Issuer
from asyncstore.testing.servers.gcs.world import World
from asyncstore.testing.servers.stand_in import StandIn

#: Bytes. Up to this size, a reply's head and body are sent together.
_SMALL: Final = 64 * 1024


class GCSServer(StandIn):
    """
    Google Cloud Storage on loopback: the JSON API, the XML API, and the services that issue tokens.

    Attributes:
        world: The buckets, and the unfinished uploads and copies.
        issuer: The issued tokens, and the number of requests for them.
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
        self.issuer = Issuer(self.settings)
        for name in buckets:
            self.create_bucket(name)

    def create_bucket(self, name: str, **resource: Any) -> Bucket:
        """
        Create a bucket.

        Args:
            resource: The settings, by JSON API name, e.g. ``versioning={"enabled": True}``,
                ``softDeletePolicy={"retentionDurationSeconds": "604800"}`` or
                ``billing={"requesterPays": True}``.
        """
        return self.world.add_bucket(name, resource)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Answer one request.
        """
        path, _, query = request.raw_path.partition("?")
        base_url = f"{request.scheme}://{request.host}"
        body = cast(Body, request.content)
        return await _send(request, await self._reply(request.method, path, query, request.headers, body, base_url))

    async def _reply(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: Body, base_url: str
    ) -> Reply:
        try:
            call = Call(method, path, query, _lowercased(headers), body, base_url)
            return await self._dispatch(call)
        except ServiceError as refusal:
            return _refused(refusal, path, query)

    async def _dispatch(self, call: Call) -> Reply:
        settings, issuer = self.settings, self.issuer
        reply = await answer_token_request(settings, issuer, call) or answer_metadata_request(settings, issuer, call)
        if reply is not None:
            return reply
        if is_batch(call):
            return await answer_batch(call, self._reply)
        if is_form(call):
            return await answer_form(settings, self.world, call)
        check_caller(settings, issuer, call)
        check_headers(call.headers)
        return await json_routes.answer(self.world, call) or await xml_routes.answer(self.world, call)


def _lowercased(headers: Mapping[str, str]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        # A repeated header is one list.
        joined[lower] = f"{joined[lower]},{value}" if lower in joined else value
    return joined


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
    """
    Send *reply*, with its content in chunks.
    """
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
        for chunk in content.slices(reply.start, reply.stop):
            await response.write(chunk)
    await response.write_eof()
    return response

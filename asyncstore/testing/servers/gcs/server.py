"""
The server: a request becomes a call, its answer a reply.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from typing import Any, cast

from aiohttp import web

from asyncstore.testing.servers.gcs import json_routes, metadata_server, token_endpoint, xml_routes
from asyncstore.testing.servers.gcs.access import check_caller
from asyncstore.testing.servers.gcs.batch import answer_batch, is_batch
from asyncstore.testing.servers.gcs.calls import Body, Call, Reply
from asyncstore.testing.servers.gcs.errors import ServiceError
from asyncstore.testing.servers.gcs.sending import send
from asyncstore.testing.servers.gcs.settings import Settings
from asyncstore.testing.servers.gcs.tokens import Issuer
from asyncstore.testing.servers.gcs.world import Bucket, World
from asyncstore.testing.servers.stand_in import StandIn


class GCSServer(StandIn):
    """
    Google Cloud Storage on loopback: the JSON and the XML API, and what issues tokens for them.

    Attributes:
        world: The buckets, and all that is under way.
        issuer: The tokens that were issued, and how often they were asked for.
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
        base_url = f"{request.scheme}://{request.host}"
        body = cast(Body, request.content)
        return await send(request, await self._reply(request.method, path, query, request.headers, body, base_url))

    async def _reply(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: Body, base_url: str
    ) -> Reply:
        try:
            call = Call(method, path, query, _plain(headers), body, base_url)
            return await self._dispatch(call)
        except ServiceError as refusal:
            return _refused(refusal, path, query)

    async def _dispatch(self, call: Call) -> Reply:
        settings, issuer = self.settings, self.issuer
        told = await token_endpoint.answer(settings, issuer, call) or metadata_server.answer(settings, issuer, call)
        if told is not None:
            return told
        if is_batch(call):
            return await answer_batch(call, self._reply)
        check_caller(settings, issuer, call)
        return await json_routes.answer(self.world, call) or await xml_routes.answer(self.world, call)


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    plain: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        # Several lines of one header are one list.
        plain[lower] = f"{plain[lower]},{value}" if lower in plain else value
    return plain


def _refused(refusal: ServiceError, path: str, query: str) -> Reply:
    headers = dict(refusal.headers)
    if refusal.status == 304:
        return Reply(304, headers)
    if not path.startswith(("/storage/v1/", "/download/", "/upload/", "/resumable/", "/batch/")):
        return Reply(refusal.status, {"Content-Type": "application/xml; charset=UTF-8", **headers}, refusal.as_xml())
    if "alt=media" in query or path.startswith("/download/"):
        return Reply(refusal.status, {"Content-Type": "text/html; charset=UTF-8", **headers}, refusal.as_text())
    return Reply(refusal.status, {"Content-Type": "application/json; charset=UTF-8", **headers}, refusal.as_json())

"""
A reply, put on the wire.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from asyncstore.testing.servers.gcs.calls import Reply

#: Bytes up to which a reply's head and body are sent as one.
_SMALL: Final = 64 * 1024


async def send(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """
    Send *reply*, its content piece by piece.
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
        for piece in content.slices(reply.start, reply.stop):
            await response.write(piece)
    await response.write_eof()
    return response

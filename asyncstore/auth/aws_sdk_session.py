"""
The connections of AWS's SDK, as careful with secrets as our own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from asyncstore.auth.token_service import MAX_REPLY
from asyncstore.errors import UnavailableError


@cache
def careful_session_class() -> Any:
    """
    Return a session for ``AioConfig(http_session_cls=...)`` that follows no redirect and reads 64 KiB at the most.

    The SDK's own sends all that it has to wherever a redirect leads: aiohttp takes off
    ``Authorization`` on the way, and knows nothing of ``x-amz-sso_bearer_token``.
    """
    from aiobotocore.httpsession import AIOHTTPSession

    class CarefulSession(AIOHTTPSession):  # type: ignore[misc]
        async def _get_session(self, proxy_url: str | None) -> Any:
            session = await super()._get_session(proxy_url)
            session._middlewares = (_guard,)
            return session

    return CarefulSession


async def _guard(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    reply = await handler(request)
    try:
        if 300 <= reply.status < 400:
            raise UnavailableError(f"{request.url.host} answers with a redirect, which is not followed")
        await _read(reply, request)
    except BaseException:
        reply.close()
        raise
    return reply


async def _read(reply: ClientResponse, request: ClientRequest) -> None:
    parts, size = [], 0
    while chunk := await reply.content.read(MAX_REPLY + 1 - size):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_REPLY:
            raise UnavailableError(f"{request.url.host} answers with more than {MAX_REPLY} bytes")
    # Where aiohttp's own read() keeps what it has read.
    reply._body = b"".join(parts)

"""
Notes requests as they are sent, for observers.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from yarl import URL

from asyncstore._support.redact import redact
from asyncstore.driver.noted import NotedRequest

#: Sends a request: the method, the URL, and aiohttp's arguments.
Send = Callable[..., Awaitable[aiohttp.ClientResponse]]


def noting(send: Send, noted: list[NotedRequest], size: int) -> Send:
    """
    Return *send*, which adds each request to *noted*; its body has *size* bytes.
    """

    async def sending(method: str, url: URL, **arguments: Any) -> aiohttp.ClientResponse:
        started, begun = time.time_ns(), time.perf_counter()
        response: aiohttp.ClientResponse | None = None
        error: BaseException | None = None
        try:
            response = await send(method, url, **arguments)
            return response
        except BaseException as exc:
            error = exc
            raise
        finally:
            noted.append(
                NotedRequest(
                    method=method,
                    url=shown(url),
                    host=url.host or "",
                    port=url.port or 0,
                    status=None if response is None else response.status,
                    error=error,
                    started=started,
                    seconds=time.perf_counter() - begun,
                    sent=size,
                    received=None if response is None or method == "HEAD" else response.content_length,
                )
            )

    return sending


def shown(url: URL) -> str:
    """
    Return the text of *url* without user, query and fragment, and with known secrets of its path as ``***``.
    """
    return redact(url.with_user(None).with_query(None).with_fragment(None))

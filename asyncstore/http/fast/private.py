"""
The private names of aiohttp and asyncio that do not belong to one fast path, behind one switch.

With ``ASYNCSTORE_FAST_HTTP=0`` in the environment nothing private is used: bodies pass through aiohttp's
own parser and asyncio's own transports, and a middleware keeps aiohttp from sending requests twice. Every
function here also works, more slowly, with a version of aiohttp that lacks the name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Final, cast

import aiohttp

#: Whether the fast paths may be used; read once, when a session is opened or a transfer starts.
SWITCH: Final = "ASYNCSTORE_FAST_HTTP"


def enabled() -> bool:
    """
    Return whether private names may be used.
    """
    return os.environ.get(SWITCH, "1").strip().lower() not in ("0", "false", "no", "off")


def disable_retry(session: aiohttp.ClientSession) -> None:
    """
    Turn off aiohttp's own second attempt after a lost connection, which costs less than a middleware.
    """
    if enabled() and hasattr(session, "_retry_connection"):
        session._retry_connection = False


def retries(session: aiohttp.ClientSession) -> bool:
    """
    Return whether *session* may send a request twice by itself.
    """
    return getattr(session, "_retry_connection", True) is not False


def middlewares_of(session: aiohttp.ClientSession) -> Sequence[aiohttp.ClientMiddlewareType]:
    """
    Return the middlewares that the caller set on *session*; those of a request replace them.
    """
    middlewares: Sequence[aiohttp.ClientMiddlewareType] = getattr(session, "_middlewares", ())
    return middlewares


def set_read_size(transport: asyncio.BaseTransport | None, size: int) -> None:
    """
    Set how many bytes a plain connection reads at a time; transports of other kinds are left alone.
    """
    if transport is not None and hasattr(transport, "max_size"):
        cast("Any", transport).max_size = size


def body_read(response: aiohttp.ClientResponse) -> bytes | None:
    """
    Return the body that :func:`keep_body` or ``response.read()`` has kept.
    """
    return response._body


def keep_body(response: aiohttp.ClientResponse, body: bytes) -> None:
    """
    Make ``response.read()`` return *body*, which was read from its stream already.
    """
    response._body = body


def body_bytes(request: aiohttp.ClientRequest) -> bytes | None:
    """
    Return the body that *request* sends; ``None`` if it is a stream.
    """
    content = request.body if isinstance(request.body, bytes) else getattr(request.body, "_value", None)
    return content if isinstance(content, bytes) else None


def close_pipes(process: asyncio.subprocess.Process) -> None:
    """
    Close the pipes of *process*: an open one, which a child process can hold, keeps ``wait()`` from returning.
    """
    transport: asyncio.SubprocessTransport | None = getattr(process, "_transport", None)
    for fd in (1, 2):
        if transport is not None and (pipe := transport.get_pipe_transport(fd)) is not None:
            pipe.close()

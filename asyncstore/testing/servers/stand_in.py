"""
What all stand-in servers share: they listen, record requests, and fail on demand.
"""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from asyncstore.testing.servers.faults import Fault, Faults, Received

_LOOPBACK: Final = "127.0.0.1"
_SHUTDOWN_TIMEOUT: Final = 1.0


class StandIn(ABC):
    """
    One provider's server, on loopback.

    A subclass answers the requests. Entering the context starts listening; leaving it closes every connection.

    Attributes:
        requests: Every request received, in order.
        port: The port it listens on, once entered.
    """

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.port = port
        self._tls = tls
        self._faults = Faults()
        self._runner: web.ServerRunner | None = None

    @abstractmethod
    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """
        Answer one request.

        ``request.raw_path`` is the target as received. Read the body as a stream from
        ``request.content``: ``request.read`` refuses large bodies.
        """

    @property
    def url(self) -> str:
        """
        Scheme, host and port, without a trailing slash.
        """
        return f"{'https' if self._tls else 'http'}://{_LOOPBACK}:{self.port}"

    def introduce(self, folder: Path | None) -> list[str]:
        """
        Set up access for one client, and return the lines to print for its user.

        Called before the server listens, when it is started from a shell.

        Args:
            folder: Where to write files for the client; ``None`` creates a new folder.
        """
        return []

    def inject(self, fault: Fault) -> Fault:
        """
        Make later requests fail. The fault counts them in ``met``.
        """
        return self._faults.add(fault)

    async def __aenter__(self) -> Self:
        runner = web.ServerRunner(
            web.Server(self._serve, auto_decompress=False),
            shutdown_timeout=_SHUTDOWN_TIMEOUT,
        )
        await runner.setup()
        site = web.TCPSite(runner, _LOOPBACK, self.port, ssl_context=self._tls)
        await site.start()
        self._runner = runner
        self.port = runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Stop listening and close every connection. Calling it again does nothing.
        """
        runner, self._runner = self._runner, None
        if runner is None:
            return
        connections = runner.server.connections if runner.server else []
        transports = [connection.transport for connection in connections if connection.transport]
        await runner.cleanup()
        for transport in transports:
            # Over TLS, a closed transport still waits for the peer's close_notify.
            transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        received = Received(request.method, request.raw_path, _lowercased(request.headers))
        self.requests.append(received)
        fault = self._faults.matching(received)
        try:
            return await self._answer_or_fail(request, fault)
        except ConnectionError:
            # The client has disconnected, which is not a server error. This reply reaches no one.
            return web.Response(status=400)

    async def _answer_or_fail(self, request: web.BaseRequest, fault: Fault | None) -> web.StreamResponse:
        if fault is None:
            return await self.answer(request)
        await asyncio.sleep(fault.delay)
        if fault.after_work:
            await self.answer(request)
        if fault.status is None:
            return _hang_up(request)
        return web.Response(status=fault.status, headers=dict(fault.headers), body=fault.body)


def _hang_up(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _lowercased(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}

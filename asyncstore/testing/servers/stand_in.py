"""
What all stand-ins share: they listen, remember what was asked, and fail when told to.
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

    A subclass answers requests. Entering it listens; leaving it ends every connection.

    Attributes:
        requests: All requests received, in order.
        port: Where it listens, once it does.
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

        ``request.raw_path`` is as it came over the wire. Read the body from
        ``request.content``, as a stream: ``request.read`` refuses large ones.
        """

    @property
    def url(self) -> str:
        """
        Scheme, host and port, without a slash at the end.
        """
        return f"{'https' if self._tls else 'http'}://{_LOOPBACK}:{self.port}"

    def introduce(self, folder: Path | None) -> list[str]:
        """
        Let one caller in, and return what to tell them, by the line.

        Called before the server listens, by those who start it from a shell.

        Args:
            folder: Where to write files that the caller needs; a new one if not given.
        """
        return []

    def inject(self, fault: Fault) -> Fault:
        """
        Spoil requests to come; the rule returned counts them.
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
        Stop listening and end every connection; may be called twice.
        """
        runner, self._runner = self._runner, None
        if runner is None:
            return
        connections = runner.server.connections if runner.server else []
        transports = [connection.transport for connection in connections if connection.transport]
        await runner.cleanup()
        for transport in transports:
            # Over TLS, one that is closed still waits for its peer to say goodbye.
            transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        received = Received(request.method, request.raw_path, _plain(request.headers))
        self.requests.append(received)
        fault = self._faults.meeting(received)
        try:
            return await self._meet(request, fault)
        except ConnectionError:
            # Whoever has read enough goes away, which is no error of the server's; nobody receives this.
            return web.Response(status=400)

    async def _meet(self, request: web.BaseRequest, fault: Fault | None) -> web.StreamResponse:
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


def _plain(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}

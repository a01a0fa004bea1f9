"""
A reverse proxy that injects network faults on command, for tests on real sockets.

    async with FaultProxy("127.0.0.1", server_port) as proxy:
        proxy.add(LoseReply(), when=When(method="PUT"))
        ...                                 # send requests to proxy.url
        assert [r.method for r in proxy.requests] == ["PUT", "PUT"]

Requests are forwarded byte for byte, including the Host header. A client that signs its
requests signs the proxy's host and port; the upstream sees them in Host, so the
signature is valid. Plain HTTP/1.1 over IPv4, and only on systems with POSIX sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from types import TracebackType
from typing import NamedTuple, Self

from asyncstore.testing.faults_exchange import Conversation
from asyncstore.testing.http_framing import Head
from asyncstore.testing.wire import Wire, readable
from asyncstore.testing.wire_faults import (
    CannedReply,
    CorruptReply,
    CorruptRequest,
    CutReply,
    DelayReply,
    Ending,
    Fault,
    LoseReply,
    RefuseConnection,
    RequestRecord,
    ResetBeforeForwarding,
    Rule,
    Rules,
    SlowReply,
    StallReply,
    StallRequest,
    When,
)

__all__ = [
    "CannedReply",
    "Connections",
    "CorruptReply",
    "CorruptRequest",
    "CutReply",
    "DelayReply",
    "Ending",
    "Fault",
    "FaultProxy",
    "LoseReply",
    "RefuseConnection",
    "RequestRecord",
    "ResetBeforeForwarding",
    "Rule",
    "SlowReply",
    "StallReply",
    "StallRequest",
    "When",
]

_LOOPBACK = "127.0.0.1"
_BACKLOG = 1024


class Connections(NamedTuple):
    """Numbers of client connections: open now, and accepted since the start, including refused ones."""

    open: int
    total: int


class FaultProxy:
    """
    Forwards requests to one server, and injects faults into those that match a rule.

    Attributes:
        requests: All requests received, in order, including retries that a client
            makes silently.

    Entering the context starts listening; leaving it ends every connection and task.
    """

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self.requests: list[RequestRecord] = []
        self.port = 0
        self._upstream = (upstream_host, upstream_port)
        self._rules = Rules()
        self._total = 0
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._open: dict[asyncio.Task[None], Conversation] = {}
        self._bugs: list[BaseException] = []

    async def __aenter__(self) -> Self:
        self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def url(self) -> str:
        return f"http://{_LOOPBACK}:{self.port}"

    @property
    def connections(self) -> Connections:
        return Connections(len(self._open), self._total)

    def add(self, fault: Fault, *, when: When | None = None, times: int | None = 1) -> Rule:
        """
        Inject *fault* into requests to come; the returned rule counts them.

        Every rule counts the requests that match it; of the rules that apply to a
        request, the one added first is used.

        Args:
            when: The requests to match; None for all. `RefuseConnection` takes only `nth`.
            times: How many requests to apply the fault to; None for all.
        """
        chosen = when or When()
        if isinstance(fault, RefuseConnection) and (chosen.method or chosen.target):
            raise ValueError("RefuseConnection applies before a request has a method or target: use only nth")
        rule = Rule(fault, chosen, times)
        self._rules.add(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules; faults in progress continue."""
        self._rules.clear()

    @contextlib.asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Close the port inside the block, as if the server were down; open connections stay open."""
        await self._stop_listening()
        try:
            yield
        finally:
            self._listen()

    async def reset_connections(self) -> None:
        """Reset every open connection, including idle ones."""
        for conversation in self._open.values():
            conversation.reset_at_end = True
        await self._end_conversations()

    async def aclose(self) -> None:
        """
        Stop listening and end every connection; can be called twice.

        Raises:
            BaseExceptionGroup: The proxy itself failed.
        """
        await self._stop_listening()
        await self._end_conversations()
        if self._bugs:
            bugs, self._bugs = self._bugs, []
            raise BaseExceptionGroup("the fault proxy failed", bugs)

    def _listen(self) -> None:
        self._listener = socket.create_server((_LOOPBACK, self.port), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        # Not a task group, which cannot stay open across the yield of a fixture.
        self._accepting = asyncio.get_running_loop().create_task(self._accept(self._listener))

    async def _stop_listening(self) -> None:
        if self._accepting is not None:
            await _cancel(self._accepting)
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            await readable(listener)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                accepted, _ = listener.accept()
                self._serve(Wire(accepted))

    def _serve(self, client: Wire) -> None:
        self._total += 1
        if self._rules.for_connection() is not None:
            client.reset()
            return
        connection = self._total
        conversation = Conversation(client, self._connect, lambda head: self._receive(head, connection))
        task = asyncio.get_running_loop().create_task(conversation.run())
        self._open[task] = conversation
        task.add_done_callback(self._forget)

    def _receive(self, head: Head, connection: int) -> RequestRecord:
        record = RequestRecord.of(head, number=len(self.requests) + 1, connection=connection)
        record.fault = self._rules.for_request(record.method, record.target)
        self.requests.append(record)
        return record

    async def _connect(self) -> Wire:
        return await Wire.connect(*self._upstream)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task).close()
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._bugs.append(bug)

    async def _end_conversations(self) -> None:
        await _cancel(*self._open)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)

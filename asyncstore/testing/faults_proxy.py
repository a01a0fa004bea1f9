"""
A reverse proxy that does harm on request, for tests on real sockets.

    async with FaultProxy("127.0.0.1", server_port) as proxy:
        proxy.add(LoseReply(), when=When(method="PUT"))
        ...                                 # talk to proxy.url
        assert [r.method for r in proxy.requests] == ["PUT", "PUT"]

Requests are forwarded byte for byte, the Host header too. A client that signs its
requests signs the proxy's host and port; the upstream sees them in Host, and finds the
signature right. Plain HTTP/1.1 on IPv4, and only on systems with POSIX sockets.
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
    """Clients' connections: open now, and all since the start, refused ones included."""

    open: int
    total: int


class FaultProxy:
    """
    Forwards requests to one server, apart from those it was told to spoil.

    Attributes:
        requests: All requests received, in order: one for each time a head came
            over the wire, so a client's silent second try is seen.

    Entering it listens; leaving it ends every connection and every task.
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
        Spoil requests to come; the rule returned counts them.

        Every rule counts the requests that match it; of those that apply to one
        request, the one added first is used.

        Args:
            when: Any request, if None. A refused connection has none: for it, only
                `nth` counts.
            times: For how many requests; None for all.
        """
        chosen = when or When()
        if isinstance(fault, RefuseConnection) and (chosen.method or chosen.target):
            raise ValueError("a connection is refused before it has a method or a target")
        rule = Rule(fault, chosen, times)
        self._rules.add(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules; faults under way go on."""
        self._rules.clear()

    @contextlib.asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Close the port inside the block, as if the server were down; open connections go on."""
        await self._stop_listening()
        try:
            yield
        finally:
            self._listen()

    async def reset_connections(self) -> None:
        """Reset every open connection, idle ones too."""
        for conversation in self._open.values():
            conversation.reset_at_end = True
        await self._end_conversations()

    async def aclose(self) -> None:
        """
        Stop listening and end every connection; may be called twice.

        Raises:
            BaseExceptionGroup: The proxy itself went wrong.
        """
        await self._stop_listening()
        await self._end_conversations()
        if self._bugs:
            bugs, self._bugs = self._bugs, []
            raise BaseExceptionGroup("the fault proxy went wrong", bugs)

    def _listen(self) -> None:
        self._listener = socket.create_server((_LOOPBACK, self.port), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        # Not a task group: one cannot stay open across the yield of a fixture.
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
                self._welcome(Wire(accepted))

    def _welcome(self, client: Wire) -> None:
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

"""
A client's connection to the fault proxy, and the requests on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from asyncstore.testing.http_framing import (
    Body,
    Head,
    keeps_alive,
    read_head,
    reply_body,
    request_body,
    status_of,
)
from asyncstore.testing.wire import Wire, forever
from asyncstore.testing.wire_faults import (
    BodyPlan,
    CannedReply,
    DelayReply,
    Ending,
    Fault,
    LoseReply,
    RequestRecord,
    ResetBeforeForwarding,
    StallReply,
)

# A slow body is sent in this many steps a second.
_STEPS_PER_SECOND = 20
_UNREACHABLE = CannedReply(status=502, code="UpstreamUnreachable")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Send = Callable[[bytes], Awaitable[None]]


class HangUpError(Exception):
    """A fault ends the client's connection."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.value)
        self.ending = ending


class UpstreamNotReadingError(Exception):
    """The upstream no longer reads the request."""


class Conversation:
    """
    Serves one client's connection until it ends.

    Args:
        connect: Opens a connection to the upstream.
        receive: Called with each request's head; records the request and chooses its fault.
    """

    def __init__(
        self, client: Wire, connect: Callable[[], Awaitable[Wire]], receive: Callable[[Head], RequestRecord]
    ) -> None:
        self._client = client
        self._connect = connect
        self._receive = receive
        self.reset_at_end = False

    async def run(self) -> None:
        """Serve requests until the client, the upstream or a fault ends the connection; then call `close`."""
        try:
            while await self._serve_next():
                pass
        except HangUpError as hang_up:
            await self._end(hang_up.ending)
        except ConnectionError:
            self._client.reset()
        except EOFError:
            pass  # One side closed in the middle of a message; the caller closes the other.

    def close(self) -> None:
        """Close the client's connection; required even if `run` never started."""
        if self.reset_at_end:
            self._client.reset()
        self._client.close()

    async def _serve_next(self) -> bool:
        head = await read_head(self._client)
        if head is None:
            return False
        record = self._receive(head)
        if isinstance(record.fault, ResetBeforeForwarding):
            raise HangUpError(Ending.RST)
        if isinstance(record.fault, CannedReply):
            return await self._answer_canned(head, record, record.fault)
        return await self._exchange(head, record)

    async def _exchange(self, head: Head, record: RequestRecord) -> bool:
        # One upstream connection per request: an idle connection that the upstream
        # closes would look like an injected fault.
        try:
            upstream = await self._connect()
        except OSError:
            return await self._answer_canned(head, record, _UNREACHABLE)
        try:
            return await Exchange(self._client, upstream, head, record).run()
        finally:
            upstream.close()

    async def _answer_canned(self, head: Head, record: RequestRecord, canned: CannedReply) -> bool:
        method = head.start[0]
        if canned.drain:
            await self._drain(head, record)
        record.status = canned.status
        await self._client.send(canned.render(method, close=not canned.drain))
        if canned.drain:
            return not head.has("Connection", "close")
        self._client.finish()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(canned.linger):
                await self._client.wait_gone()
        raise HangUpError(Ending.RST)

    async def _drain(self, head: Head, record: RequestRecord) -> None:
        if head.expects_continue:
            await self._client.send(_CONTINUE)
        await relay(request_body(self._client, head), _discard, BodyPlan(), record.count)

    async def _end(self, ending: Ending) -> None:
        await self._client.flush()
        if ending is Ending.RST:
            self._client.reset()
            return
        if ending is Ending.FIN:
            self._client.finish()
        # Closing before the client does can turn the FIN into an RST.
        with contextlib.suppress(ConnectionError):
            await self._client.wait_gone()


class Exchange:
    """
    Forwards one request and returns its reply, concurrently.

    Concurrently, because a client can wait for `100 Continue` before it sends the body,
    and because an upstream can refuse a request after reading only its head.
    """

    def __init__(self, client: Wire, upstream: Wire, head: Head, record: RequestRecord) -> None:
        self._client = client
        self._upstream = upstream
        self._head = head
        self._record = record
        self._fault = record.fault or Fault()
        self._continued = not head.expects_continue
        self._sent = asyncio.Event()
        self._upstream_stopped_reading = False

    async def run(self) -> bool:
        """
        Return whether the client's connection can carry another request.

        Raises:
            HangUpError: A fault ends the connection.
            ConnectionError, EOFError: The client or the upstream closed its connection.
        """
        with _first_error():
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send_request())
                reusable = await self._return_reply() and await self._request_is_over()
                sending.cancel()
        return reusable

    async def _send_request(self) -> None:
        try:
            await self._send_upstream(self._head.raw)
            body = request_body(self._client, self._head)
            if await relay(body, self._send_upstream, self._fault.request_plan, self._record.count):
                await forever()
        except UpstreamNotReadingError:
            # It may have replied before it stopped reading.
            self._upstream_stopped_reading = True
        self._sent.set()
        await self._client.wait_gone()
        raise ConnectionAbortedError("the client closed the connection before the end of the reply")

    async def _send_upstream(self, data: bytes) -> None:
        try:
            await self._upstream.send(data)
        except ConnectionError as exc:
            raise UpstreamNotReadingError from exc

    async def _return_reply(self) -> bool:
        reply = await self._final_head()
        body = reply_body(self._upstream, reply, self._record.method)
        if isinstance(self._fault, LoseReply):
            await relay(body, _discard, BodyPlan(), _ignore)
            raise HangUpError(self._fault.ending)
        self._record.status = status_of(reply)
        await self._delay_or_stall()
        await self._client.send(reply.raw)
        if await relay(body, self._client.send, self._fault.reply_plan, _ignore):
            raise HangUpError(self._fault.ending)
        return keeps_alive(self._head, reply, body)

    async def _final_head(self) -> Head:
        while (reply := await read_head(self._upstream)) is not None:
            if not 100 <= status_of(reply) < 200:
                return reply
            self._continued = True
            await self._client.send(reply.raw)
        raise EOFError("the upstream closed without a reply")

    async def _delay_or_stall(self) -> None:
        if isinstance(self._fault, DelayReply):
            await asyncio.sleep(self._fault.seconds)
        if isinstance(self._fault, StallReply) and self._fault.after is None:
            raise HangUpError(Ending.STALL)

    async def _request_is_over(self) -> bool:
        if not self._continued and not self._record.body_length:
            return True  # Refused without 100 Continue: the client does not send the body.
        await self._sent.wait()
        return not self._upstream_stopped_reading


async def relay(body: Body, send: Send, plan: BodyPlan, count: Callable[[int], None]) -> bool:
    """
    Forward a body as planned, and return whether the plan stopped it.

    Raises:
        EOFError: The stream ended before the body.
    """
    offset = 0
    while offset != plan.stop_after:
        piece = await body.piece()
        if piece is None:
            return False
        data = piece.data
        if piece.is_payload:
            data = plan.apply(data, offset)
            offset += len(data)
            count(len(data))
        await _send_paced(data, send, plan.bytes_per_second)
    return True


async def _send_paced(data: bytes, send: Send, bytes_per_second: float | None) -> None:
    if bytes_per_second is None:
        await send(data)
        return
    step = max(1, int(bytes_per_second / _STEPS_PER_SECOND))
    for start in range(0, len(data), step):
        part = data[start : start + step]
        await send(part)
        await asyncio.sleep(len(part) / bytes_per_second)


@contextlib.contextmanager
def _first_error() -> Iterator[None]:
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def _discard(data: bytes) -> None:
    del data


def _ignore(size: int) -> None:
    del size

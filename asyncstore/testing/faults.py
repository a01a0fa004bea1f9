"""
A driver that forwards every call to another driver, and injects faults on command.

It sits between a storage and any driver, so that tests run the real engine, and your own
program, against failures at chosen moments::

    memory = MemoryDriver()
    faults = FaultyDriver(memory)
    storage = faults.storage("memory://bucket")

    faults.fail("put", times=2)              # the third attempt succeeds
    await my_program(storage)
    assert faults.calls["put"] == 3

    stop = faults.hang("upload_part")        # cancel in the middle of an upload
    task = asyncio.ensure_future(my_program(storage))
    await stop.reached()
    task.cancel()
    ...
    assert memory.uploads == {}
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from asyncstore.config import StorageConfig
from asyncstore.driver import Capabilities, Driver, ForwardingDriver, Narrowing, Pending
from asyncstore.driver.body import Body, ReadBody
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.options import CopyOptions, ReadOptions, WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.fault_bodies import CorruptBody, FaultyBody, FaultyReadBody, PlainReadBody
from asyncstore.testing.fault_rules import Call, Hang, Rule, Rules, Send
from asyncstore.types import ChecksumAlgorithm, ObjectInfo, Part
from asyncstore.uri import ObjectURI, URILike

_T = TypeVar("_T")

#: What a fault can apply to: the driver's requests, and the bytes of bodies.
OPERATIONS: Final = frozenset(
    {
        "open_read",
        "put",
        "delete",
        "stat",
        "list_page",
        "list_versions_page",
        "get_tags",
        "set_tags",
        "set_retention",
        "set_legal_hold",
        "delete_batch",
        "copy",
        "advance",
        "undo",
        "initiate_multipart_upload",
        "upload_part",
        "copy_part",
        "complete_multipart_upload",
        "abort_multipart_upload",
        "list_parts",
        "list_multipart_uploads",
        "checksum_of_parts",
        "sign",
        "sign_post",
        "read",
        "write",
    }
)

#: Selects the calls that a fault applies to.
Where = Callable[[Call], bool]


async def instantly(_: float) -> None:
    """
    Return without waiting, after letting other tasks run; for ``Storage(sleep=...)``.
    """
    await checkpoint()


class FaultyDriver(ForwardingDriver):
    """
    Wraps any driver, injects the faults that a test asks for, and counts calls.

    An operation has the name of the driver's method; ``"read"`` is each chunk of a
    body that is read, ``"write"`` the middle of each chunk that is sent. A fault
    applies to the next *times* calls (``None``: all of them) for which *where*
    returns true, after it has let *after* of them pass. At most one fault applies to
    a call: the one that was added first.

    Attributes:
        driver: The wrapped driver.
        capabilities: Those of the driver; replace them to test an endpoint with fewer.
        calls: How often each operation was called, retries included.
        in_flight: Calls in progress, by operation; all requests under ``"all"``.
        peak: The most calls in progress at once, by operation; all requests under ``"all"``.
        bodies_open: Bodies that were opened for reading and not closed yet.
    """

    # Not those of the wrapped driver: a test replaces the capabilities, and narrowings change the replaced ones.
    preferred_checksum: ChecksumAlgorithm | None = None
    narrowed: tuple[Narrowing, ...] = ()  # pyright: ignore[reportIncompatibleMethodOverride]
    on_narrowing: Callable[[Narrowing], None] | None = None  # pyright: ignore[reportIncompatibleMethodOverride]
    narrow = Driver.narrow

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._capabilities = driver.capabilities
        driver.on_narrowing = self._narrowed
        self.preferred_checksum = driver.preferred_checksum
        self.calls: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.bodies_open = 0
        self._rules = Rules()

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @capabilities.setter
    def capabilities(self, capabilities: Capabilities) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._capabilities = capabilities

    def storage(self, root: URILike, **settings: Any) -> Storage:
        """
        Return a storage over this driver that retries without waiting.

        *settings* are those of :func:`asyncstore.open_storage`. Closing the storage
        closes the driver.
        """
        return Storage(self, StorageConfig.build(root, settings), sleep=instantly)

    # Faults

    def fail(
        self,
        op: str,
        error: StorageError | None = None,
        *,
        times: int | None = 1,
        after: int = 0,
        where: Where | None = None,
    ) -> None:
        """
        Raise *error* (by default a retryable one) instead of making the call.
        """
        failure = error or UnavailableError("injected fault", status=503)

        async def act(_: Send) -> Any:
            # A copy each time: the engine fills in its fields.
            raise copy.copy(failure)

        self._add(Rule(op, times, after, where, act))

    def hang(self, op: str, *, times: int | None = 1, after: int = 0, where: Where | None = None) -> Hang:
        """
        Hang before making the call, until it is cancelled or released.
        """
        place = Hang()

        async def act(send: Send) -> Any:
            await place.wait()
            return await send()

        self._add(Rule(op, times, after, where, act))
        return place

    def hang_reply(self, op: str, *, times: int | None = 1, after: int = 0, where: Where | None = None) -> Hang:
        """
        Make the call and hang before returning its reply, until cancelled or released.
        """
        place = Hang()

        async def act(send: Send) -> Any:
            reply = await send()
            try:
                await place.wait()
            except BaseException:
                await _discard(reply)
                raise
            return reply

        self._add(Rule(op, times, after, where, act))
        return place

    def slow(self, op: str, seconds: float, *, times: int | None = None, where: Where | None = None) -> None:
        """
        Wait *seconds* before making the call.
        """

        async def act(send: Send) -> Any:
            await anyio.sleep(seconds)
            return await send()

        self._add(Rule(op, times, 0, where, act))

    def lose_reply(
        self,
        op: str,
        error: StorageError | None = None,
        *,
        times: int | None = 1,
        after: int = 0,
        where: Where | None = None,
    ) -> None:
        """
        Make the call and raise *error*, by default that of a connection that breaks before the reply.

        An error with the status 504 is that of a gateway that did not wait for the service.
        """
        failure = error or UnavailableError("injected fault: the connection broke before the reply")

        async def act(send: Send) -> Any:
            await _discard(await send())
            raise copy.copy(failure)

        self._add(Rule(op, times, after, where, act))

    def corrupt(self, op: str, *, times: int | None = 1, after: int = 0, where: Where | None = None) -> None:
        """
        Flip one bit of the bytes that ``"put"`` or ``"upload_part"`` sends, or that ``"read"`` receives.
        """
        if op not in ("put", "upload_part", "read"):
            raise ValueError(f"cannot corrupt {op!r}: use put, upload_part or read")
        self._add(Rule(op, times, after, where, alter="corrupt"))

    def truncate(self, op: str = "read", *, after: int, times: int | None = 1, where: Where | None = None) -> None:
        """
        Break the connection after *after* bytes of a body that is read.
        """
        if op != "read":
            raise ValueError(f"cannot truncate {op!r}: use read")
        self._add(Rule(op, times, 0, where, alter="truncate", limit=after))

    def heal(self) -> None:
        """
        Remove all faults; calls that hang already keep hanging.
        """
        self._rules.clear()

    def _add(self, rule: Rule) -> None:
        if rule.op not in OPERATIONS:
            raise ValueError(f"{rule.op!r} is not an operation of a driver: use one of {', '.join(sorted(OPERATIONS))}")
        self._rules.add(rule)

    # Requests

    async def call(self, op: str, uris: Sequence[ObjectURI], send: Callable[[], Awaitable[_T]]) -> _T:
        # Of a copy the source is named first.
        if op == "copy":
            source, target = uris
            return await self._request(Call(op, target, source), send)
        return await self._request(Call(op, uris[0]), send)

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        async def send() -> ReadBody:
            return self._reading(uri, await self.driver.open_read(uri, options))

        return await self._request(Call("open_read", uri), send)

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        call = Call("put", uri)
        return await self._request(call, partial(self.driver.put, uri, self._writing(call, body), options))

    async def upload_part(
        self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
    ) -> Part | Pending[Part]:
        call = Call("upload_part", uri, number=number)
        body = self._writing(call, body)
        return await self._request(call, partial(self.driver.upload_part, uri, upload_id, number, body, options))

    async def copy_part(
        self,
        source: ObjectURI,
        target: ObjectURI,
        upload_id: str,
        number: int,
        start: int,
        end: int,
        options: CopyOptions,
    ) -> Part:
        send = partial(self.driver.copy_part, source, target, upload_id, number, start, end, options)
        return await self._request(Call("copy_part", target, source, number), send)

    async def aclose(self) -> None:
        await self.driver.aclose()

    async def prepare(self) -> None:
        await self.driver.prepare()
        self.preferred_checksum = self.driver.preferred_checksum  # pyright: ignore[reportIncompatibleMethodOverride]

    def _narrowed(self, narrowing: Narrowing) -> None:
        self.narrow(narrowing.feature, narrowing.reason, **narrowing.changes)

    # Faults and counts

    async def _request(self, call: Call, send: Callable[[], Awaitable[_T]]) -> _T:
        with self._counted("all"):
            return cast("_T", await self._apply(call, send))

    async def _apply(self, call: Call, send: Send) -> Any:
        self.calls[call.op] += 1
        act = self._rules.action_for(call)
        with self._counted(call.op):
            return await (send() if act is None else act(send))

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        self.in_flight[name] += 1
        self.peak[name] = max(self.peak[name], self.in_flight[name])
        try:
            yield
        finally:
            self.in_flight[name] -= 1

    def _reading(self, uri: ObjectURI, body: ReadBody) -> ReadBody:
        call = Call("read", uri)
        kind = FaultyReadBody if self._rules.has_rule_for("read") else PlainReadBody
        self.bodies_open += 1
        return kind(body, partial(self._apply, call), self._rules.alteration_for(call), self._body_closed)

    def _body_closed(self) -> None:
        self.bodies_open -= 1

    def _writing(self, call: Call, body: Body) -> Body:
        if self._rules.alteration_for(call) is not None:
            return CorruptBody(body)
        if self._rules.has_rule_for("write"):
            return FaultyBody(body, partial(self._apply, Call("write", call.uri, number=call.number)))
        return body


async def _discard(reply: Any) -> None:
    if isinstance(reply, ReadBody):
        await reply.aclose()

"""
Faults on command: a driver that passes every call on until a test says otherwise.

It stands between a storage and any driver, so what is tested is the whole of the
real engine, and of your own program, against failures that happen when you want::

    memory = MemoryDriver()
    faults = FaultyDriver(memory)
    storage = faults.storage("memory://bucket")

    faults.fail("put", times=2)              # the third attempt succeeds
    await my_program(storage)
    assert faults.calls["put"] == 3

    stop = faults.hang("upload_part")        # cancel it in the middle
    task = asyncio.ensure_future(my_program(storage))
    await stop.reached()
    task.cancel()
    ...
    assert memory.uploads == {}
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from asyncstore.body import Body, ReadBody
from asyncstore.config import StorageConfig
from asyncstore.driver import Driver
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.options import CopyOptions, DeleteOptions, ListOptions, ReadOptions, WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.fault_bodies import CorruptBody, FaultyBody, FaultyReadBody, PlainReadBody
from asyncstore.testing.fault_rules import Call, Hang, Rule, Rules, Send
from asyncstore.types import Checksum, ListPage, Metadata, MultipartUploadPage, ObjectInfo, Part, PartPage
from asyncstore.uri import ObjectURI, URILike

_T = TypeVar("_T")

#: What a fault can be for: the driver's requests, and the bytes of bodies.
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
        "delete_batch",
        "copy",
        "initiate_multipart_upload",
        "upload_part",
        "copy_part",
        "complete_multipart_upload",
        "abort_multipart_upload",
        "list_parts",
        "list_multipart_uploads",
        "sign",
        "read",
        "write",
    }
)

#: Which calls of an operation a fault is for.
Where = Callable[[Call], bool]


async def instantly(_: float) -> None:
    """
    Wait no time at all, but let other tasks run; for ``Storage(sleep=...)``.
    """
    await checkpoint()


class FaultyDriver(Driver):
    """
    Any driver, with the faults that a test asks for, and counts of what went through.

    An operation is named as the driver's method is; ``"read"`` is each chunk of a
    body on its way to the caller, ``"write"`` the middle of each chunk on its way
    to the provider. A fault meets the next *times* calls (``None``: all of them)
    that *where* holds for, after it has let *after* of them pass. One call meets one
    fault, the one that was asked for first.

    Attributes:
        driver: The one that all is passed on to.
        capabilities: Those of the driver; set other ones to plan for less.
        calls: How often each operation was called, retries included.
        in_flight: Calls now, by operation; all requests under ``"all"``.
        peak: The most at once, by operation; of all requests under ``"all"``.
        bodies_open: Bodies that were opened for reading and not closed yet.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.provider = driver.provider
        self.capabilities = driver.capabilities
        self.preferred_checksum = driver.preferred_checksum
        self.calls: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.bodies_open = 0
        self._rules = Rules()

    def storage(self, root: URILike, **settings: Any) -> Storage:
        """
        Return a storage over this driver that waits no time between attempts.

        *settings* are those of :func:`asyncstore.open_storage`. Whoever closes the
        storage closes the driver.
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
        Raise *error* (by default one that is worth a retry) instead of carrying a call out.
        """
        failure = error or UnavailableError("out of order, as the test wants it", status=503)

        async def act(_: Send) -> Any:
            # A new one each time: the engine writes into it.
            raise copy.copy(failure)

        self._give(Rule(op, times, after, where, act))

    def hang(self, op: str, *, times: int | None = 1, after: int = 0, where: Where | None = None) -> Hang:
        """
        Let a call stand still before it is carried out, until cancelled or released.
        """
        place = Hang()

        async def act(send: Send) -> Any:
            await place.wait()
            return await send()

        self._give(Rule(op, times, after, where, act))
        return place

    def hang_reply(self, op: str, *, times: int | None = 1, after: int = 0, where: Where | None = None) -> Hang:
        """
        Carry a call out and let its reply stand still, until cancelled or released.
        """
        place = Hang()

        async def act(send: Send) -> Any:
            reply = await send()
            try:
                await place.wait()
            except BaseException:
                await _drop(reply)
                raise
            return reply

        self._give(Rule(op, times, after, where, act))
        return place

    def slow(self, op: str, seconds: float, *, times: int | None = None, where: Where | None = None) -> None:
        """
        Wait *seconds* before a call is carried out.
        """

        async def act(send: Send) -> Any:
            await anyio.sleep(seconds)
            return await send()

        self._give(Rule(op, times, 0, where, act))

    def lose_reply(self, op: str, *, times: int | None = 1, after: int = 0, where: Where | None = None) -> None:
        """
        Carry a call out, and raise what a connection does that breaks before the reply.
        """

        async def act(send: Send) -> Any:
            await _drop(await send())
            raise UnavailableError("the connection broke before the reply")

        self._give(Rule(op, times, after, where, act))

    def corrupt(self, op: str, *, times: int | None = 1, after: int = 0, where: Where | None = None) -> None:
        """
        Flip one bit of the bytes sent by ``"put"`` or ``"upload_part"``, or that a ``"read"`` brings.
        """
        if op not in ("put", "upload_part", "read"):
            raise ValueError(f"put, upload_part and read have bytes to corrupt, {op} has none")
        self._give(Rule(op, times, after, where, mangle="corrupt"))

    def truncate(self, op: str = "read", *, after: int, times: int | None = 1, where: Where | None = None) -> None:
        """
        Break the connection of a body that is being read after *after* of its bytes.
        """
        if op != "read":
            raise ValueError(f"only a read can be cut short, not {op}")
        self._give(Rule(op, times, 0, where, mangle="truncate", limit=after))

    def heal(self) -> None:
        """
        Forget all faults; calls that hang stay where they are.
        """
        self._rules.given.clear()

    def _give(self, rule: Rule) -> None:
        if rule.op not in OPERATIONS:
            raise ValueError(f"{rule.op!r} is no operation of a driver: there are {', '.join(sorted(OPERATIONS))}")
        self._rules.given.append(rule)

    # What is passed on

    async def open_read(self, uri: ObjectURI, options: ReadOptions) -> ReadBody:
        async def send() -> ReadBody:
            return self._reading(uri, await self.driver.open_read(uri, options))

        return await self._request(Call("open_read", uri), send)

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        call = Call("put", uri)
        return await self._request(call, partial(self.driver.put, uri, self._writing(call, body), options))

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        await self._request(Call("delete", uri), partial(self.driver.delete, uri, options))

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        return await self._request(Call("stat", uri), partial(self.driver.stat, uri, options))

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await self._request(Call("list_page", prefix), partial(self.driver.list_page, prefix, options, token))

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        send = partial(self.driver.list_versions_page, prefix, options, token)
        return await self._request(Call("list_versions_page", prefix), send)

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        return await self._request(Call("get_tags", uri), partial(self.driver.get_tags, uri))

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        await self._request(Call("set_tags", uri), partial(self.driver.set_tags, uri, tags))

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        return await self._request(Call("delete_batch", uris[0]), partial(self.driver.delete_batch, uris))

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        return await self._request(Call("copy", target, source), partial(self.driver.copy, source, target, options))

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        return await self._request(
            Call("initiate_multipart_upload", uri), partial(self.driver.initiate_multipart_upload, uri, options)
        )

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
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

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        send = partial(self.driver.complete_multipart_upload, uri, upload_id, parts, options, checksum)
        return await self._request(Call("complete_multipart_upload", uri), send)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        send = partial(self.driver.abort_multipart_upload, uri, upload_id)
        await self._request(Call("abort_multipart_upload", uri), send)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        return await self._request(Call("list_parts", uri), partial(self.driver.list_parts, uri, upload_id, token))

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        send = partial(self.driver.list_multipart_uploads, prefix, token)
        return await self._request(Call("list_multipart_uploads", prefix), send)

    async def sign(self, method: str, uri: ObjectURI, expires: timedelta) -> str:
        return await self._request(Call("sign", uri), partial(self.driver.sign, method, uri, expires))

    def native(self) -> AbstractAsyncContextManager[Any]:
        return self.driver.native()

    @property
    def credentials(self) -> Any:
        return self.driver.credentials

    def describe(self) -> dict[str, str]:
        return self.driver.describe()

    def classify(self, error: Exception) -> StorageError | None:
        return self.driver.classify(error)

    async def aclose(self) -> None:
        await self.driver.aclose()

    # How a call goes

    async def _request(self, call: Call, send: Callable[[], Awaitable[_T]]) -> _T:
        with self._counted("all"):
            return cast("_T", await self._through(call, send))

    async def _through(self, call: Call, send: Send) -> Any:
        self.calls[call.op] += 1
        act = self._rules.around(call)
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
        kind = FaultyReadBody if self._rules.concern("read") else PlainReadBody
        self.bodies_open += 1
        return kind(body, partial(self._through, call), self._rules.mangling(call), self._body_closed)

    def _body_closed(self) -> None:
        self.bodies_open -= 1

    def _writing(self, call: Call, body: Body) -> Body:
        if self._rules.mangling(call) is not None:
            return CorruptBody(body)
        if self._rules.concern("write"):
            return FaultyBody(body, partial(self._through, Call("write", call.uri, number=call.number)))
        return body


async def _drop(reply: Any) -> None:
    if isinstance(reply, ReadBody):
        await reply.aclose()

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
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from asyncstore.config import StorageConfig
from asyncstore.driver import Condition, Driver, Narrowing, Pending
from asyncstore.driver.body import Body, ReadBody
from asyncstore.driver.presigning import sign
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.options import (
    PLAIN_PRESIGN,
    CopyOptions,
    DeleteOptions,
    ListOptions,
    PostOptions,
    PresignOptions,
    ReadOptions,
    WriteOptions,
)
from asyncstore.retention import Retention
from asyncstore.storage import Storage
from asyncstore.testing.fault_bodies import CorruptBody, FaultyBody, FaultyReadBody, PlainReadBody
from asyncstore.testing.fault_rules import Call, Hang, Rule, Rules, Send
from asyncstore.types import (
    Checksum,
    ListPage,
    Metadata,
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
    PresignedPost,
    PresignedURL,
)
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


class FaultyDriver(Driver):
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

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.provider = driver.provider
        self.capabilities = driver.capabilities
        driver.on_narrowing = self._narrowed
        self.preferred_checksum = driver.preferred_checksum
        self.calls: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.bodies_open = 0
        self._rules = Rules()

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

    # Forwarded calls

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

    async def checksum_of_parts(self, uri: ObjectURI, info: Metadata) -> Checksum | None:
        return await self._request(Call("checksum_of_parts", uri), partial(self.driver.checksum_of_parts, uri, info))

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        return await self._request(Call("get_tags", uri), partial(self.driver.get_tags, uri))

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        await self._request(Call("set_tags", uri), partial(self.driver.set_tags, uri, tags))

    async def set_retention(
        self,
        uri: ObjectURI,
        retention: Retention | None,
        version_id: str | None = None,
        *,
        bypass: bool = False,
    ) -> None:
        send = partial(self.driver.set_retention, uri, retention, version_id, bypass=bypass)
        await self._request(Call("set_retention", uri), send)

    async def set_legal_hold(self, uri: ObjectURI, held: bool, version_id: str | None = None) -> None:
        await self._request(Call("set_legal_hold", uri), partial(self.driver.set_legal_hold, uri, held, version_id))

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        return await self._request(Call("delete_batch", uris[0]), partial(self.driver.delete_batch, uris))

    async def copy(
        self, source: ObjectURI, target: ObjectURI, options: CopyOptions
    ) -> ObjectInfo | Pending[ObjectInfo]:
        return await self._request(Call("copy", target, source), partial(self.driver.copy, source, target, options))

    async def advance(self, pending: Pending[Any]) -> Any:
        return await self._request(Call("advance", pending.target), partial(self.driver.advance, pending))

    async def undo(self, pending: Pending[Any], error: BaseException) -> Pending[Any] | None:
        return await self._request(Call("undo", pending.target), partial(self.driver.undo, pending, error))

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        return await self._request(
            Call("initiate_multipart_upload", uri), partial(self.driver.initiate_multipart_upload, uri, options)
        )

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

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo | Pending[ObjectInfo]:
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

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        return await self._request(Call("sign", uri), partial(sign, self.driver, method, uri, expires, options))

    async def sign_post(self, uri: ObjectURI, expires: timedelta, options: PostOptions) -> PresignedPost:
        return await self._request(Call("sign_post", uri), partial(self.driver.sign_post, uri, expires, options))

    def native(self) -> AbstractAsyncContextManager[Any]:
        return self.driver.native()

    @property
    def credentials(self) -> Any:
        return self.driver.credentials

    @property
    def unproven(self) -> frozenset[Condition]:  # type: ignore[override]  # the driver's own changes
        return self.driver.unproven

    def check_target(self, uri: ObjectURI) -> None:
        self.driver.check_target(uri)

    def describe(self) -> dict[str, str]:
        return self.driver.describe()

    def service_time(self) -> float:
        return self.driver.service_time()

    def classify(self, error: Exception) -> StorageError | None:
        return self.driver.classify(error)

    async def aclose(self) -> None:
        await self.driver.aclose()

    async def prepare(self) -> None:
        await self.driver.prepare()
        self.preferred_checksum = self.driver.preferred_checksum

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

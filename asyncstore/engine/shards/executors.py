"""
Workers of an executor that somebody else runs: a process pool, Dask, Ray, MPI, joblib.
"""

from __future__ import annotations

import asyncio
import pickle
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, Final, Protocol, Self

import anyio

from asyncstore._support.cleanup import clean_up
from asyncstore._support.threads import in_thread
from asyncstore.engine.shards.messages import Done, Failed, portable
from asyncstore.engine.shards.runner import ShardSink, WorkerDiedError
from asyncstore.engine.shards.shard import Job, Shard
from asyncstore.types import BulkResult, ProgressEvent
from asyncstore.uri import ObjectURI, parse_uri

# Shards of each worker: the next one is there when one ends.
_AHEAD: Final = 2

# Seconds that workers have to abort their uploads and remove their temporary files.
_GRACE: Final = 6.0

# Seconds between two looks at whether the operation has ended.
_POLL: Final = 0.5


#: What a call returns: the result of its shard, and the events of its objects.
_Reply = tuple[Done | Failed, list[ProgressEvent]]


class Link(Protocol):
    """
    The worker's end of a :class:`Channel`.
    """

    def tell(self, upload_id: str, uri: str, in_progress: bool) -> None:
        """Tell the operation of a multipart upload, which it aborts if this worker dies."""
        ...

    def ended(self) -> bool:
        """Return whether the operation has ended; may block."""
        ...


class Channel(Protocol):
    """
    What an executor can have beside its calls: workers tell what they have begun, and learn that they are to stop.
    """

    def link(self) -> Callable[[], Link]:
        """Return what can be pickled, and called in the thread of a worker that carries out a shard."""
        ...

    def open(self, told: Callable[[str, str, bool], None]) -> None:
        """Call *told*, in any thread, with what workers tell."""
        ...

    def close(self) -> None:
        """Tell the workers that the operation has ended."""
        ...


class OnExecutor:
    """
    Runs shards as calls of *executor*, which stays open.

    Their progress is told when they end. Shards that an executor has begun can only be interrupted, and the uploads of
    a worker that died can only be aborted, if the executor has a channel: a method ``channel()`` that returns a
    :class:`Channel`.
    """

    def __init__(self, job: Job, pickled: bytes, executor: Executor, workers: int) -> None:
        self.slots = workers * _AHEAD
        self._job = job
        self._pickled = pickled
        self._executor = executor
        self._workers = workers
        make = getattr(executor, "channel", None)
        self._channel: Channel | None = None if make is None else make()
        self._uploads: dict[str, ObjectURI] = {}
        self._running: set[asyncio.Future[Any]] = set()

    async def __aenter__(self) -> Self:
        if self._channel is not None:
            self._channel.open(self._told)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await clean_up(self._close(self._channel), error)

    async def run(self, shard: Shard, progress: ShardSink | None) -> BulkResult:
        """
        Carry out *shard* by one call of :func:`run_shard`.
        """
        link = None if self._channel is None else self._channel.link()
        # Some executors give the result of an equal call again, and that can be the death of a worker.
        unique = pickle.dumps((shard, uuid.uuid4()))
        calls: list[Future[_Reply]] = []
        try:
            # In a thread: some executors start a process now.
            await in_thread(
                lambda: calls.append(self._executor.submit(run_shard, self._pickled, unique, self._workers, link))
            )
            future = asyncio.wrap_future(calls[0])
            self._running.add(future)
            future.add_done_callback(self._running.discard)
            reply, events = await asyncio.shield(future)
        except asyncio.CancelledError:
            if calls and calls[0].cancelled():
                # The executor was shut down.
                raise WorkerDiedError from None
            # The operation is cancelled. With a channel the call itself ends, and that is waited for.
            if calls and self._channel is None:
                calls[0].cancel()
            raise
        except Exception as exc:
            if not calls:
                # It takes no calls.
                raise
            raise WorkerDiedError from exc
        if isinstance(reply, Failed):
            raise reply.error
        if progress is not None:
            for event in events:
                progress(event)
        return reply.result

    def _told(self, upload_id: str, uri: str, in_progress: bool) -> None:
        if in_progress:
            self._uploads[upload_id] = parse_uri(uri)
        else:
            self._uploads.pop(upload_id, None)

    async def _close(self, channel: Channel) -> None:
        await in_thread(channel.close)
        if running := list(self._running):
            await asyncio.wait(running, timeout=_GRACE)
        # Of workers that died; what has been completed since is not found.
        if self._uploads:
            await self._job.abort(self._uploads)


def run_shard(job: bytes, shard: bytes, workers: int, link: Callable[[], Link] | None = None) -> _Reply:
    """
    Carry out a shard in this process, by an event loop of its own, and return its result and the events of its objects.

    Args:
        job: The pickled :class:`Job`.
        shard: The pickled :class:`Shard`, and something that makes the call unlike any other.
        workers: How many workers share the limits of the storages.
        link: To the operation, if the executor has one.
    """
    own: Shard = pickle.loads(shard)[0]  # noqa: S301 - from our own process
    try:
        opened: Job = pickle.loads(job)  # noqa: S301 - as above
    except Exception as exc:  # noqa: BLE001 - raised where the operation was started
        return Failed(own.number, portable(exc)), []
    return asyncio.run(_run(opened, own, workers, None if link is None else link()))


async def _run(job: Job, shard: Shard, workers: int, link: Link | None) -> _Reply:
    events: list[ProgressEvent] = []

    def keep(event: ProgressEvent) -> None:
        if event.kind.startswith("object"):
            events.append(event)

    outcome: Done | Failed = Failed(shard.number, WorkerDiedError("the operation has ended"))
    async with anyio.create_task_group() as group:
        if link is not None:
            group.start_soon(_until_ended, link, group.cancel_scope)
        try:
            async with job.opened(workers) as work:
                if link is not None:
                    work.watch_uploads(_Told(link))
                outcome = Done(shard.number, await work(shard.items, keep))
        except Exception as exc:  # noqa: BLE001 - raised where the operation was started
            outcome = Failed(shard.number, portable(exc))
        group.cancel_scope.cancel()
    return outcome, events


async def _until_ended(link: Link, scope: anyio.CancelScope) -> None:
    while not await in_thread(link.ended):  # noqa: ASYNC110 - it is in another process
        await anyio.sleep(_POLL)
    scope.cancel()


class _Told:
    """
    Tells the operation which multipart uploads have been initiated and which have ended.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: dict[str, ObjectURI] = {}

    def __call__(self, uploads: Mapping[str, ObjectURI]) -> None:
        for upload_id, uri in uploads.items() - self._known.items():
            self._link.tell(upload_id, str(uri), True)
        for upload_id, uri in self._known.items() - uploads.items():
            self._link.tell(upload_id, str(uri), False)
        self._known = dict(uploads)

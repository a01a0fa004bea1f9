"""
A worker process: carries out shards that come by its standard input, until that ends.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import BinaryIO, Final

import anyio

from asyncstore.engine.shards.messages import (
    Done,
    Events,
    Failed,
    Message,
    Start,
    Throttled,
    Uploads,
    encoded,
    portable,
    receive,
)
from asyncstore.engine.shards.shard import Job, OpenJob, Shard
from asyncstore.types import ProgressEvent

# Seconds between two messages with the progress of a shard.
_PROGRESS: Final = 0.1

# Events of objects that are kept for the next message at most.
_MOST_EVENTS: Final = 200


def main() -> None:
    """
    Run a worker.
    """
    # Ctrl-C in a terminal reaches all processes: the one that the user started ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What anything prints must not get between the messages.
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    try:
        asyncio.run(_serve(replies))
    except BrokenPipeError:
        # The process has died, and nobody waits for the result any more.
        sys.exit(1)


async def _serve(replies: BinaryIO) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    start = await receive(reader)
    if isinstance(start, Start):
        await _Worker(start, replies).run(reader)


class _Worker:
    def __init__(self, start: Start, replies: BinaryIO) -> None:
        self._start = start
        self._replies = replies

    async def run(self, reader: asyncio.StreamReader) -> None:
        async with AsyncExitStack() as stack:
            try:
                job: Job = pickle.loads(self._start.job)  # noqa: S301 - from the process that started this one
                work = await stack.enter_async_context(job.opened(self._start.workers))
            except Exception as exc:  # noqa: BLE001 - raised where the operation was started
                self._send(Failed(None, portable(exc)))
                return
            work.watch_uploads(lambda uploads: self._send(Uploads(dict(uploads))))
            work.watch_throttling(lambda: self._send(Throttled()))
            async with anyio.create_task_group() as shards:
                while (message := await receive(reader)) is not None:
                    if isinstance(message, Shard):
                        shards.start_soon(self._carry_out, work, message)
                    elif isinstance(message, Throttled):
                        work.throttled_elsewhere()
                # The operation has ended, by its end, an error, a cancellation, or the death of its process.
                shards.cancel_scope.cancel()

    async def _carry_out(self, work: OpenJob, shard: Shard) -> None:
        progress = _Progress(shard.number, self._send) if self._start.progress else None
        try:
            result = await work(shard.items, progress)
        except Exception as exc:  # noqa: BLE001 - raised where the operation was started
            self._send(Failed(shard.number, portable(exc)))
            return
        if progress is not None:
            progress.flush()
        self._send(Done(shard.number, result))

    def _send(self, message: Message) -> None:
        # At once and as a whole: what has been done must be known when this process dies.
        data = memoryview(encoded(message))
        while data:
            data = data[self._replies.write(data) :]


class _Progress:
    """
    Sends the events of a shard: those of finished objects all, others only now and then.
    """

    def __init__(self, shard: int, send: Callable[[Message], None]) -> None:
        self._shard = shard
        self._send = send
        self._events: list[ProgressEvent] = []
        self._latest: ProgressEvent | None = None
        self._sent = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        if event.kind == "done":
            return
        if event.kind == "progress":
            self._latest = event
        else:
            self._events.append(event)
            self._latest = None
        if time.monotonic() - self._sent > _PROGRESS or len(self._events) >= _MOST_EVENTS:
            self.flush()

    def flush(self) -> None:
        """
        Send what has not been sent.
        """
        if self._latest is not None:
            self._events.append(self._latest)
            self._latest = None
        if self._events:
            self._send(Events(self._shard, self._events))
            self._events = []
            self._sent = time.monotonic()


if __name__ == "__main__":
    main()

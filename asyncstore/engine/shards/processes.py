"""
Workers that are processes on this machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from asyncstore._support.cleanup import clean_up
from asyncstore.engine.shards.messages import Done, Events, Failed, Start, Throttled, Uploads, encoded, receive
from asyncstore.engine.shards.runner import ShardSink, WorkerDiedError
from asyncstore.engine.shards.shard import Job, Shard
from asyncstore.engine.task_pool import for_each
from asyncstore.errors import ConfigurationError
from asyncstore.types import BulkResult, ProgressEvent
from asyncstore.uri import ObjectURI

# Shards of each worker: the next one begins while the last requests of the one before end.
_AHEAD: Final = 2

# Seconds that a worker has to abort its uploads and remove its temporary files.
_GRACE: Final = 8.0

# The modules are found as they are here. -P: not in the current directory, where files may have any name.
_CODE: Final = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import main; main()".format(
    "asyncstore.engine.shards.worker"
)


def _module_path() -> str:
    return json.dumps([str(Path(entry).absolute()) for entry in sys.path])


class Processes:
    """
    Runs shards in *count* processes, which are started as they are needed, and end with the block.

    Leaving the block by an error or a cancellation cancels the shards, and waits until the processes have cleaned up.
    A process that dies is replaced; the multipart uploads that it had begun are aborted.
    """

    def __init__(self, job: Job, pickled: bytes, count: int, *, progress: bool) -> None:
        self.slots = count * _AHEAD
        self._job = job
        self._start = Start(pickled, count, progress)
        self._workers: list[_Process | None] = [None] * count
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        if not sys.executable:
            raise ConfigurationError("workers need the path of a Python interpreter, and sys.executable has none")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await clean_up(self._close(), error)

    async def run(self, shard: Shard, progress: ShardSink | None) -> BulkResult:
        """
        Carry out *shard* in the process with the fewest shards.
        """
        worker = await self._worker()
        try:
            return await worker.run(shard, progress)
        except WorkerDiedError:
            await self._bury(worker)
            raise

    async def _worker(self) -> _Process:
        async with self._changing:
            if None in self._workers:
                number = self._workers.index(None)
                worker = self._workers[number] = await _Process.start(self._start, self._share_throttling)
                return worker
            return min((worker for worker in self._workers if worker is not None), key=lambda worker: worker.load)

    async def _bury(self, worker: _Process) -> None:
        async with self._changing:
            if worker in self._workers:
                self._workers[self._workers.index(worker)] = None
                await clean_up(self._end(worker))

    async def _end(self, worker: _Process) -> None:
        await worker.close()
        if worker.uploads:
            await self._job.abort(worker.uploads)

    async def _close(self) -> None:
        workers = [worker for worker in self._workers if worker is not None]
        await for_each(workers, self._end, max_concurrency=max(1, len(workers)))

    def _share_throttling(self, throttled: _Process) -> None:
        for worker in self._workers:
            if worker is not None and worker is not throttled:
                worker.throttled()


class _Process:
    """
    One worker process.

    Attributes:
        uploads: The multipart uploads that it has in progress.
    """

    def __init__(self, process: asyncio.subprocess.Process, share_throttling: Callable[[_Process], None]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.uploads: Mapping[str, ObjectURI] = {}
        self._process = process
        self._stdin = process.stdin
        self._share_throttling = share_throttling
        self._shards: dict[int, tuple[asyncio.Future[BulkResult], ShardSink | None]] = {}
        self._failure: Exception | None = None
        # Not in a task group: it goes on while a cancelled operation cleans up, until the process closes its end.
        self._reading = asyncio.get_running_loop().create_task(self._read(process.stdout))

    @classmethod
    async def start(cls, start: Start, share_throttling: Callable[[_Process], None]) -> Self:
        """
        Start a process and send it the job.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", _CODE, _module_path()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        worker = cls(process, share_throttling)
        worker._stdin.write(encoded(start))
        return worker

    @property
    def load(self) -> int:
        """How many shards it has."""
        return len(self._shards)

    async def run(self, shard: Shard, progress: ShardSink | None) -> BulkResult:
        """
        Carry out *shard*.

        Raises:
            WorkerDiedError: The process has ended.
        """
        if self._reading.done():
            raise self._failure or WorkerDiedError()
        future: asyncio.Future[BulkResult] = asyncio.get_running_loop().create_future()
        self._shards[shard.number] = future, progress
        try:
            with suppress(ConnectionError):
                # If the process has died, the end of its output says so.
                self._stdin.write(encoded(shard))
                await self._stdin.drain()
            return await future
        finally:
            del self._shards[shard.number]

    def throttled(self) -> None:
        """
        Make it send fewer requests.
        """
        if not self._reading.done():
            self._stdin.write(encoded(Throttled()))

    async def close(self) -> None:
        """
        End the process: its shards are cancelled and cleaned up; it is killed if that takes too long.
        """
        self._stdin.close()
        try:
            async with asyncio.timeout(_GRACE):
                await self._reading
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while (message := await receive(reader)) is not None:
            match message:
                case Events():
                    for event in message.events:
                        self._progress(message.shard, event)
                case Uploads():
                    self.uploads = message.uploads
                case Throttled():
                    self._share_throttling(self)
                case Done():
                    self._settle(message.shard, message.result)
                case Failed():
                    if message.shard is None:
                        self._failure = message.error
                    else:
                        self._settle(message.shard, message.error)
        for number in self._shards:
            self._settle(number, self._failure or WorkerDiedError())

    def _progress(self, shard: int, event: ProgressEvent) -> None:
        future, sink = self._shards.get(shard, (None, None))
        if sink is not None and future is not None and not future.done():
            try:
                sink(event)
            except Exception as exc:  # noqa: BLE001 - raised by the operation whose sink it is
                future.set_exception(exc)

    def _settle(self, shard: int, outcome: BulkResult | Exception) -> None:
        future, _ = self._shards.get(shard, (None, None))
        if future is None or future.done():
            # It was cancelled.
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

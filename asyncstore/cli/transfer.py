"""
Carries out steps: records and reports their outcomes, and computes the exit code.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from asyncstore.cli.output import Output, counted, human, item_record, one_line
from asyncstore.cli.progress import Totals, read_ahead, watched
from asyncstore.cli.report import Report
from asyncstore.cli.running import FAILED, OK, exit_code
from asyncstore.engine.progress import Meter
from asyncstore.errors import StorageError
from asyncstore.storage.shard_jobs import TreeJob, transfer_tree
from asyncstore.storage.storage import Storage
from asyncstore.storage.trees import TreeItem, TreeStep
from asyncstore.storage.walk import TreeProblem
from asyncstore.types import BulkResult, ProgressEvent
from asyncstore.uri import ObjectURI

# Failures that are shown one by one; with --json all of them are.
_TOLD: Final = 20

_STATUS: Final = {"object_done": "done", "object_skipped": "skipped"}

#: A file or an object.
Anywhere = Path | ObjectURI

#: Takes an iterator of items and a progress sink, and returns the outcomes.
Operation = Callable[..., Awaitable[BulkResult]]


class Tally:
    """
    The outcomes of the items of one command.

    If its block is left by an error, as when the command is interrupted, the report of failures has what failed and
    what was not done.
    """

    def __init__(
        self, output: Output, command: str, report: Report | None = None, storages: Sequence[object] = ()
    ) -> None:
        self.storages = [storage for storage in storages if isinstance(storage, Storage)]
        self._output = output
        self._report = report or Report()
        self._command = command
        self._started = time.monotonic()
        self._under_way: dict[ObjectURI, TreeItem] = {}
        self._failures: list[tuple[Anywhere, Anywhere | None, StorageError]] = []
        # Items that have failed, whose errors come with the result of the operation; and those that were not begun.
        self._unexplained: list[TreeItem] = []
        self._left: list[TreeItem] = []
        self._all_found = True
        self._left_out = 0
        self._latest = ProgressEvent(kind="progress")
        self._done = self._skipped = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or self._report.failures is None:
            return
        records = self._failed_records()
        records += [item_record("failed", item.source, item.target, item.size) for item in self._unexplained]
        left = [*self._under_way.values(), *self._left]
        records += [item_record("planned", item.source, item.target, item.size) for item in left]
        if not records:
            # An earlier report, which this run may have started from, is worth more.
            return
        if not self._all_found:
            records.append({"type": "incomplete"})
        self._report.write(records)
        more = "" if self._all_found else "; there is more, since the listing had not ended"
        self._output.note(f"{counted(len(left), 'item')} not done, see {self._report.failures}{more}")

    @property
    def failures(self) -> int:
        """How many items have failed so far."""
        return len(self._failures)

    def began(self, item: TreeItem) -> None:
        """
        An item has been started. Its events carry the URI of its target, or of its source if that is local.
        """
        uri = item.target if isinstance(item.target, ObjectURI) else item.source
        assert isinstance(uri, ObjectURI)
        self._under_way[uri] = item

    def refused(self, refusal: TreeProblem) -> None:
        """
        A file or object is not transferred.
        """
        if refusal.expected:
            self._left_out += 1
            self._output.note(f"left out: {refusal.error.message}")
        else:
            self.failed(refusal.source, None, refusal.error)

    def observe(self, event: ProgressEvent, totals: Totals | None = None) -> None:
        """
        Record an item that has finished; the progress sink of the operation.

        Args:
            totals: What there is to transfer; the bytes of an item that was not transferred are taken from it.
        """
        self._latest = event
        if event.uri is None or not event.kind.startswith("object_"):
            return
        item = self._under_way.pop(event.uri, None)
        status = _STATUS.get(event.kind)
        if status != "done" and totals is not None and item is not None:
            totals.size -= (item.size or 0) - event.object_bytes_done
        if status is None:
            # The result of the operation has the error.
            if item is not None:
                self._unexplained.append(item)
            return
        source, target = (item.source, item.target) if item else (event.uri, None)
        size = event.object_bytes_total if status == "done" else None
        self._output.record(item_record(status, source, target, size))

    def finished(self, result: BulkResult) -> None:
        """
        The operation has finished; record its failures.
        """
        self._unexplained.clear()
        self._done += result.done
        self._skipped += result.skipped
        self._bytes += result.total_bytes
        for outcome in result.failures:
            assert outcome.error is not None
            self.failed(outcome.source, outcome.target, outcome.error)

    def failed(self, source: Anywhere, target: Anywhere | None, error: StorageError) -> None:
        """
        An item has failed.
        """
        self._failures.append((source, target, error))

    def left(self, steps: Iterable[TreeStep], *, complete: bool) -> None:
        """
        The command ends early, and *steps* were not begun; whether they are *complete*, or there are more.
        """
        self._all_found = complete
        for step in steps:
            if isinstance(step, TreeProblem):
                self.refused(step)
            else:
                self._left.append(step)

    def _failed_records(self) -> list[dict[str, Any]]:
        return [item_record("failed", source, target, error=error) for source, target, error in self._failures]

    def close(self, sentence: str | None = None) -> int:
        """
        Report the failures and a summary, or *sentence*, and return the exit code.
        """
        records = self._failed_records()
        self._report.write(records)
        for number, (source, _, error) in enumerate(self._failures):
            self._output.record(records[number])
            if number < _TOLD:
                text = one_line(error)
                self._output.complain(text if str(source) in text else f"{source}: {text}")
        if len(self._failures) > _TOLD:
            self._output.complain(f"... and {len(self._failures) - _TOLD} more failures")
        seconds = time.monotonic() - self._started
        self._output.record(self._summary(seconds))
        self._output.note(sentence or self._sentence(seconds))
        return self._code()

    def _code(self) -> int:
        if not self._failures:
            return OK
        codes = {exit_code(error) for _, _, error in self._failures}
        # If nothing succeeded, and all failures have one reason, the code is that of the reason.
        return codes.pop() if len(codes) == 1 and not self._done and not self._skipped else FAILED

    def _summary(self, seconds: float) -> dict[str, Any]:
        return {
            "type": "summary",
            "command": self._command,
            "done": self._done,
            "skipped": self._skipped,
            "failed": len(self._failures),
            "left_out": self._left_out,
            "bytes": self._bytes,
            "seconds": round(seconds, 3),
            "bytes_per_second": round(self._bytes / seconds) if seconds else 0,
            "retries": self._latest.retries,
            "throttled": self._latest.throttled,
            **self._in_flight(),
        }

    def _in_flight(self) -> dict[str, int]:
        """
        Return what the budget of the storage that was busiest has found.
        """
        if not self.storages:
            return {}
        found = max((storage.statistics() for storage in self.storages), key=lambda found: found.requests)
        return {
            "requests": found.requests,
            "requests_allowed": found.requests_allowed,
            "requests_ceiling": found.requests_ceiling,
            "requests_peak": found.requests_peak,
        }

    def _sentence(self, seconds: float) -> str:
        text = f"{self._command}: {self._done} done"
        for count, word in ((self._skipped, "skipped"), (len(self._failures), "failed"), (self._left_out, "left out")):
            text += f", {count} {word}" if count else ""
        if self._bytes:
            text += f", {human(self._bytes)} in {seconds:.1f} s ({human(self._bytes / max(seconds, 1e-9))}/s)"
        return text + (f", {counted(self._latest.retries, 'retry', 'retries')}" if self._latest.retries else "")


async def carry_out(
    output: Output,
    tally: Tally,
    title: str,
    steps: AsyncGenerator[TreeStep, None],
    operation: Operation,
    totals: Totals | None = None,
) -> None:
    """
    Run *operation* on the items among *steps*, and record all outcomes.

    Args:
        totals: Counts the steps, and what their maker adds.
    """
    totals = totals or Totals()
    observe = partial(tally.observe, totals=totals)
    left: list[TreeStep] = []
    try:
        async with read_ahead(steps, totals, left) as ahead:
            result = await watched(output, title, totals, operation, _items(ahead, tally), observer=observe)
    except BaseException:
        tally.left(left, complete=totals.complete)
        raise
    tally.finished(result)


async def _items(steps: AsyncIterator[TreeStep], tally: Tally) -> AsyncIterator[TreeItem]:
    async for step in steps:
        if isinstance(step, TreeProblem):
            tally.refused(step)
        else:
            tally.began(step)
            yield step


async def rehearse(output: Output, command: str, steps: AsyncGenerator[TreeStep, None]) -> int:
    """
    Show *steps* instead of carrying them out.
    """
    tally = Tally(output, command)
    count = size = 0
    async for step in steps:
        if isinstance(step, TreeProblem):
            tally.refused(step)
            continue
        count, size = count + 1, size + (step.size or 0)
        output.record(item_record("planned", step.source, step.target, step.size))
        verb = "move" if command == "mv" else "copy"
        output.line(f"would {verb} {step.source} to {step.target}" if step.target else f"would delete {step.source}")
    return tally.close(f"{command}: {count} to do, {human(size)}; nothing was done")


def transfer(job: TreeJob) -> Operation:
    """
    Return the operation that transfers items as *job* says.
    """
    return lambda items, progress: transfer_tree(job, items, Meter(progress))

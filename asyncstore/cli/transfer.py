"""
Carrying out steps: outcomes are written down, told, and made into an exit code.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Final

from asyncstore.cli.ahead import Totals, read_ahead
from asyncstore.cli.output import Output, counted, human, item_record, one_line
from asyncstore.cli.plan import Anywhere, Item, Refusal, Step
from asyncstore.cli.progress import watched
from asyncstore.cli.running import FAILED, OK, exit_code
from asyncstore.errors import StorageError
from asyncstore.types import BulkResult, ProgressEvent
from asyncstore.uri import ObjectURI

# Failures that are told one by one on a terminal; JSON tells all.
_TOLD: Final = 20

_STATUS: Final = {"object_done": "done", "object_skipped": "skipped"}

#: Draws items, tells progress, and returns what became of them.
Operation = Callable[..., Awaitable[BulkResult]]


class Tally:
    """
    What became of the items of one command.
    """

    def __init__(self, output: Output, command: str) -> None:
        self._output = output
        self._command = command
        self._started = time.monotonic()
        self._under_way: dict[ObjectURI, Item] = {}
        self._failures: list[tuple[Anywhere, Anywhere | None, StorageError]] = []
        self._left_out = 0
        self._latest = ProgressEvent(kind="progress")
        self._done = self._skipped = self._bytes = 0

    def began(self, item: Item) -> None:
        """
        An item is drawn. Its events come under the URI of its object, the target's if it has two.
        """
        uri = item.target if isinstance(item.target, ObjectURI) else item.source
        assert isinstance(uri, ObjectURI)
        self._under_way[uri] = item

    def refused(self, refusal: Refusal) -> None:
        """
        Something is not transferred.
        """
        if refusal.expected:
            self._left_out += 1
            self._output.note(f"left out: {refusal.error.message}")
        else:
            self.failed(refusal.source, None, refusal.error)

    def observe(self, event: ProgressEvent) -> None:
        """
        Tell of an item that has ended; the sink of the operation.
        """
        self._latest = event
        if event.uri is None or not event.kind.startswith("object_"):
            return
        item = self._under_way.pop(event.uri, None)
        status = _STATUS.get(event.kind)
        if status is None:
            # Why it failed comes with the result.
            return
        source, target = (item.source, item.target) if item else (event.uri, None)
        size = event.object_bytes_total if status == "done" else None
        self._output.record(item_record(status, source, target, size))

    def finished(self, result: BulkResult) -> None:
        """
        The operation has ended; only now are its failures known.
        """
        self._done += result.done
        self._skipped += result.skipped
        self._bytes += result.total_bytes
        for outcome in result.failures:
            assert outcome.error is not None
            self.failed(outcome.source, outcome.target, outcome.error)

    def failed(self, source: Anywhere, target: Anywhere | None, error: StorageError) -> None:
        """
        An item could not be done.
        """
        self._failures.append((source, target, error))

    def close(self, sentence: str | None = None) -> int:
        """
        Tell the failures and the sum, or *sentence*, and return the exit code.
        """
        for number, (source, target, error) in enumerate(self._failures):
            self._output.record(item_record("failed", source, target, error=error))
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
        # Where nothing went well for one reason, that reason is the answer.
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
        }

    def _sentence(self, seconds: float) -> str:
        text = f"{self._command}: {self._done} done"
        for count, word in ((self._skipped, "skipped"), (len(self._failures), "failed"), (self._left_out, "left out")):
            text += f", {count} {word}" if count else ""
        if self._bytes:
            text += f", {human(self._bytes)} in {seconds:.1f} s ({human(self._bytes / max(seconds, 1e-9))}/s)"
        return text + (f", {counted(self._latest.retries, 'retry', 'retries')}" if self._latest.retries else "")


async def carry_out(
    output: Output, tally: Tally, title: str, steps: AsyncGenerator[Step, None], operation: Operation
) -> None:
    """
    Hand the items among *steps* to *operation*, and write down what becomes of all of them.
    """
    totals = Totals()
    async with read_ahead(steps, totals) as ahead:
        result = await watched(output, title, totals, operation, _items(ahead, tally), observer=tally.observe)
    tally.finished(result)


async def _items(steps: AsyncIterator[Step], tally: Tally) -> AsyncIterator[Item]:
    async for step in steps:
        if isinstance(step, Refusal):
            tally.refused(step)
        else:
            tally.began(step)
            yield step


async def rehearse(output: Output, command: str, steps: AsyncGenerator[Step, None]) -> int:
    """
    Tell *steps* instead of doing them.
    """
    tally = Tally(output, command)
    count = size = 0
    async for step in steps:
        if isinstance(step, Refusal):
            tally.refused(step)
            continue
        count, size = count + 1, size + (step.size or 0)
        output.record(item_record("planned", step.source, step.target, step.size))
        output.line(f"would copy {step.source} to {step.target}" if step.target else f"would delete {step.source}")
    return tally.close(f"{command}: {count} to do, {human(size)}; nothing was done")

"""
Progress of a transfer: items are counted ahead to know the total, and shown live on a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyncstore.cli.output import Output, human, printable
from asyncstore.engine.progress import track
from asyncstore.engine.task_pool import single_error
from asyncstore.errors import StorageError
from asyncstore.options import KiB, MiB
from asyncstore.protocols import ProgressSink
from asyncstore.storage.trees import TreeItem, TreeStep
from asyncstore.storage.walk import TreeProblem
from asyncstore.types import ProgressEvent
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")

_ROWS: Final = 4
# Smaller objects finish before their names can be read.
_BIG: Final = 1 * MiB
_REFRESH: Final = 8
_BAR: Final = 28
_NAME: Final = 34
# Enough to know the total of most trees at once, without holding huge ones in memory.
_MAX_AHEAD: Final = 10_000
# Seconds between the samples of the pace, over which it is smoothed, and before it is believed.
_SAMPLE: Final = 0.25
_SMOOTH: Final = 15.0
_SETTLED: Final = 2.0
# What a request costs, in bytes: a small object takes as long as one of some hundred kilobytes.
_PER_OBJECT: Final = 256 * KiB
_ENDED: Final = frozenset({"object_done", "object_skipped", "object_failed"})


@dataclass
class Totals:
    """
    The items found so far.

    Attributes:
        objects: Items to transfer.
        size: Their bytes.
        listed: Names that have been listed or compared so far.
        complete: Whether all items have been found.
    """

    objects: int = 0
    size: int = 0
    listed: int = 0
    complete: bool = False

    def list(self, count: int) -> None:
        """
        Count *count* more names.
        """
        self.listed += count


async def watched(
    output: Output,
    title: str,
    totals: Totals,
    operation: Callable[..., Awaitable[_T]],
    *args: Any,
    observer: ProgressSink,
    lines: bool = False,
    **kwargs: Any,
) -> _T:
    """
    Run ``operation(*args, progress=..., **kwargs)``, with a live display on a terminal.

    *observer* receives every event; the display skips those that it cannot show in time.

    Args:
        lines: Whether *operation* writes lines to stdout: on a terminal they go above the display.
    """
    if not output.live:
        return await operation(*args, progress=observer, **kwargs)

    async def observed(progress: ProgressSink) -> _T:
        def forward(event: ProgressEvent) -> None:
            observer(event)
            progress(event)

        return await operation(*args, progress=forward, **kwargs)

    display = Display(title, totals, lines=lines)
    async with track(observed) as transfer:
        with display:
            async for event in transfer:
                display.update(event)
    return transfer.result


class Pace:
    """
    How fast the work goes, smoothed so that the time that is left does not jump.

    An object counts as some bytes more than it has, since each of them takes requests: so the pace of small objects is
    told too.
    """

    def __init__(self) -> None:
        self._at = self._done = self._rate = 0.0

    def update(self, event: ProgressEvent) -> None:
        """
        Take the counts of *event*.
        """
        passed = event.elapsed - self._at
        if passed < _SAMPLE:
            return
        done = self._work(event.bytes_done, event.objects_done + event.objects_skipped)
        # Starts as the average so far, and turns into that of the last _SMOOTH seconds.
        weight = passed / min(event.elapsed, _SMOOTH)
        self._rate += min(weight, 1.0) * ((done - self._done) / passed - self._rate)
        self._at, self._done = event.elapsed, done

    def left(self, event: ProgressEvent, totals: Totals) -> float | None:
        """
        Return the seconds that are left, if that can be told yet.
        """
        if not totals.complete or self._rate <= 0 or event.elapsed < _SETTLED:
            return None
        size = 0 if event.phase == "deleting" else totals.size
        settled = event.objects_done + event.objects_skipped + event.objects_failed
        left = self._work(size, totals.objects) - self._work(event.bytes_done, settled)
        return max(left, 0.0) / self._rate

    @staticmethod
    def _work(size: int, objects: int) -> float:
        return size + objects * _PER_OBJECT


class Display:
    """
    The display of a transfer, redrawn a few times per second while the block runs.
    """

    def __init__(self, title: str, totals: Totals, console: Console | None = None, *, lines: bool = False) -> None:
        self._title = title
        self._totals = totals
        self._latest = ProgressEvent(kind="progress")
        self._pace = Pace()
        self._running: dict[ObjectURI, ProgressEvent] = {}
        self._live = Live(
            get_renderable=self.picture,
            console=console or Console(stderr=True),
            refresh_per_second=_REFRESH,
            transient=True,
            # Results go to stdout, not to this console, unless both are one terminal.
            redirect_stdout=lines and sys.stdout.isatty(),
        )

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, event: ProgressEvent) -> None:
        """
        Record an event for the next redraw.
        """
        self._latest = event
        self._pace.update(event)
        if event.uri is None:
            return
        if event.kind in _ENDED:
            self._running.pop(event.uri, None)
        else:
            self._running[event.uri] = event

    def picture(self) -> RenderableType:
        """
        Return the current state to draw; called from the display's own thread.
        """
        table = Table.grid(padding=(0, 1))
        for _ in range(4):
            table.add_column(no_wrap=True)
        event, total = self._latest, self._size()
        if event.phase == "comparing" and not event.objects_total:
            return self._comparing()
        done = event.objects_done if event.phase == "deleting" else event.bytes_done
        table.add_row(
            Text(self._title, style="bold"),
            ProgressBar(total=total or None, completed=done, width=_BAR, pulse=not total),
            "" if event.phase == "deleting" else _amount(done, total),
            f"{self._rate()}/s{self._eta()}",
        )
        for row in self._biggest():
            done, size = row.object_bytes_done, row.object_bytes_total or 0
            name = _short(row.uri.key if row.uri else "")
            table.add_row(Text(name, style="dim"), ProgressBar(size or 1, done, width=_BAR), _amount(done, size), "")
        return Group(table, self._counts())

    def _comparing(self) -> RenderableType:
        event = self._latest
        rate = self._totals.listed / event.elapsed if event.elapsed else 0.0
        return Text(f"{self._title}  compared {self._totals.listed:,}  {rate:,.0f}/s")

    def _size(self) -> int:
        if not self._totals.complete:
            return 0
        return self._totals.objects if self._latest.phase == "deleting" else self._totals.size

    def _rate(self) -> str:
        event = self._latest
        if event.phase != "deleting":
            return human(event.rate)
        return f"{event.objects_done / event.elapsed:.0f}" if event.elapsed else "0"

    def _eta(self) -> str:
        left = self._pace.left(self._latest, self._totals)
        if not left:
            return ""
        hours, seconds = divmod(round(left), 3600)
        clock = f"{seconds // 60}:{seconds % 60:02}"
        return f"  {hours}:{clock:0>5} left" if hours else f"  {clock} left"

    def _biggest(self) -> list[ProgressEvent]:
        rows = [event for event in list(self._running.values()) if (event.object_bytes_total or 0) >= _BIG]
        return sorted(rows, key=lambda event: -(event.object_bytes_total or 0))[:_ROWS]

    def _counts(self) -> Text:
        event, totals = self._latest, self._totals
        known = f"/{totals.objects}{'' if totals.complete else '+'}" if totals.objects else ""
        text = Text(f"objects {event.objects_done}{known}")
        if event.objects_skipped:
            text.append(f"  skipped {event.objects_skipped}")
        text.append(f"  failed {event.objects_failed}", style="bold red" if event.objects_failed else "")
        text.append(f"  retries {event.retries}", style="yellow" if event.retries else "")
        if event.throttled:
            text.append(f"  throttled {event.throttled}", style="yellow")
        if listed := max(totals.listed, event.objects_listed):
            text.append(f"  {'compared' if totals.listed else 'listed'} {listed:,}", style="dim")
        if checking := sum(other.phase == "verifying" for other in list(self._running.values())):
            text.append(f"  verifying {checking}")
        return text


def _amount(done: int, total: int) -> str:
    return f"{human(done)} / {human(total)} {100 * done // total}%" if total else human(done)


def _short(key: str) -> str:
    name = printable(key)
    return name if len(name) <= _NAME else "…" + name[1 - _NAME :]


@asynccontextmanager
async def read_ahead(
    steps: AsyncGenerator[TreeStep, None], totals: Totals, left: list[TreeStep] | None = None
) -> AsyncIterator[AsyncIterator[TreeStep]]:
    """
    Yield an iterator over *steps* that reads and counts up to 10,000 of them ahead.

    If reading *steps* fails, the iterator raises that error after the steps before it. What was read and not iterated
    when the block ends is added to *left*.
    """
    send, receive = anyio.create_memory_object_stream[TreeStep](_MAX_AHEAD)
    failed: list[StorageError] = []

    async def buffered() -> AsyncIterator[TreeStep]:
        async for step in receive:
            yield step
        if failed:
            raise failed[0]

    with single_error():
        async with anyio.create_task_group() as group, receive:
            group.start_soon(_read, steps, send, totals, failed)
            try:
                yield buffered()
            finally:
                with suppress(anyio.WouldBlock, anyio.EndOfStream):
                    while left is not None:
                        left.append(receive.receive_nowait())
            group.cancel_scope.cancel()


async def _read(
    steps: AsyncGenerator[TreeStep, None],
    send: MemoryObjectSendStream[TreeStep],
    totals: Totals,
    failed: list[StorageError],
) -> None:
    async with send, aclosing(steps):
        try:
            async for step in steps:
                _count(step, totals)
                await send.send(step)
            totals.complete = True
        except StorageError as exc:
            failed.append(exc)


def _count(step: TreeStep, totals: Totals) -> None:
    if not isinstance(step, TreeProblem):
        assert isinstance(step, TreeItem)
        totals.objects += 1
        totals.size += step.size or 0

"""
A transfer as people watch it: one bar for all, one for each of the biggest objects under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyncstore.cli.ahead import Totals
from asyncstore.cli.output import Output, human, printable
from asyncstore.engine.progress import track
from asyncstore.options import MiB
from asyncstore.protocols import ProgressSink
from asyncstore.types import ProgressEvent
from asyncstore.uri import ObjectURI

_T = TypeVar("_T")

_ROWS: Final = 4
# Smaller objects are gone before anyone can read their names.
_BIG: Final = 1 * MiB
_REFRESH: Final = 8
_BAR: Final = 28
_NAME: Final = 34
_ENDED: Final = frozenset({"object_done", "object_skipped", "object_failed"})


async def watched(
    output: Output,
    title: str,
    totals: Totals,
    operation: Callable[..., Awaitable[_T]],
    *args: Any,
    observer: ProgressSink,
    **kwargs: Any,
) -> _T:
    """
    Run ``operation(*args, progress=..., **kwargs)``, shown live if there is a terminal to show it on.

    *observer* is told every event; the display only as many as it can show.
    """
    if not output.live:
        return await operation(*args, progress=observer, **kwargs)

    async def observed(progress: ProgressSink) -> _T:
        def tell(event: ProgressEvent) -> None:
            observer(event)
            progress(event)

        return await operation(*args, progress=tell, **kwargs)

    display = Display(title, totals)
    async with track(observed) as transfer:
        with display:
            async for event in transfer:
                display.update(event)
    return transfer.result


class Display:
    """
    The picture of a transfer, redrawn a few times a second while the block runs.
    """

    def __init__(self, title: str, totals: Totals, console: Console | None = None) -> None:
        self._title = title
        self._totals = totals
        self._latest = ProgressEvent(kind="progress")
        self._running: dict[ObjectURI, ProgressEvent] = {}
        self._live = Live(
            get_renderable=self.picture,
            console=console or Console(stderr=True),
            refresh_per_second=_REFRESH,
            transient=True,
            # What goes to stdout is a result, and not for this console.
            redirect_stdout=False,
        )

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, event: ProgressEvent) -> None:
        """
        Take an event into the picture.
        """
        self._latest = event
        if event.uri is None:
            return
        if event.kind in _ENDED:
            self._running.pop(event.uri, None)
        else:
            self._running[event.uri] = event

    def picture(self) -> RenderableType:
        """
        Return what the display looks like now; called from its own thread.
        """
        table = Table.grid(padding=(0, 1))
        for _ in range(4):
            table.add_column(no_wrap=True)
        event, total = self._latest, self._size()
        table.add_row(
            Text(self._title, style="bold"),
            ProgressBar(total=total or None, completed=event.bytes_done, width=_BAR, pulse=not total),
            _amount(event.bytes_done, total),
            f"{human(event.rate)}/s{self._eta(total)}",
        )
        for row in self._biggest():
            done, size = row.object_bytes_done, row.object_bytes_total or 0
            name = _short(row.uri.key if row.uri else "")
            table.add_row(Text(name, style="dim"), ProgressBar(size or 1, done, width=_BAR), _amount(done, size), "")
        return Group(table, self._counts())

    def _size(self) -> int:
        return self._totals.size if self._totals.complete else 0

    def _eta(self, total: int) -> str:
        left = total - self._latest.bytes_done
        if left <= 0 or self._latest.rate <= 0:
            return ""
        seconds = round(left / self._latest.rate)
        return f"  {seconds // 60}:{seconds % 60:02} left"

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
        return text


def _amount(done: int, total: int) -> str:
    return f"{human(done)} / {human(total)} {100 * done // total}%" if total else human(done)


def _short(key: str) -> str:
    name = printable(key)
    return name if len(name) <= _NAME else "…" + name[1 - _NAME :]

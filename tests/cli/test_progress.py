"""
The live display of a transfer, and when it is off.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from io import StringIO
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from asyncstore.cli.output import Output
from asyncstore.cli.progress import Display, Pace, Totals
from asyncstore.cli.report import Report
from asyncstore.cli.transfer import Tally, carry_out
from asyncstore.protocols import ProgressSink
from asyncstore.storage.trees import TreeItem, TreeStep
from asyncstore.types import BulkResult, ProgressEvent, ProgressKind
from asyncstore.uri import ObjectURI, parse_uri
from tests.cli.shell import COMMAND, clean_environment, make, run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source", {f"f{number}": b"x" * 300_000 for number in range(200)})


def on_terminal(*arguments: object) -> str:
    """
    Run the command with a terminal as stderr; return the terminal's output.
    """
    ours, theirs = pty.openpty()
    environment = clean_environment({"TERM": "xterm"})
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with process:
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            # The other end is closed.
            pass
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_bar_on_a_terminal(source: Path, tmp_path: Path) -> None:
    """
    A terminal shows bytes, rate and counts, and a summary at the end.
    """
    shown = on_terminal("cp", "-r", source, (tmp_path / "store").as_uri())

    assert "copying" in shown
    assert "/s" in shown
    assert "objects" in shown
    assert "retries 0" in shown
    assert "cp: 200 done, 57.2 MiB in " in shown.rstrip().splitlines()[-1]


def test_check_on_a_terminal(source: Path, tmp_path: Path) -> None:
    """
    A comparison says how many names it has compared, and the result at the end.
    """
    store = (tmp_path / "store").as_uri()
    run("cp", "-r", source, store)

    shown = on_terminal("check", source, store)

    assert "checking  compared 200" in shown
    assert shown.rstrip().endswith("check: nothing differs")


@pytest.mark.parametrize("complete", [True, False])
def test_report_of_a_run_that_ends_early(tmp_path: Path, complete: bool) -> None:
    """
    It has what failed, what was under way and what was not begun, and says whether that is all.
    """
    report, (one, two, three) = tmp_path / "report", [parse_uri(f"memory://b/{number}") for number in range(3)]
    with pytest.raises(KeyboardInterrupt), Tally(Output(quiet=True), "cp", Report(failures=report)) as tally:
        for uri in (one, two):
            tally.began(TreeItem(uri, tmp_path / uri.key))
        tally.observe(ProgressEvent(kind="object_failed", uri=one))
        tally.left([TreeItem(three, tmp_path / "2")], complete=complete)
        raise KeyboardInterrupt

    records = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(record["status"], record["source"]) for record in records if record["type"] == "item"] == [
        ("failed", str(one)),
        ("planned", str(two)),
        ("planned", str(three)),
    ]
    assert [record["type"] for record in records[3:]] == ([] if complete else ["incomplete"])


def test_early_end_without_items_keeps_the_report(tmp_path: Path) -> None:
    """
    A run that ends before its first item does not replace the report that it may have started from.
    """
    report = tmp_path / "report"
    report.write_text("name\n")
    with pytest.raises(KeyboardInterrupt), Tally(Output(quiet=True), "cp", Report(failures=report)):
        raise KeyboardInterrupt

    assert report.read_text() == "name\n"


def test_quiet_on_a_terminal(source: Path, tmp_path: Path) -> None:
    """
    --quiet shows nothing on a terminal either.
    """
    assert on_terminal("cp", "-r", "-q", source, (tmp_path / "store").as_uri()) == ""


def test_nothing_moves_without_a_terminal(source: Path, tmp_path: Path) -> None:
    """
    Without a terminal there is only the summary.
    """
    result = run("cp", "-r", source, (tmp_path / "store").as_uri())

    assert result.stdout == b""
    assert len(result.stderr.splitlines()) == 1
    assert b"\x1b" not in result.stderr


def picture(display: Display) -> str:
    console = Console(file=StringIO(), width=100)
    console.print(display.picture())
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_picture() -> None:
    """
    The display shows the total, the biggest objects in flight, and the failures.
    """
    display = Display("copying", Totals(objects=10, size=1000 << 20, complete=True))
    for number in range(6):
        display.update(
            ProgressEvent(
                kind="progress",
                uri=parse_uri(f"memory://b/object-{number}"),
                object_bytes_done=1 << 20,
                object_bytes_total=(number + 2) << 20,
                bytes_done=250 << 20,
                objects_done=3,
                objects_failed=1,
                retries=2,
                throttled=1,
                rate=75 << 20,
                elapsed=10 / 3,
            )
        )
    display.update(
        ProgressEvent(
            kind="object_done",
            uri=parse_uri("memory://b/object-5"),
            bytes_done=250 << 20,
            rate=75 << 20,
            elapsed=10 / 3,
            retries=2,
            throttled=1,
        )
    )
    shown = picture(display)

    assert "250.0 MiB / 1000.0 MiB 25%" in shown
    assert "75.0 MiB/s  0:10 left" in shown
    assert "retries 2  throttled 1" in shown
    assert [name for name in range(6) if f"object-{name}" in shown] == [1, 2, 3, 4]
    assert "1.0 MiB / 6.0 MiB 16%" in shown


def test_picture_before_all_is_counted() -> None:
    """
    A total that is still growing is not shown as final.
    """
    display = Display("copying", Totals(objects=10, size=1000))
    display.update(ProgressEvent(kind="progress", bytes_done=500, objects_done=5, objects_failed=1, retries=3))
    shown = picture(display)

    assert "500 B" in shown
    assert "%" not in shown
    assert "objects 5/10+  failed 1  retries 3" in shown


def test_picture_of_a_comparison() -> None:
    """
    Nothing has to move yet, and the display says how far the comparison is; later, how many items are verified.
    """
    totals = Totals()
    display = Display("syncing", totals)
    totals.list(1_234_567)
    assert "compared 1,234,567" in picture(display)

    for number in range(3):
        uri = parse_uri(f"memory://b/{number}")
        display.update(ProgressEvent(kind="progress", phase="verifying" if number else "transferring", uri=uri))
    assert "verifying 2" in picture(display)


def test_picture_of_deletions() -> None:
    """
    They have no bytes: the bar and the time left count objects.
    """
    display = Display("deleting", Totals(objects=1000, size=10 << 30, complete=True))
    for second in range(1, 11):
        display.update(ProgressEvent(kind="object_done", phase="deleting", objects_done=second * 50, elapsed=second))
    shown = picture(display)

    assert "50/s  0:10 left" in shown
    assert "objects 500/1000" in shown
    assert "B" not in shown.replace("objects", "")


def test_time_left_settles() -> None:
    """
    A rate that jumps from second to second hardly moves the time that is left.
    """
    pace, totals, told = Pace(), Totals(objects=0, size=1000 << 20, complete=True), []
    done = 0
    for second in range(1, 61):
        done += (20 << 20) if second % 2 else 0
        event = ProgressEvent(kind="progress", bytes_done=done, elapsed=second)
        pace.update(event)
        told.append(pace.left(event, totals))

    assert told[0] is None
    for second, left in enumerate(told[9:], 10):
        assert left is not None
        assert abs(left - (1000 - 10 * second) / 10) < 0.2 * (1000 - 10 * second) / 10 + 2


async def test_totals_are_of_what_moves(tmp_path: Path) -> None:
    """
    The bytes of items that are skipped or fail are no longer waited for, so that the bar reaches its end.
    """
    sizes = {"skipped": 3000, "failed": 500, "done": 70}
    totals, tally = Totals(), Tally(Output(quiet=True), "cp")

    async def steps() -> AsyncGenerator[TreeStep, None]:
        for name, size in sizes.items():
            yield TreeItem(tmp_path / name, parse_uri(f"memory://b/{name}"), size)

    async def operation(items: AsyncIterator[TreeItem], progress: ProgressSink) -> BulkResult:
        async for item in items:
            assert isinstance(item.target, ObjectURI)
            half = 200 if item.target.key == "failed" else 0
            kind = cast("ProgressKind", f"object_{item.target.key}")
            progress(ProgressEvent(kind=kind, uri=item.target, object_bytes_done=half, object_bytes_total=item.size))
        return BulkResult(done=1, skipped=1, failed=1)

    await carry_out(Output(quiet=True), tally, "copying", steps(), operation, totals)

    assert (totals.objects, totals.size, totals.complete) == (3, 70 + 200, True)

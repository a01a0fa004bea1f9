"""
The measurements of the demo.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from asyncstore.cli.output import counted, human, printable


@dataclass
class Phase:
    """
    One step of the demo.

    Attributes:
        name: What it does.
        objects: Objects or files processed.
        size: Their bytes.
        seconds: How long it took.
        retries: Requests that were retried.
        read: Bytes that this process read from files.
        written: Bytes that this process wrote to files.
        disk_read: Bytes read from the disk, not from the page cache.
        disk_written: Bytes written to the disk.
        peak_memory: Peak memory of the process at the end of the phase, in bytes.
    """

    name: str
    objects: int = 0
    size: int = 0
    seconds: float = 0.0
    retries: int = 0
    read: int = 0
    written: int = 0
    disk_read: int = 0
    disk_written: int = 0
    peak_memory: int = 0

    @property
    def rate(self) -> float:
        """Megabytes (10**6 bytes) per second."""
        return self.size / self.seconds / 1e6 if self.seconds else 0.0

    def record(self) -> dict[str, Any]:
        """
        Return the record for ``--json``.
        """
        values = {**vars(self), "seconds": round(self.seconds, 4), "megabytes_per_second": round(self.rate, 1)}
        values["bytes"], values["peak_memory_bytes"] = values.pop("size"), values.pop("peak_memory")
        return {"type": "phase", **values}


@dataclass
class Report:
    """
    The whole demo: target, phases and problems.
    """

    target: str
    phases: list[Phase] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """
        Measure a block.
        """
        phase = Phase(name)
        before, started = _io(), time.perf_counter()
        yield phase
        phase.seconds = time.perf_counter() - started
        after = _io()
        names = {"read": "rchar", "written": "wchar", "disk_read": "read_bytes", "disk_written": "write_bytes"}
        for attribute, counter in names.items():
            setattr(phase, attribute, after.get(counter, 0) - before.get(counter, 0))
        phase.peak_memory = peak_memory()
        self.phases.append(phase)

    def record(self) -> dict[str, Any]:
        """
        Return the summary record for ``--json``.
        """
        found = {phase.name: phase for phase in self.phases}
        up, down = found.get("upload"), found.get("download")
        return {
            "type": "summary",
            "command": "demo",
            "ok": not self.problems,
            "target": self.target,
            "objects": up.objects if up else 0,
            "bytes": up.size if up else 0,
            "upload_megabytes_per_second": round(up.rate, 1) if up else None,
            "download_megabytes_per_second": round(down.rate, 1) if down else None,
            "retries": sum(phase.retries for phase in self.phases),
            "peak_memory_bytes": peak_memory(),
            "problems": self.problems,
        }

    def show(self, console: Console) -> None:
        """
        Print the table.
        """
        console.print(f"asyncstore demo, to {printable(self.target)}", highlight=False, soft_wrap=True)
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in ("", "objects", "data", "sec", "MB/s", "read", "written", "disk", "memory"):
            table.add_column(column, justify="right" if column else "left", no_wrap=True)
        for phase in self.phases:
            table.add_row(*_cells(phase))
        console.print(table)
        legend = "read, written, disk: bytes of local file I/O per byte of data; memory: peak so far"
        console.print(legend, style="dim", soft_wrap=True)
        retries = sum(phase.retries for phase in self.phases)
        verdict = "every byte is the same" if not self.problems else counted(len(self.problems), "PROBLEM")
        console.print(f"retries {retries}; peak memory {human(peak_memory())}; {verdict}", highlight=False)


def _cells(phase: Phase) -> list[str]:
    moved = [_times(phase, count) for count in (phase.read, phase.written, phase.disk_written)]
    rate = "" if phase.name == "list" else f"{phase.rate:.0f}"
    return [
        phase.name,
        str(phase.objects),
        human(phase.size),
        f"{phase.seconds:.2f}",
        rate,
        *moved,
        human(phase.peak_memory),
    ]


def _times(phase: Phase, count: int) -> str:
    return f"{count / phase.size:.2f}x" if phase.size else ""


def peak_memory() -> int:
    """
    Return the peak memory of this process, in bytes.
    """
    # A forked child inherits ru_maxrss from its parent; VmHWM is the process's own.
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    # In KiB on Linux, in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _io() -> dict[str, int]:
    try:
        lines = Path("/proc/self/io").read_text("ascii").splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, _, value in (line.partition(":") for line in lines)}

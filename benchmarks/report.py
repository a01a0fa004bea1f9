"""Writes the results as tables and as JSON."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import cache
from benchmarks.clouds import S3, Cloud
from benchmarks.harness import Measured, Results

RESULTS = Path(__file__).with_name("results")
PACKAGES = ("asyncstore", "aiohttp", "uvloop")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, and a function that returns the text for one contender."""

    heading: str
    text: Callable[[Measured], str]


def cpu_per_operation(unit: str = "op") -> Column:
    """Microseconds of CPU per operation."""
    return Column(f"CPU µs/{unit}", lambda measured: f"{measured.median('cpu') / measured.units * 1e6:.1f}")


def rate(unit: str = "op") -> Column:
    """Operations per second."""
    return Column(f"{unit}/s", lambda measured: f"{measured.units / measured.median('wall'):,.0f}")


def cpu_per_gigabyte() -> Column:
    """Seconds of CPU per GB (10**9 bytes)."""
    return Column("CPU-s/GB", lambda measured: f"{measured.median('cpu') / measured.units * 1e9:.2f}")


def throughput() -> Column:
    """MB (10**6 bytes) per second."""
    return Column("MB/s", lambda measured: f"{measured.units / measured.median('wall') / 1e6:,.0f}")


def peak() -> Column:
    """Peak resident memory of the process in MB."""
    return Column("peak RSS MB", lambda measured: f"{measured.median('rss') / 1e6:.0f}")


def spread() -> Column:
    """The minimum and maximum CPU of the rounds relative to the median, which shows the noise of the machine."""

    def text(measured: Measured) -> str:
        costs = [cost["cpu"] / measured.median("cpu") for cost in measured.rounds]
        return f"{min(costs):.2f}-{max(costs):.2f}"

    return Column("CPU spread", text)


def write(
    name: str,
    title: str,
    results: Results,
    columns: Sequence[Column],
    against: Sequence[str],
    *,
    cloud: Cloud = S3,
    print_only: bool,
) -> None:
    """
    Write *results* as `<name>.md` and `<name>.json`; for clouds other than S3 the name ends with the cloud.

    CPU is also shown as a ratio to each of *against*.
    """
    name = name if cloud is S3 else f"{name}_{cloud.name}"
    tables = [_table(case, contenders, columns, against) for case, contenders in results.items()]
    title = title if cloud is S3 else f"{title}, {cloud.title}"
    text = f"# {title}\n\n{setting(cloud)}\n\n" + "\n\n".join(tables) + "\n"
    data = {
        "date": today(),
        "setting": setting(cloud),
        "cases": {
            case: {contender: asdict(measured) for contender, measured in contenders.items()}
            for case, contenders in results.items()
        },
    }
    save(name, text, data, print_only=print_only)


def save(name: str, text: str, data: object, *, print_only: bool = False) -> None:
    """Print one result, and save it."""
    print(text)
    if print_only:
        return
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")


def _table(case: str, contenders: dict[str, Measured], columns: Sequence[Column], against: Sequence[str]) -> str:
    bases = [name for name in against if name in contenders and contenders[name].rounds]
    headings = [column.heading for column in columns] + [f"CPU vs {name}" for name in bases]
    lines = [f"| {case} | {' | '.join(headings)} |", "|---" * (len(headings) + 1) + "|"]
    for name, measured in contenders.items():
        if measured.rounds:
            cells = [column.text(measured) for column in columns]
            cells += [f"{measured.median('cpu') / contenders[base].median('cpu'):.2f}" for base in bases]
        else:
            cells = [f"not measured: {measured.problem or 'no rounds'}"] + [""] * (len(headings) - 1)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def setting(cloud: Cloud = S3) -> str:
    """Return the date, machine and versions of the run."""
    return (
        f"{today()}, {platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} CPUs shared by "
        f"client and server, loopback, medians of interleaved rounds. {', '.join(_versions(cloud))}."
    )


def today() -> str:
    """Return the date of the run."""
    return datetime.now(UTC).date().isoformat()


def _versions(cloud: Cloud) -> list[str]:
    found = []
    for package in (*PACKAGES, *cloud.packages):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    if cloud is S3:
        found += [f"s5cmd {_s5cmd_version()}", cache.SEAWEEDFS.replace("==", " ")]
    return found


def _s5cmd_version() -> str:
    program = cache.command("s5cmd", cache.S5CMD)
    return subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.split("-")[0].strip()

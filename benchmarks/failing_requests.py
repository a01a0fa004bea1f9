"""
Transfer a tree through a network that breaks two requests in a hundred: how much longer does it take?

A proxy in front of SeaweedFS resets, cuts, loses, alters or refuses every 50th request of a kind, each time in another
way. The same proxy without faults is the clean run. Every byte is compared afterwards.
"""

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from shutil import rmtree
from urllib.parse import urlsplit

from asyncstore import Storage, delete_tree, download_tree, open_storage, upload_tree
from asyncstore.testing.faults_proxy import (
    CannedReply,
    CorruptReply,
    CorruptRequest,
    CutReply,
    Fault,
    FaultProxy,
    LoseReply,
    ResetBeforeForwarding,
    When,
)
from benchmarks import fixtures, report, servers
from benchmarks.clouds import S3
from benchmarks.small_files import make_bucket
from benchmarks.units import KiB, MiB

EVERY = 50
# More than a run makes.
REQUESTS = 20_000
BUSY = CannedReply()
TOO_MANY = CannedReply(status=429, code="TooManyRequests")
FAULTS: dict[str, list[Fault]] = {
    "PUT": [ResetBeforeForwarding(), BUSY, LoseReply(), TOO_MANY, CorruptRequest(at=7)],
    "GET": [ResetBeforeForwarding(), BUSY, CutReply(after=100), TOO_MANY, CorruptReply(at=7)],
}
SMALL = (2_000, 16 * KiB)
LARGE = (8, 32 * MiB)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--print-only", action="store_true", help="do not change the table in results/")
    parser.add_argument("--proxy", help=argparse.SUPPRESS)
    parser.add_argument("--faults", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.proxy:
        asyncio.run(_proxy(args.proxy, faults=args.faults))
        return
    times: dict[str, dict[str, list[float]]] = {way: {"clean": [], "2 % fail": []} for way in ("up", "down")}
    with servers.seaweedfs() as server, servers.scratch() as folder:
        asyncio.run(make_bucket(server))
        source = _files(folder / "source")
        with _proxied(server.url) as clean, _proxied(server.url, "--faults") as faulty:
            for _ in range(args.rounds):
                for name, url in (("clean", clean), ("2 % fail", faulty)):
                    up, down = asyncio.run(_there_and_back(url, source, folder / "copy"))
                    times["up"][name].append(up)
                    times["down"][name].append(down)
                    print(f"{name}: {up:.1f} s up, {down:.1f} s down", file=sys.stderr)
    _report(times, print_only=args.print_only)


async def _proxy(upstream: str, *, faults: bool) -> None:
    address = urlsplit(upstream)
    assert address.hostname
    assert address.port
    async with FaultProxy(address.hostname, address.port) as proxy:
        for method, kinds in FAULTS.items() if faults else ():
            for nth, fault in zip(range(EVERY, REQUESTS, EVERY), cycle(kinds), strict=False):
                proxy.add(fault, when=When(method=method, target=f"{fixtures.BUCKET}/", nth=nth))
        print(proxy.url, flush=True)
        await asyncio.Event().wait()


@contextlib.contextmanager
def _proxied(upstream: str, *options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.failing_requests", "--proxy", upstream, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def _there_and_back(url: str, source: Path, copy: Path) -> tuple[float, float]:
    async with open_storage(
        f"s3://{fixtures.BUCKET}",
        endpoint_url=url,
        region="us-east-1",
        access_key_id=S3.access_key,
        secret_access_key=S3.secret_key,
    ) as storage:
        rmtree(copy, ignore_errors=True)
        up, down = await _timed(storage, source, copy)
        for path in source.iterdir():
            if (copy / path.name).read_bytes() != path.read_bytes():
                raise RuntimeError(f"{path.name} has other bytes")
        (await delete_tree(storage)).raise_for_failures()
    return up, down


async def _timed(storage: Storage, source: Path, copy: Path) -> tuple[float, float]:
    start = time.perf_counter()
    (await upload_tree(source, storage)).raise_for_failures()
    middle = time.perf_counter()
    (await download_tree(storage, copy)).raise_for_failures()
    return middle - start, time.perf_counter() - middle


def _files(folder: Path) -> Path:
    folder.mkdir()
    for name, (count, size) in {"small": SMALL, "large": LARGE}.items():
        for number in range(count):
            (folder / f"{name}-{number}").write_bytes(fixtures.pattern(size, number))
    return folder


def _report(times: dict[str, dict[str, list[float]]], *, print_only: bool) -> None:
    lines = ["| | clean | 2 % fail | times |", "|---|---|---|---|"]
    for way, runs in times.items():
        clean, faulty = (statistics.median(found) for found in runs.values())
        lines.append(f"| {way} | {clean:.1f} s | {faulty:.1f} s | {faulty / clean:.2f} |")
    title = f"# {SMALL[0]:,} files of 16 KiB and {LARGE[0]} of 32 MiB, while two requests in a hundred fail"
    text = f"{title}\n\n{report.setting()}\n\n" + "\n".join(lines) + "\n"
    report.save("failing_requests", text, {"date": report.today(), "times": times}, print_only=print_only)


if __name__ == "__main__":
    main()

"""
Transfer a large file and a mixed tree to and from a service that is far away.

How close do the defaults come to the best fixed number of requests in flight?

Each line of the tables is one service. A fixed number of requests in flight never changes, whatever the service
answers. The others have their defaults: `obstore` one stream for each download and twelve parts of an upload at a time.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from asyncstore import Download, Storage, Upload, open_storage
from asyncstore.engine.budget import Budget
from asyncstore.engine.request_budget import RequestBudget
from asyncstore.options import BulkOptions, DownloadOptions
from benchmarks import far_peers, report
from benchmarks.far_service import Distance
from benchmarks.inflight import for_each
from benchmarks.meter import Meter
from benchmarks.servers import scratch
from benchmarks.units import KiB, MiB

SERVICES = {
    "30 ms, 20 MB/s a connection": Distance(delay=0.03, rate=20e6),
    "30 ms, 5 MB/s a connection": Distance(delay=0.03, rate=5e6),
    "30 ms, 20 MB/s, 100 MB/s in all": Distance(delay=0.03, rate=20e6, cap=100e6),
    "30 ms, 20 MB/s, 503 above 16": Distance(delay=0.03, rate=20e6, room=16),
    "loopback": Distance(),
}
PEERS = {"s5cmd": far_peers.s5cmd, "boto3": far_peers.boto3, "rclone": far_peers.rclone}
WORKS = ("down", "up", "mixed down", "mixed up")
FIXED = (16, 32, 64, 128)
CONTENDERS = ["auto", *map(str, FIXED), "obstore", *PEERS]
SMALL_FILES = 2_000
SMALL_SIZE = 16 * KiB
WORKER_TIMEOUT = 300.0


@dataclass(slots=True)
class Measured:
    """
    The rounds of one contender, one service and one kind of work.

    Attributes:
        rates: Bytes a second.
        rss: Peak bytes resident.
        refused: Requests that the service refused.
        failed: Items that failed.
        problem: Why it was not measured.
    """

    rates: list[float] = field(default_factory=list)
    rss: int = 0
    refused: int = 0
    failed: int = 0
    problem: str = ""

    @property
    def rate(self) -> float:
        """The median, in bytes a second; 0 if something failed."""
        return statistics.median(self.rates) if self.rates and not self.failed else 0.0


class Fixed(RequestBudget):
    """
    A number of requests in flight that never changes.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.total = number

    async def acquire(self, amount: int = 1) -> int:
        return await Budget.acquire(self, amount)

    def refuse(self, epoch: int, place: int) -> None:
        self.throttled += 1


def main() -> None:
    """Measure, and print a table for each kind of work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=512, help="MiB of the large file")
    parser.add_argument("--services", type=lambda text: text.split(","), default=list(SERVICES), help="parts of names")
    parser.add_argument("--works", type=lambda text: text.split(","), default=list(WORKS))
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=["auto", *map(str, FIXED), "obstore", *PEERS]
    )
    parser.add_argument("--print-only", action="store_true", help="do not change the tables in results/")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(asyncio.run(_work(**json.loads(args.worker)))), flush=True)
        os._exit(0)
    chosen = [name for name in SERVICES if any(part in name for part in args.services)]
    results: dict[str, dict[str, dict[str, Measured]]] = {}
    with scratch() as folder:
        _make_files(folder, args.size)
        for service in chosen:
            with _running(SERVICES[service]) as url:
                results[service] = _measure(service, url, folder, args)
    _report(results, args)


def _measure(service: str, url: str, folder: Path, args: argparse.Namespace) -> dict[str, dict[str, Measured]]:
    found = {work: {name: Measured() for name in args.only} for work in args.works}
    for work, contenders in found.items():
        for number in range(args.rounds):
            for name, measured in contenders.items():
                if not measured.problem:
                    print(f"{service}: {work}: round {number + 1} of {args.rounds}, {name}", file=sys.stderr)
                    _run_once(work, name, url, folder, args.size, measured)
    return found


def _run_once(work: str, name: str, url: str, folder: Path, size: int, measured: Measured) -> None:
    _counts(url)
    settings = json.dumps({"work": work, "name": name, "url": url, "folder": str(folder), "size": size})
    command = [sys.executable, "-m", "benchmarks.far_transfers", "--worker", settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WORKER_TIMEOUT, check=False)
    if done.returncode != 0:
        measured.problem = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        print(f"{name}: {measured.problem}", file=sys.stderr)
        return
    answer = json.loads(done.stdout.splitlines()[-1])
    measured.rates.append(answer["bytes"] / answer["wall"])
    measured.rss = max(measured.rss, answer["rss"])
    measured.failed += answer["failed"]
    measured.refused += _counts(url)["refused"]


async def _work(work: str, name: str, url: str, folder: str, size: int) -> dict[str, Any]:
    place = Path(folder)
    total = size * MiB + SMALL_FILES * SMALL_SIZE * work.startswith("mixed")
    if name == "obstore":
        failed, cost = await _obstore(work, url, place, size)
    elif name in PEERS:
        downloads = _downloads(place, size) if work.endswith("down") else []
        uploads = _uploads(place) if work.endswith("up") else []
        if not work.startswith("mixed"):
            downloads, uploads = downloads[:1], uploads[:1]
        failed, cost = PEERS[name](url, downloads, uploads)
    else:
        failed, cost = await _asyncstore(work, url, place, size, fixed=None if name == "auto" else int(name))
    return {**cost, "bytes": total, "failed": failed}


async def _asyncstore(work: str, url: str, folder: Path, size: int, fixed: int | None) -> tuple[int, dict[str, Any]]:
    settings = {"endpoint_url": url, "region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret"}
    more: dict[str, Any] = {} if fixed is None else {"max_requests": fixed}
    async with open_storage("s3://bucket", **settings, **more) as storage:
        if fixed is not None:
            storage._requests.limits.requests = Fixed(fixed)
        with Meter() as meter:
            failed = await _transfer(storage, work, folder, size)
        return failed, dict(meter.cost())


async def _transfer(storage: Storage, work: str, folder: Path, size: int) -> int:
    # The other contenders do not wait for the disk either.
    download = DownloadOptions(sync=False)
    if work == "down":
        await storage.download(f"zero-{size * MiB}", folder / "got", options=download)
        return 0
    if work == "up":
        await storage.upload(folder / "large", "large")
        return 0
    options = BulkOptions(download=download, keep="failures")
    if work == "mixed down":
        downloads = [Download(key, path) for key, path in _downloads(folder, size)]
        return (await storage.bulk_download(downloads, options=options)).failed
    uploads = [Upload(path, key) for path, key in _uploads(folder)]
    return (await storage.bulk_upload(uploads, options=options)).failed


async def _obstore(work: str, url: str, folder: Path, size: int) -> tuple[int, dict[str, Any]]:
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        "bucket",
        endpoint=url,
        region="us-east-1",
        access_key_id="key",
        secret_access_key="secret",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    failed = 0

    async def get(item: tuple[str, Path]) -> None:
        nonlocal failed
        try:
            reply = await obstore.get_async(store, item[0])
            with item[1].open("wb") as file:
                async for chunk in reply.stream():
                    file.write(chunk)
        except Exception:  # noqa: BLE001 - counted
            failed += 1

    async def put(item: tuple[Path, str]) -> None:
        nonlocal failed
        try:
            await obstore.put_async(store, item[1], item[0])
        except Exception:  # noqa: BLE001 - counted
            failed += 1

    # It has no transfer of many files: as many at a time as asyncstore had before it chose the number itself.
    many = 32
    with Meter() as meter:
        if work in ("down", "mixed down"):
            items = _downloads(folder, size)
            await for_each(items if work == "mixed down" else items[:1], get, in_flight=many)
        else:
            files = _uploads(folder)
            await for_each(files if work == "mixed up" else files[:1], put, in_flight=many)
    return failed, dict(meter.cost())


def _downloads(folder: Path, size: int) -> list[tuple[str, Path]]:
    small = [(f"{number}/zero-{SMALL_SIZE}", folder / f"got{number}") for number in range(SMALL_FILES)]
    return [(f"zero-{size * MiB}", folder / "got"), *small]


def _uploads(folder: Path) -> list[tuple[Path, str]]:
    return [(folder / "large", "large"), *((folder / f"small{n}", f"small{n}") for n in range(SMALL_FILES))]


def _make_files(folder: Path, size: int) -> None:
    with (folder / "large").open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(MiB))
    for number in range(SMALL_FILES):
        (folder / f"small{number}").write_bytes(os.urandom(SMALL_SIZE))


@contextlib.contextmanager
def _running(distance: Distance) -> Iterator[str]:
    options = [
        f"--{name.replace('_', '-')}={value:g}" if isinstance(value, float) else f"--{name.replace('_', '-')}={value}"
        for name, value in asdict(distance).items()
    ]
    command = [sys.executable, "-m", "benchmarks.far_service", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def _counts(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/bucket/_counts") as reply:
        found: dict[str, int] = json.load(reply)
    return found


def _report(results: dict[str, dict[str, dict[str, Measured]]], args: argparse.Namespace) -> None:
    tables = [_table(work, results, args.only) for work in args.works]
    data = {
        "date": report.today(),
        "setting": report.setting(),
        "size": args.size,
        "services": {
            service: {work: {name: asdict(one) for name, one in by_name.items()} for work, by_name in by_work.items()}
            for service, by_work in results.items()
        },
    }
    title = f"# {args.size} MiB, and in a tree with {SMALL_FILES:,} files of 16 KiB, through a service that is far away"
    notes = (
        "MB/s, and the per cent of the best fixed number of the same run; the requests that were refused; peak RSS in "
        "MB. `failed` means that items failed."
    )
    text = f"{title}\n\n{report.setting()}\n\n{notes}\n\n" + "\n\n".join(tables) + "\n"
    report.save("far_transfers", text, data, print_only=args.print_only)


def _table(work: str, results: dict[str, dict[str, dict[str, Measured]]], names: Sequence[str]) -> str:
    lines = [f"| {work} | {' | '.join(names)} | RSS of {names[0]} |", "|---" * (len(names) + 2) + "|"]
    for service, by_work in results.items():
        measured = by_work[work]
        best = max((one.rate for name, one in measured.items() if name.isdecimal()), default=0.0)
        cells = [_cell(one, best) for one in measured.values()]
        lines.append(f"| {service} | {' | '.join(cells)} | {measured[names[0]].rss / 1e6:.0f} |")
    return "\n".join(lines)


def _cell(measured: Measured, best: float) -> str:
    if measured.problem:
        return "-"
    refused = f", {measured.refused} refused" if measured.refused else ""
    if measured.failed:
        return f"{measured.failed} failed{refused}"
    share = f" ({measured.rate / best:.0%})" if best else ""
    return f"{measured.rate / 1e6:.0f}{share}{refused}"


if __name__ == "__main__":
    main()

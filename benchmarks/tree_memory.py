"""
Memory and time of a sync and of a bulk operation by the number of their objects: memory should not grow, time linearly.

* `sync`: a directory of N files against an S3 listing of the same N objects, unchanged. The server is a stub in a
  process of its own that makes up the listing.
* `bulk`: N uploads of a small file to a driver that keeps nothing.

Each measurement is a process of its own.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web

from asyncstore import BulkOptions, ObjectInfo, ObjectURI, Storage, StorageConfig, Upload, open_storage, sync_tree
from asyncstore.driver.body import Body
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.options import WriteOptions
from benchmarks import report
from benchmarks.meter import Meter

_SIZES = {"sync": (1_000, 20_000, 200_000), "bulk": (1_000, 100_000, 1_000_000)}
_PAGE = 1000


def main() -> None:
    """Measure each work with each number of objects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(_SIZES), help="comma-separated names")
    parser.add_argument("--print-only", action="store_true", help="do not change the table in results/")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        _work(*args.worker)
        return
    runs = {work: {count: _measured(work, count) for count in _SIZES[work]} for work in args.only}
    lines = [
        "| | objects | peak RSS MiB | more than with 1,000 | seconds | CPU µs an object |",
        "|---|---|---|---|---|---|",
    ]
    for work, costs in runs.items():
        least = costs[1_000]["rss"]
        for count, cost in costs.items():
            mebibytes, more = cost["rss"] / 2**20, (cost["rss"] - least) / 2**20
            row = (
                f"{count:,}",
                f"{mebibytes:.1f}",
                f"{more:.1f}",
                f"{cost['wall']:.2f}",
                f"{cost['cpu'] / count * 1e6:.0f}",
            )
            lines.append(f"| {work} | " + " | ".join(row) + " |")
    text = f"# Memory by the number of objects\n\n{report.setting()}\n\n" + "\n".join(lines) + "\n"
    data = {"date": report.today(), "setting": report.setting(), "runs": runs}
    report.save("tree_memory", text, data, print_only=args.print_only)


def _measured(work: str, count: int) -> dict[str, float]:
    print(f"{work} of {count:,} ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        if work == "sync":
            _make_files(Path(folder), count)
        with _listing(count) as url:
            args = [sys.executable, "-m", "benchmarks.tree_memory", "--worker", work, f"{count}@{url}", folder]
            done = subprocess.run(args, stdout=subprocess.PIPE, text=True, check=True)
    cost: dict[str, float] = json.loads(done.stdout)
    return cost


def _work(work: str, where: str, folder: str) -> None:
    count, _, url = where.partition("@")
    with Meter() as meter:
        asyncio.run(_sync(Path(folder), int(count), url) if work == "sync" else _bulk(Path(folder), int(count)))
    print(json.dumps(meter.cost()))


async def _sync(root: Path, count: int, url: str) -> None:
    settings: dict[str, Any] = {"access_key_id": "stub", "secret_access_key": "stub", "region": "us-east-1"}
    async with open_storage("s3://bucket/tree/", endpoint_url=url, **settings) as storage:
        result = await sync_tree(root, storage)
        pages = storage.statistics().requests
    if result.transferred.done or not result.ok or pages != -(-count // _PAGE):
        raise SystemExit(f"{result}, {pages} requests")


class _Sink(MemoryDriver):
    """Keeps nothing."""

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        return ObjectInfo(uri=uri, size=body.size, etag="none")


async def _bulk(folder: Path, count: int) -> None:
    path = folder / "file"
    path.write_bytes(b"0123456789abcdef")
    async with Storage(_Sink("bucket"), StorageConfig.build("memory://bucket", {})) as storage:
        items = (Upload(path, storage.root / _name(number)) for number in range(count))
        result = await storage.bulk_upload(items, options=BulkOptions(keep="failures"))
    if result.done != count:
        raise SystemExit(str(result))


def _name(number: int) -> str:
    return f"directory-{number // 1000:05}/file-{number:08}"


def _make_files(root: Path, count: int) -> None:
    for number in range(count):
        path = root / _name(number)
        if number % 1000 == 0:
            path.parent.mkdir()
        path.write_bytes(b"0123456789abcdef")


@contextmanager
def _listing(count: int) -> Iterator[str]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        asyncio.run(_serve(count, write))
        os._exit(0)
    os.close(write)
    try:
        yield os.read(read, 100).decode()
    finally:
        os.close(read)
        os.kill(child, 9)
        os.waitpid(child, 0)


async def _serve(count: int, write: int) -> None:
    modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 60))

    async def listed(request: web.Request) -> web.Response:
        start = int(request.query.get("continuation-token", "0"))
        end = min(count, start + _PAGE)
        entries = "".join(
            f"<Contents><Key>tree/{escape(_name(number))}</Key><LastModified>{modified}</LastModified>"
            "<ETag>&quot;4032af8d61035123906e58e067140cc5&quot;</ETag><Size>16</Size></Contents>"
            for number in range(start, end)
        )
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
        rest = more if end < count else "<IsTruncated>false</IsTruncated>"
        text = f"<ListBucketResult>{rest}<KeyCount>{end - start}</KeyCount>{entries}</ListBucketResult>"
        return web.Response(text=text, content_type="application/xml")

    app = web.Application()
    app.router.add_get("/bucket", listed)
    app.router.add_get("/bucket/", listed)
    runner: Any = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    os.write(write, f"http://127.0.0.1:{runner.addresses[0][1]}".encode())
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()

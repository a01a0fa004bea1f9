"""
List 1,000,000 keys in 1,000 prefixes of a service that is far away, page by page and in parallel.

The service is a stub on the same machine, which answers each page of 1,000 keys after 30 ms.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import tracemalloc
from bisect import bisect_left, bisect_right
from urllib.parse import parse_qs, urlsplit

from asyncstore import open_storage

PREFIXES, KEYS, PAGE = 1000, 1000, 1000
DELAY = 0.03
CONCURRENCY = (1, 8, 16, 32)

_ENTRY = (
    "<Contents><Key>{}</Key><LastModified>2026-11-23T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
    "<Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
_COMMON = "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>"


class Service:
    """
    A bucket whose listings are made from two sorted lists: its keys and its prefixes.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._prefixes = [f"{number:04}/" for number in range(PREFIXES)]
        self._keys = [f"{prefix}{number:04}" for prefix in self._prefixes for number in range(KEYS)]

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """
        Serve the requests of one connection.
        """
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(self._delay)
                body = self._page(parse_qs(urlsplit(head.split(b" ", 2)[1].decode()).query)).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: ")
                writer.write(f"{len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _page(self, query: dict[str, list[str]]) -> str:
        found, entry = (self._prefixes, _COMMON) if "delimiter" in query else (self._keys, _ENTRY)
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        start = max(bisect_left(found, prefix), bisect_right(found, after))
        end = bisect_left(found, f"{prefix}~") if entry is _ENTRY or not prefix else start
        shown = found[start : min(end, start + PAGE)]
        more = start + PAGE < end
        token = f"<NextContinuationToken>{shown[-1]}</NextContinuationToken>" if more else ""
        entries = "".join(map(entry.format, shown))
        return f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"


async def serve(delay: float) -> None:
    """
    Serve on a free port, which is printed, until killed.
    """
    server = await asyncio.start_server(Service(delay).connected, "127.0.0.1", 0)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def listed(port: int, concurrency: int, *, memory: bool = False) -> dict[str, float]:
    """
    List everything; return the seconds, and with *memory* the peak of bytes allocated.
    """
    settings = {"endpoint_url": f"http://127.0.0.1:{port}", "region": "us-east-1"}
    keys = {"access_key_id": "AKIATEST", "secret_access_key": "secret"}
    async with open_storage("s3://bench", **settings, **keys) as storage:
        if memory:
            tracemalloc.start()
        started, cpu, count, last = time.perf_counter(), time.process_time(), 0, ""
        async for info in storage.list(max_concurrency=concurrency):
            assert info.key > last
            count, last = count + 1, info.key
        assert count == PREFIXES * KEYS, count
        peak = tracemalloc.get_traced_memory()[1] if memory else 0
        requests = storage.statistics().requests
    return {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "peak": peak,
        "requests": requests,
    }


def main() -> None:
    """
    Measure in interleaved rounds, each in a process of its own.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=DELAY)
    parser.add_argument("--serve", action="store_true", help="only serve")
    parser.add_argument("--one", nargs=2, type=int, metavar=("PORT", "CONCURRENCY"), help="one round")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.delay))
    elif args.one:
        print(json.dumps(asyncio.run(listed(*args.one, memory=args.memory))))
    else:
        _measure(args)


def _measure(args: argparse.Namespace) -> None:
    module = [sys.executable, "-m", "benchmarks.far_listing"]
    with subprocess.Popen(
        [*module, "--serve", "--delay", str(args.delay)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            found: dict[int, list[dict[str, float]]] = {concurrency: [] for concurrency in CONCURRENCY}
            for _ in range(args.rounds):
                for concurrency, rounds in found.items():
                    command = [*module, "--one", port, str(concurrency), *(["--memory"] if args.memory else [])]
                    rounds.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
                    print(concurrency, rounds[-1], file=sys.stderr)
        finally:
            server.kill()
    base = statistics.median(one["seconds"] for one in found[1])
    rows = [[str(concurrency), *_row(rounds, base)] for concurrency, rounds in found.items()]
    head = ["requests in flight", "seconds", "times as fast", "CPU seconds", "requests", "peak of allocations"]
    print(*(" | ".join(row) for row in [head, *rows]), sep="\n")


def _row(rounds: list[dict[str, float]], base: float) -> list[str]:
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    return [
        f"{middle['seconds']:.1f}",
        f"{base / middle['seconds']:.1f}",
        f"{middle['cpu']:.1f}",
        f"{middle['requests']:.0f}",
        f"{middle['peak'] / 1e6:.1f} MB" if middle["peak"] else "-",
    ]


if __name__ == "__main__":
    main()

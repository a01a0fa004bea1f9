"""
Bytes per CPU second of a server that passes objects on: the web helpers against a bare proxy.

The proxy reads with an aiohttp session and writes what arrives, without signatures, ranges, conditions or checksums.
Each server runs in a process of its own, alone, in interleaved rounds; only its CPU counts.

    python -m benchmarks.web [--rounds 5] [--size 64] [--gets 16]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
from pathlib import Path

import aiohttp

from asyncstore import MiB
from benchmarks.servers import nginx

_SERVERS = ("bare_proxy", "aiohttp", "fastapi")
_RESULTS = Path(__file__).parent / "results" / "web.md"


def main() -> None:
    parser = argparse.ArgumentParser(description="Bytes per CPU second of the web helpers.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=64, help="MiB of the object")
    parser.add_argument("--gets", type=int, default=16, help="requests in a round, 4 at a time")
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    with nginx(large=arguments.size * MiB) as upstream:
        rounds: dict[str, list[float]] = {name: [] for name in _SERVERS}
        for _ in range(arguments.rounds):
            for name in _SERVERS:
                rounds[name].append(_measure(name, upstream.url, arguments.size * MiB, arguments.gets))
                print(f"{name}: {rounds[name][-1] / 1e6:.0f} MB per CPU second", flush=True)
    table = _table(rounds)
    print(table)
    if not arguments.print_only:
        _RESULTS.write_text(table, "utf-8")


def _measure(name: str, upstream: str, size: int, gets: int) -> float:
    command = [sys.executable, "-m", "benchmarks.web_server", name, upstream]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        asyncio.run(_load(url, size, 2))
        assert process.stdin is not None
        before = _cpu(process)
        asyncio.run(_load(url, size, gets))
        after = _cpu(process)
        process.stdin.write("stop\n")
        process.stdin.flush()
    return size * gets / (after - before)


def _cpu(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("cpu\n")
    process.stdin.flush()
    return float(process.stdout.readline())


async def _load(url: str, size: int, gets: int) -> None:
    left = iter(range(gets))

    async def reader(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.get(url) as reply:
                received = 0
                async for chunk in reply.content.iter_any():
                    received += len(chunk)
                assert received == size, f"{received} bytes instead of {size}"

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(reader(session))


def _table(rounds: dict[str, list[float]]) -> str:
    base = statistics.median(rounds["bare_proxy"])
    lines = ["| server | MB per CPU second | spread | of the bare proxy |", "|---|---|---|---|"]
    for name, values in rounds.items():
        middle = statistics.median(values)
        spread = f"{min(values) / 1e6:.0f} - {max(values) / 1e6:.0f}"
        lines.append(f"| {name} | {middle / 1e6:.0f} | {spread} | {middle / base:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

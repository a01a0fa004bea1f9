"""
s5cmd: the fastest command line tool that we know, in Go. Its CPU and memory are those of its process.

It uses 64 workers for many objects (the default is 256), and parts of 16 MiB, 8 in flight, for one large object.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks import cache
from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Contender, Target
from benchmarks.units import MiB


async def connect(target: Target) -> "S5cmd":
    """Find the command."""
    return S5cmd(target, cache.command("s5cmd", cache.S5CMD))


class S5cmd(Contender):
    """One process for each call."""

    keeps_connections = False

    def __init__(self, target: Target, program: Path) -> None:
        self._program = program
        self._bucket, self._concurrency = f"s3://{target.bucket}", target.concurrency
        self._env = {
            **os.environ,
            "S3_ENDPOINT_URL": target.endpoint,
            "AWS_ACCESS_KEY_ID": target.access_key,
            "AWS_SECRET_ACCESS_KEY": target.secret_key,
            "AWS_REGION": target.region,
            **({"AWS_CA_BUNDLE": target.ca} if target.ca else {}),
        }

    async def download(self, key: str, path: Path) -> None:
        await self._run("cp", *_parts(), f"{self._bucket}/{key}", str(path))

    async def upload(self, path: Path, key: str) -> None:
        await self._run("cp", *_parts(), str(path), f"{self._bucket}/{key}")

    async def list(self, prefix: str) -> int:
        output = await self._run("ls", f"{self._bucket}/{prefix}*")
        return output.count(b"\n")

    async def upload_many(self, items: Sequence[tuple[Path, str]]) -> None:
        path, key = items[0]
        await self._copy_all(f"{path.parent}/*", f"{self._bucket}/{key.rpartition('/')[0]}/")

    async def download_many(self, items: Sequence[tuple[str, Path]]) -> None:
        key, path = items[0]
        await self._copy_all(f"{self._bucket}/{key.rpartition('/')[0]}/*", f"{path.parent}/")

    async def _copy_all(self, source: str, target: str) -> None:
        # With one pattern, as its users do: a list of files takes twice the CPU.
        await self._run("--numworkers", str(self._concurrency), "cp", source, target)

    async def _run(self, *args: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            self._program,
            *args,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(errors.decode().strip().partition("\n")[0])
        return output


def _parts() -> tuple[str, ...]:
    return "--part-size", str(PART_SIZE // MiB), "--concurrency", str(PARTS_IN_FLIGHT)

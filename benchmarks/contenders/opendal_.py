"""
OpenDAL: the Rust core through its Python coroutines, with the retry layer its users add.

Large objects are transferred in chunks of 16 MiB, 8 in flight, through its file object.
"""

import asyncio
from pathlib import Path

import opendal
from opendal.layers import RetryLayer

from benchmarks.contenders import PART_SIZE, PARTS_IN_FLIGHT, Target
from benchmarks.contenders.files import SmallFiles


async def connect(target: Target) -> "Opendal":
    """Connect."""
    operator = opendal.AsyncOperator(
        "s3",
        bucket=target.bucket,
        endpoint=target.endpoint,
        region=target.region,
        access_key_id=target.access_key,
        secret_access_key=target.secret_key,
        disable_config_load="true",
        disable_ec2_metadata="true",
    ).layer(RetryLayer())
    return Opendal(target, operator)


class Opendal(SmallFiles):
    """One operator."""

    def __init__(self, target: Target, operator: opendal.AsyncOperator) -> None:
        super().__init__(target.concurrency)
        self._operator = operator

    async def get(self, key: str) -> bytes:
        return await self._operator.read(key)

    async def put(self, key: str, data: bytes) -> None:
        await self._operator.write(key, data)

    async def download(self, key: str, path: Path) -> None:
        source = await self._operator.open(
            key, "rb", chunk=PART_SIZE, concurrent=PARTS_IN_FLIGHT, prefetch=PARTS_IN_FLIGHT
        )
        with path.open("wb", buffering=0) as file:
            async with source:  # type: ignore[misc]
                while data := await source.read(PART_SIZE):
                    await asyncio.to_thread(file.write, data)

    async def upload(self, path: Path, key: str) -> None:
        target = await self._operator.open(key, "wb", chunk=PART_SIZE, concurrent=PARTS_IN_FLIGHT)
        with path.open("rb", buffering=0) as file:
            async with target:  # type: ignore[misc]
                while data := await asyncio.to_thread(file.read, PART_SIZE):
                    await target.write(data)

    async def list(self, prefix: str) -> int:
        return len([entry async for entry in await self._operator.list(prefix, recursive=True)])

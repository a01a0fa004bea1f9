"""
The measured libraries, one module each, behind one small interface.

The name of a module is the library's, followed by `_` and, for clouds other than S3, the name of the cloud.

A module has `connect(target)`, which connects with the best settings its users would reasonably
choose. Its docstring says what those are.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Protocol, cast

from benchmarks.units import MiB

PART_SIZE = 16 * MiB
PARTS_IN_FLIGHT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    What a contender connects to.

    Attributes:
        endpoint: The URL of the service, including the account if that is part of the path.
        bucket: The bucket or container.
        access_key: The key id or account that signs; see `benchmarks.clouds`.
        secret_key: The key or token.
        ca: Certificate authority to trust besides the system's; None over plain HTTP.
        region: The region of S3; other clouds do not send it.
        account: The account of Azure or the namespace of OCI.
        concurrency: Maximum requests in flight; connection pools are at least as large.
    """

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    ca: str | None = None
    region: str = "us-east-1"
    account: str = ""
    concurrency: int = 64


class NotSupportedError(Exception):
    """The contender cannot do this, or not in a way that would be a fair measurement."""


class Contender:
    """
    The operations of every library. An operation that is not overridden is not supported.

    Attributes:
        keeps_connections: Whether connections are kept between calls, so that a warm-up makes sense.
        fills_memory: Whether it reads large objects into memory that it is given.
    """

    keeps_connections = True
    fills_memory = False

    async def get(self, key: str) -> bytes | memoryview:
        """Read one object into memory."""
        raise NotSupportedError("get")

    async def put(self, key: str, data: bytes) -> None:
        """Write one object in one request."""
        raise NotSupportedError("put")

    async def download(self, key: str, path: Path) -> None:
        """Download one large object to a file."""
        raise NotSupportedError("download")

    async def upload(self, path: Path, key: str) -> None:
        """Upload one large object from a file."""
        raise NotSupportedError("upload")

    async def read_large(self, key: str, memory: mmap) -> memoryview:
        """Read one large object into *memory*, or into other memory if the contender only returns its own."""
        raise NotSupportedError("read_large")

    async def read_at(self, key: str, places: Sequence[int], size: int, got: Callable[[bytes], None]) -> None:
        """Open one object, and pass *size* bytes from each of *places* to *got*, one after the other."""
        raise NotSupportedError("read_at")

    async def list(self, prefix: str) -> int:
        """Return the number of keys under *prefix*, after creating the library's own entry for each."""
        raise NotSupportedError("list")

    async def upload_many(self, items: Sequence[tuple[Path, str]]) -> None:
        """Upload all files of a folder under one prefix, with the library's own bulk transfer if it has one."""
        raise NotSupportedError("upload_many")

    async def download_many(self, items: Sequence[tuple[str, Path]]) -> None:
        """Download all objects of a prefix to files in one folder."""
        raise NotSupportedError("download_many")

    async def aclose(self) -> None:
        """Close the connections."""


class Module(Protocol):
    """The interface of each module of this package."""

    async def connect(self, target: Target) -> Contender:
        """Connect."""


def load(name: str, cloud: str) -> Module:
    """Import a contender; called only in the process that measures it."""
    suffix = "" if cloud == "s3" else cloud
    return cast("Module", importlib.import_module(f"benchmarks.contenders.{name}_{suffix}"))

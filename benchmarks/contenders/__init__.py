"""
The libraries measured, one module each, behind one small interface.

Those for S3 are named after the library with a `_` behind it, those for another cloud with its name behind that.

A module has `connect(target)`, which connects it at the best settings its users would
reasonably choose, and says in comments what those are.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
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
        endpoint: Of the service; where the account is part of the path, it is in here.
        bucket: Or container.
        access_key: Who signs; see `benchmarks.clouds`.
        secret_key: What with: a key or a token.
        ca: Certificate authority to trust beside the system's; None over plain HTTP.
        region: The one of S3; elsewhere it is in no request.
        account: Of Azure; of OCI the namespace.
        concurrency: Most requests in flight, for pools to be at least as large.
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
    """The contender has no way to do this, or none that would be a fair measurement."""


class Contender:
    """
    What every library is asked to do. A method left out counts as not supported.

    Attributes:
        keeps_connections: Between calls, so that it is right to warm it up.
    """

    keeps_connections = True

    async def get(self, key: str) -> bytes | memoryview:
        """Read one object into memory."""
        raise NotSupportedError("get")

    async def put(self, key: str, data: bytes) -> None:
        """Write one object in one request."""
        raise NotSupportedError("put")

    async def download(self, key: str, path: Path) -> None:
        """Write one large object to a file."""
        raise NotSupportedError("download")

    async def upload(self, path: Path, key: str) -> None:
        """Write one large object from a file."""
        raise NotSupportedError("upload")

    async def list(self, prefix: str) -> int:
        """Return the number of keys under *prefix*, having made the library's entry for each."""
        raise NotSupportedError("list")

    async def upload_many(self, items: Sequence[tuple[Path, str]]) -> None:
        """Write all the files of a folder under one prefix, with the library's own means if it has some."""
        raise NotSupportedError("upload_many")

    async def download_many(self, items: Sequence[tuple[str, Path]]) -> None:
        """Read all the objects of a prefix to files of one folder."""
        raise NotSupportedError("download_many")

    async def aclose(self) -> None:
        """Close the connections."""


class Module(Protocol):
    """What each module of this package offers."""

    async def connect(self, target: Target) -> Contender:
        """Connect."""


def load(name: str, cloud: str) -> Module:
    """Import a contender, in the process that measures it and in no other."""
    suffix = "" if cloud == "s3" else cloud
    return cast("Module", importlib.import_module(f"benchmarks.contenders.{name}_{suffix}"))

"""
Runs with ``--continue`` that are killed at random moments, and run again until they complete.

``ASYNCSTORE_ACCEPTANCE_KILLS`` is the number of kills of each run, ``ASYNCSTORE_ACCEPTANCE_SHARDS`` and
``ASYNCSTORE_ACCEPTANCE_SHARD_MIB`` are the number and size of the large files, ``ASYNCSTORE_ACCEPTANCE_SMALL`` is
the number of small ones, and ``ASYNCSTORE_ACCEPTANCE_RATE_MIB`` is the rate of the connection per second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from asyncstore import open_storage
from asyncstore.options import KiB, MiB
from tests.cli.shell import COMMAND, clean_environment, make, tree
from tests.servers import gcs
from tests.servers.azure import AzureServer, fresh_container
from tests.servers.gate import Gate
from tests.servers.gcs import GCSEndpoint
from tests.servers.oci import running_oci
from tests.servers.s3 import S3Server, fresh_bucket

KILLS = int(os.environ.get("ASYNCSTORE_ACCEPTANCE_KILLS", "3"))
SHARDS = int(os.environ.get("ASYNCSTORE_ACCEPTANCE_SHARDS", "2"))
SHARD = int(os.environ.get("ASYNCSTORE_ACCEPTANCE_SHARD_MIB", "11")) * MiB
SMALL = int(os.environ.get("ASYNCSTORE_ACCEPTANCE_SMALL", "8"))

#: Files and parts of a file in flight; ``cp`` has as many requests at most, ``sync`` has one for each part.
CONCURRENCY = 2
STREAMS = {"cp": CONCURRENCY, "sync": CONCURRENCY * CONCURRENCY}
#: S3 and GCS take no smaller ones; of OCI they are larger.
PART = 5 * MiB
#: What a process that is killed has received of a stream and not recorded.
CHUNK = 1 * MiB
#: Bytes in the proxy and in sockets, for each stream.
IN_FLIGHT = 512 * KiB
#: Listings, and bodies of replies that are not objects, in each run.
OVERHEAD = 128 * KiB
#: Bytes per second through the proxy.
RATE = int(os.environ.get("ASYNCSTORE_ACCEPTANCE_RATE_MIB", "16")) * MiB

_log = logging.getLogger(__name__)

# Both ways, with time to start each process.
pytestmark = pytest.mark.timeout(60 + 20 * KILLS + 4 * SHARDS * SHARD / RATE)


@dataclass(frozen=True, slots=True)
class Place:
    """
    A bucket on a server, behind a proxy.

    Attributes:
        uri: Of a prefix in it.
        upstream: The server's URL, with the path that belongs to it.
        settings: Of a storage, without the URL.
        part: Bytes of a part of an upload.
    """

    uri: str
    upstream: str
    settings: Mapping[str, Any]
    part: int = PART

    @property
    def upstream_origin(self) -> str:
        """The server's URL without a path."""
        parts = urlsplit(self.upstream)
        return f"{parts.scheme}://{parts.netloc}"

    def through(self, url: str) -> dict[str, Any]:
        """Return the settings of a storage that is reached through a proxy."""
        return {**self.settings, "endpoint_url": url + urlsplit(self.upstream).path.rstrip("/")}


@contextmanager
def on_seaweed(server: S3Server) -> Iterator[Place]:
    keys = server.keys
    settings = {
        "access_key_id": keys.access_key_id,
        "secret_access_key": keys.secret_access_key,
        "region": server.region,
    }
    yield Place(f"s3://{fresh_bucket(server)}/tree/", server.endpoint_url, settings)


@contextmanager
def gcs_stand_in(server: GCSEndpoint) -> Iterator[Place]:
    yield Place(f"gs://{gcs.fresh_bucket(server)}/tree/", server.url, {"auth_type": "anonymous"})


@contextmanager
def azurite(server: AzureServer) -> Iterator[Place]:
    settings = {"account_name": server.account_name, "account_key": server.account_key}
    yield Place(f"azure://{fresh_container(server)}/tree/", server.endpoint_url, settings)


@contextmanager
def oci(_: object) -> Iterator[Place]:
    with running_oci() as running:
        uri = f"oci://{running.namespace}/{running.fresh_bucket()}/tree/"
        yield Place(uri, running.server.url, running.user.settings(running.region), 10 * MiB)


SERVERS: Mapping[str, tuple[Callable[[Any], AbstractContextManager[Place]], str]] = {
    "seaweed": (on_seaweed, "seaweed"),
    "gcs": (gcs_stand_in, "gcs_endpoint"),
    "azurite": (azurite, "azurite"),
    "oci": (oci, "tmp_path"),
}


@pytest.fixture(params=list(SERVERS.values()), ids=list(SERVERS))
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    start, fixture = request.param
    with start(request.getfixturevalue(fixture)) as place:
        yield place


class Runs:
    """
    The runs of one command through a proxy.

    Attributes:
        gate: The proxy.
        count: How many there were.
    """

    def __init__(self, gate: Gate, settings: Mapping[str, Any], state: Path) -> None:
        self.gate = gate
        self.count = 0
        variables = {f"ASYNCSTORE_{name.upper()}": str(value) for name, value in settings.items()}
        self._environment = clean_environment({**variables, "XDG_STATE_HOME": str(state)})

    async def killed(self, bytes_before: float, *arguments: object) -> None:
        """
        Start the command, and kill it once so many bytes have passed.
        """
        limit = self.gate.passed + bytes_before
        async with self._running(*arguments) as process:
            while self.gate.passed < limit and process.returncode is None:
                await asyncio.sleep(0.002)
            if process.returncode is None:
                process.kill()

    async def finished(self, *arguments: object) -> None:
        """
        Run the command to its end.
        """
        async with self._running(*arguments) as process:
            _, stderr = await process.communicate()

        assert process.returncode == 0, stderr.decode()

    @asynccontextmanager
    async def _running(self, *arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
        self.count += 1
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *map(str, arguments),
            "--continue",
            "--concurrency",
            str(CONCURRENCY),
            "--part-size",
            str(PART),
            env=self._environment,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def model(folder: Path, rng: random.Random) -> tuple[Path, int]:
    """
    Return the tree of a model: an index, shards and small files; and its size.
    """
    files = {f"model-{number:05}.safetensors": rng.randbytes(SHARD) for number in range(SHARDS)}
    files |= {f"small/{number:03}.json": rng.randbytes(20 * KiB) for number in range(SMALL)}
    files |= {"model.safetensors.index.json": rng.randbytes(100 * KiB)}
    return make(folder, files), sum(map(len, files.values()))


def moments(rng: random.Random, size: int) -> list[float]:
    """
    Return after how many bytes of each run it is killed; together a little less than *size*.
    """
    points = sorted(rng.uniform(0, 0.95 * size) for _ in range(KILLS))
    return [point - before for point, before in zip(points, [0.0, *points[:-1]], strict=True)]


async def unfinished(place: Place) -> list[str]:
    async with open_storage(place.uri, **{**place.settings, "endpoint_url": place.upstream}) as storage:
        return [str(upload.uri) async for upload in storage.list_multipart_uploads()]


async def test_copy(place: Place, tmp_path: Path) -> None:
    """
    Nothing is sent twice but at most one part of each stream, nothing is received twice but at most 1 MiB of each;
    nothing is left behind.
    """
    await push_and_pull(place, tmp_path, "cp", "-r")


async def test_sync(seaweed: S3Server, tmp_path: Path) -> None:
    """
    The same holds for ``sync``.
    """
    with on_seaweed(seaweed) as place:
        await push_and_pull(place, tmp_path, "sync")


async def push_and_pull(place: Place, tmp_path: Path, *verb: str) -> None:
    rng = random.Random(f"{place.uri[:2]} {verb} {KILLS}")
    source, size = model(tmp_path / "source", rng)
    state, copy = tmp_path / "state", tmp_path / "copy"
    for arguments, once_more in (
        ((*verb, source, place.uri), place.part + IN_FLIGHT),
        ((*verb, place.uri, copy), CHUNK + IN_FLIGHT),
    ):
        gate = Gate(place.upstream_origin, shown=lambda _: None, rate=RATE)
        async with gate.serving() as url:
            runs = Runs(gate, place.through(url), state)
            for limit in moments(rng, size):
                await runs.killed(limit, *arguments)
            await runs.finished(*arguments)
            moved = gate.passed
            again = KILLS * STREAMS[verb[0]] * once_more + runs.count * OVERHEAD
            _log.info("%s: %.1f MiB for %.1f", arguments[-1], moved / MiB, size / MiB)

            assert size <= moved <= size + again
        assert await unfinished(place) == []
        assert [path for path in state.rglob("*") if path.is_file()] == []
    assert tree(copy) == tree(source)
    assert sorted(copy.rglob(".*")) == []

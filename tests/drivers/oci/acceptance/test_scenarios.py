"""
How OME uses storage: scenarios A1 to A8.
"""

from __future__ import annotations

import asyncio
import base64
import filecmp
import hashlib
import json
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncstore import (
    BulkOptions,
    Download,
    DownloadOptions,
    MiB,
    Storage,
    Upload,
    UploadOptions,
    copy_between,
    open_storage,
)
from asyncstore.checksum import compute
from asyncstore.testing.servers.faults import Fault
from asyncstore.types import ChecksumAlgorithm
from tests.drivers.oci.acceptance.agent import checksum_of, pull
from tests.drivers.oci.acceptance.conftest import PART, files_of
from tests.servers.oci import RunningOCI, running_oci

#: Peak memory that a pull may use, whatever the size of the model.
PEAK = 150 * MiB

pytestmark = pytest.mark.timeout(60 if PART <= 16 * MiB else 1200)


async def upload_tree(storage: Storage, folder: Path, **attributes: Any) -> None:
    """Upload a directory to the keys of the same names below the root."""
    names = await asyncio.to_thread(files_of, folder)
    items = [Upload(folder / name, storage.root / name) for name in names]
    options = BulkOptions(upload=UploadOptions(part_size=PART, multipart_threshold=2 * PART, **attributes))
    result = await storage.bulk_upload(items, options=options)
    result.raise_for_failures()


def assert_same(left: Path, right: Path) -> None:
    """Check that both directories have the same files, byte for byte."""
    names = files_of(left)
    assert files_of(right) == names
    assert filecmp.cmpfiles(left, right, list(names), shallow=False) == (list(names), [], [])


def reads(server: RunningOCI) -> int:
    """Return how many reads of objects or ranges the server received."""
    return sum(item.method == "GET" and "/o/" in item.path for item in server.server.requests)


async def pull_apart(server: RunningOCI, storage: Storage, folder: Path, config: Path) -> dict[str, Any]:
    """Pull in another process, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.drivers.oci.acceptance.agent",
        server.server.url,
        str(config),
        str(storage.root),
        str(folder),
        str(PART),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    facts: dict[str, Any] = json.loads(out)
    return facts


async def test_a1_model_agent_pulls_a_model(server: RunningOCI, storage: Storage, model: Path, tmp_path: Path) -> None:
    """
    A pull of four objects at a time, in four ranges each, is exact in bounded memory; a second pull downloads nothing.
    """
    config = await asyncio.to_thread(server.user.write_config, tmp_path / "user", server.region)
    await upload_tree(storage, model)
    target = tmp_path / "node"
    first = await pull_apart(server, storage, target, config)
    await asyncio.to_thread(assert_same, model, target)
    before = reads(server)
    second = await pull_apart(server, storage, target, config)

    names = sorted(files_of(model))
    assert (sorted(first["moved"]), first["valid"]) == (names, [])
    assert (second["moved"], sorted(second["valid"])) == ([], names)
    assert reads(server) == before
    assert max(first["peak_bytes"], second["peak_bytes"]) < PEAK


async def test_a2_only_what_is_not_valid_moves(
    server: RunningOCI, storage: Storage, model: Path, tmp_path: Path
) -> None:
    """
    After a truncation, a flipped byte and a deletion, only those three files are downloaded.
    """
    await upload_tree(storage, model)
    target = tmp_path / "node"
    await pull(storage, target, part_size=PART)
    with (target / "model-00001-of-00004.safetensors").open("r+b") as file:
        file.truncate(PART + 1)
    with (target / "model-00002-of-00004.safetensors").open("r+b") as file:
        file.seek(3 * PART)
        byte = file.read(1)
        file.seek(3 * PART)
        file.write(bytes([byte[0] ^ 1]))
    (target / "config.json").unlink()
    pulled = await pull(storage, target, part_size=PART)

    assert sorted(pulled.moved) == [
        "config.json",
        "model-00001-of-00004.safetensors",
        "model-00002-of-00004.safetensors",
    ]
    await asyncio.to_thread(assert_same, model, target)


async def test_a3_model_is_deleted_while_it_is_pulled(
    server: RunningOCI, storage: Storage, model: Path, tmp_path: Path
) -> None:
    """
    Cancelling returns at once: no request is in flight, no task writes, and the directory can be removed.
    """
    await upload_tree(storage, model)
    target = tmp_path / "node"
    before = reads(server)
    slow = server.server.inject(Fault(method="GET", path="/o/.*safetensors", after=2, times=None, delay=30))
    task = asyncio.ensure_future(pull(storage, target, part_size=PART))
    while reads(server) < before + 4:
        await asyncio.sleep(0.01)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    took = time.monotonic() - began
    slow.times = 0
    left = await asyncio.to_thread(files_of, target)
    await asyncio.to_thread(shutil.rmtree, target)
    await asyncio.sleep(0.2)

    assert took < 1
    assert all(name in files_of(model) for name in left)
    assert all(size == files_of(model)[name] for name, size in left.items())
    assert not target.exists()
    now = storage.statistics()
    assert (now.requests_in_flight, now.requests_waiting, now.bytes_buffered) == (0, 0, 0)


async def test_a4_only_the_engine_of_a_shape(storage: Storage, tmp_path: Path) -> None:
    """
    Only names with the node's shape are downloaded; without any the pull is an error.
    """
    for name in ("A10.2/rank0.engine", "H100.8/rank0.engine", "H100.8/config.json", "H100.80/rank0.engine"):
        await storage.put(storage.root / f"engines/{name}", name.encode())
    target = tmp_path / "node"
    pulled = await pull(storage, target, part_size=PART, keep=lambda name: "/H100.8/" in f"/{name}")

    assert pulled.moved == ["engines/H100.8/config.json", "engines/H100.8/rank0.engine"]
    assert set(files_of(target)) == set(pulled.moved)
    with pytest.raises(FileNotFoundError):
        await pull(storage, target, part_size=PART, keep=lambda name: "/MI300X.8/" in f"/{name}")


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[RunningOCI]:
    with running_oci(namespace="elsewhere", region="eu-frankfurt-1") as running:
        yield running


async def test_a5_replica_in_another_tenancy(
    server: RunningOCI, elsewhere: RunningOCI, storage: Storage, model: Path, tmp_path: Path
) -> None:
    """
    A copy between tenancies with different keys uses no local disk and stores each checksum as metadata.
    """
    await upload_tree(storage, model)
    # The reader cannot write here, and the writer of the other tenancy is unknown here.
    reader: dict[str, Any] = {"endpoint_url": server.server.url, **server.readonly.settings(server.region)}
    session = await asyncio.to_thread(elsewhere.server.authenticate, elsewhere.user)
    for name, text in (("token", session.token), ("session.pem", session.private_key)):
        (tmp_path / name).write_text(text)
    writer: dict[str, Any] = {
        "endpoint_url": elsewhere.server.url,
        "region": elsewhere.region,
        "auth_type": "session_token",
        "key_file": str(tmp_path / "session.pem"),
        "security_token_file": str(tmp_path / "token"),
    }
    files_before = await asyncio.to_thread(files_of, tmp_path)
    outcomes: dict[str, str] = {}
    target_uri = f"oci://elsewhere/{elsewhere.fresh_bucket()}/replica/models/llama/"
    async with open_storage(storage.root, **reader) as source, open_storage(target_uri, **writer) as target:

        async def replicate(key: str) -> None:
            where = target.root / key.replace(source.root.key, "", 1)
            stored = await source.stat(source.root.with_key(key))
            checksum = next(item for item in stored.checksums if item.parts is None)
            options = UploadOptions(part_size=PART, metadata={str(checksum.algorithm): checksum.base64()})
            await copy_between(source, stored.uri, target, where, options=options)
            outcomes[where.key] = checksum.base64()

        limit = anyio.Semaphore(10)
        async with anyio.create_task_group() as group:
            async for info in source.list():

                async def one(key: str = info.key) -> None:
                    async with limit:
                        await replicate(key)

                group.start_soon(one)
        pulled = await pull(target, tmp_path / "check", part_size=PART)
        metadata = {name: (await target.stat(target.root / name)).metadata for name in pulled.moved}

    assert len(outcomes) == len(pulled.moved) == len(files_of(model))
    assert metadata == {name: {"crc32c": outcomes[f"replica/models/llama/{name}"]} for name in pulled.moved}
    await asyncio.to_thread(assert_same, model, tmp_path / "check")
    shutil.rmtree(tmp_path / "check")
    assert files_of(tmp_path) == files_before


async def test_a6_model_directory_is_uploaded(storage: Storage, model: Path, tmp_path: Path) -> None:
    """
    Keys are the prefix and the file names; each file's md5 is stored as metadata, and reads are compared with it.
    """

    async def upload(name: str) -> None:
        digest = await asyncio.to_thread(checksum_of, model / name, ChecksumAlgorithm.MD5)
        options = UploadOptions(part_size=PART, multipart_threshold=2 * PART, metadata={"md5": digest.base64()})
        await storage.upload(model / name, storage.root / name, options=options)

    async with anyio.create_task_group() as group:
        for name in files_of(model):
            group.start_soon(upload, name)
    listed = {info.key: info.size async for info in storage.list()}
    assert listed == {f"models/llama/{name}": size for name, size in files_of(model).items()}
    for name in files_of(model):
        found = await storage.stat(storage.root / name)
        digest = hashlib.md5((model / name).read_bytes(), usedforsecurity=False).digest()
        assert found.metadata == {"md5": base64.b64encode(digest).decode()}
    await pull(storage, tmp_path / "node", part_size=PART)

    await asyncio.to_thread(assert_same, model, tmp_path / "node")


async def test_a7_serving_sidecar_follows_a_list(server: RunningOCI, storage: Storage, tmp_path: Path) -> None:
    """
    The sidecar downloads new adapters under their base names, deletes removed ones and leaves the rest alone.
    """
    target = tmp_path / "adapters"
    target.mkdir()

    async def follow(keys: list[str]) -> list[str]:
        wanted = {Path(key).name: key for key in keys}
        there = {path.name for path in target.iterdir()}
        items = [Download(storage.root / wanted[name], target / name) for name in sorted(set(wanted) - there)]
        options = BulkOptions(download=DownloadOptions(part_size=5 * MiB, max_concurrency=12, sync=False))
        (await storage.bulk_download(items, options=options)).raise_for_failures()
        for name in there - set(wanted):
            (target / name).unlink()
        return [item.target.name for item in items]

    for name in ("a", "b", "c"):
        await storage.put(storage.root / f"tenant/{name}/{name}.bin", name.encode() * MiB)
    assert await follow(["tenant/a/a.bin", "tenant/b/b.bin"]) == ["a.bin", "b.bin"]
    assert await follow(["tenant/a/a.bin", "tenant/b/b.bin"]) == []
    # A transient fault is retried without the sidecar noticing.
    server.server.inject(Fault(method="GET", path="c%2Fc.bin", times=2))
    assert await follow(["tenant/b/b.bin", "tenant/c/c.bin"]) == ["c.bin"]
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"b.bin": b"b" * MiB, "c.bin": b"c" * MiB}
    assert await follow([]) == []

    assert list(target.iterdir()) == []


async def test_a8_one_adapter_in_parts(server: RunningOCI, storage: Storage, tmp_path: Path) -> None:
    """
    One large object is downloaded in ranges by twelve tasks, verified, and unpacked.
    """
    weights = b"adapter weights " * (13 * PART // 16)
    source, target = tmp_path / "adapter.zip", tmp_path / "node" / "adapter.zip"

    def pack() -> None:
        with zipfile.ZipFile(source, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("adapter_model.safetensors", weights)

    await asyncio.to_thread(pack)
    await storage.upload(source, storage.root / "adapter.zip")
    before = reads(server)
    options = DownloadOptions(part_size=PART, max_concurrency=12, sync=False)
    info = await storage.download(storage.root / "adapter.zip", target, options=options)
    assert reads(server) - before == -(-source.stat().st_size // PART)
    assert info.checksum == compute(ChecksumAlgorithm.CRC32C, source.read_bytes())

    def unpack() -> bytes:
        with zipfile.ZipFile(target) as archive:
            archive.extractall(target.parent)
        target.unlink()
        return (target.parent / "adapter_model.safetensors").read_bytes()

    assert await asyncio.to_thread(unpack) == weights

"""
The loader of docs/examples reads the tensors that are asked for, and no others, from any provider.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from anyio import to_thread

from asyncstore import MiB, PreconditionFailedError, Storage, open_storage
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.testing.faults import FaultyDriver
from tests.build import KEY, ROOT, at_rest, patterned
from tests.conformance.s3 import settings
from tests.servers.s3 import S3Server, fresh_bucket

_EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "safetensors_loader.py"

LARGE = patterned(20 * MiB)
TENSORS: dict[str, tuple[str, list[int], bytes]] = {
    "embedding": ("F32", [2, 3], struct.pack("<6f", *range(6))),
    "bias": ("I64", [2], struct.pack("<2q", -1, 2**40)),
    "large": ("BF16", [1024, 10240], LARGE),
    "scalar": ("F64", [], struct.pack("<d", 1.5)),
    "empty": ("F32", [0, 4], b""),
    "last": ("U8", [5], b"abcde"),
}


def packed(tensors: dict[str, tuple[str, list[int], bytes]], padding: int = 0) -> bytes:
    """
    Return a safetensors file.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode() + b" " * padding
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


@pytest.fixture(scope="module")
def loader() -> Iterator[ModuleType]:
    spec = spec_from_file_location("safetensors_loader", _EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["safetensors_loader"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["safetensors_loader"]


@pytest.fixture
def faults() -> FaultyDriver:
    return FaultyDriver(MemoryDriver())


@pytest.fixture
async def storage(faults: FaultyDriver) -> Storage:
    storage = faults.storage(ROOT)
    await storage.put(KEY, packed(TENSORS))
    return storage


async def test_all_tensors(loader: ModuleType, storage: Storage, faults: FaultyDriver) -> None:
    """
    With their items and shapes; one request for the header, and one for each part of what follows.
    """
    file = await loader.Safetensors.open(storage, KEY)
    assert 1 == faults.calls["open_read"]
    loaded = await file.load(TENSORS)

    assert {"format": "pt"} == file.metadata
    assert list(TENSORS) == list(file.tensors)
    assert {name: data for name, (_, _, data) in TENSORS.items()} == {n: view.tobytes() for n, view in loaded.items()}
    assert [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]] == loaded["embedding"].tolist()
    assert [-1, 2**40] == loaded["bias"].tolist()
    assert [1.5] == loaded["scalar"].tolist()
    # 20 MiB and some bytes without a gap, in parts of 4 MiB.
    assert 7 == faults.calls["open_read"]
    at_rest(storage, faults)


async def test_only_what_is_asked_for(loader: ModuleType, storage: Storage, faults: FaultyDriver) -> None:
    """
    Neighbours are read together, the large one between others not at all.
    """
    file = await loader.Safetensors.open(storage, KEY)
    faults.calls.clear()
    loaded = await file.load(["last", "bias", "embedding"])

    assert {"last", "bias", "embedding"} == set(loaded)
    assert b"abcde" == loaded["last"].tobytes()
    assert 2 == faults.calls["open_read"]


async def test_a_long_header(loader: ModuleType, storage: Storage, faults: FaultyDriver) -> None:
    await storage.put(KEY, packed(TENSORS, padding=MiB))
    faults.calls.clear()
    file = await loader.Safetensors.open(storage, KEY)

    assert 2 == faults.calls["open_read"]
    assert b"abcde" == (await file.load(["last"]))["last"].tobytes()


async def test_a_file_that_was_replaced(loader: ModuleType, storage: Storage) -> None:
    file = await loader.Safetensors.open(storage, KEY)
    await storage.put(KEY, packed(dict(reversed(TENSORS.items()))))
    with pytest.RaisesGroup(PreconditionFailedError):
        await file.load(["bias"])


async def test_a_missing_tensor(loader: ModuleType, storage: Storage, faults: FaultyDriver) -> None:
    file = await loader.Safetensors.open(storage, KEY)
    faults.calls.clear()
    with pytest.raises(KeyError, match="none"):
        await file.load(["bias", "none"])
    assert not faults.calls


def _broken(**changes: Any) -> bytes:
    text = json.dumps({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2], **changes}}).encode()
    return struct.pack("<Q", len(text)) + text + b"ab"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        b"this is a text and nothing else",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{}rest",
        struct.pack("<Q", 4) + b"\xff\xfe{}",
        _broken(dtype="X9"),
        _broken(shape=[3]),
        _broken(shape=[-2]),
        _broken(shape="2"),
        _broken(data_offsets=[1, 3]),
        _broken(data_offsets=[0]),
        _broken(data_offsets=None),
    ],
)
async def test_what_is_no_safetensors_file(loader: ModuleType, storage: Storage, data: bytes) -> None:
    await storage.put(KEY, data)
    with pytest.raises((loader.FormatError, ValueError)):
        await loader.Safetensors.open(storage, KEY)


async def test_from_s3(loader: ModuleType, seaweed: S3Server, tmp_path: Path) -> None:
    """
    As a program, too.
    """
    bucket = fresh_bucket(seaweed)
    async with open_storage(f"s3://{bucket}", **settings(seaweed)) as storage:
        await storage.put("model.safetensors", packed(TENSORS))
        file = await loader.Safetensors.open(storage, "model.safetensors")
        assert (await file.load(["large"]))["large"].tobytes() == LARGE
    environment = {
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "AWS_ENDPOINT_URL": seaweed.endpoint_url,
        "AWS_REGION": seaweed.region,
        "AWS_ACCESS_KEY_ID": seaweed.access_key_id,
        "AWS_SECRET_ACCESS_KEY": seaweed.secret_access_key,
    }

    def run(*arguments: str) -> str:
        command = [sys.executable, str(_EXAMPLE), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    listed = await to_thread.run_sync(run, f"s3://{bucket}/model.safetensors")
    loaded = await to_thread.run_sync(run, f"s3://{bucket}/model.safetensors", "bias")

    assert "large: BF16 [1024, 10240]\n" in listed
    assert loaded == "bias: 16 bytes, first item ffffffffffffffff\n"

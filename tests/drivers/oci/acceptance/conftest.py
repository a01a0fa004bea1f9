"""
A server, and a model to put into it.

``ASYNCSTORE_ACCEPTANCE_PART`` sets the part size in MiB. OME uses 200, which needs a large machine.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncstore import MiB, Storage, open_storage
from asyncstore.testing.conformance.payloads import payload
from tests.servers.oci import RunningOCI, running_oci

PART = int(os.environ.get("ASYNCSTORE_ACCEPTANCE_PART", "4")) * MiB


@pytest.fixture(scope="module")
def server() -> Iterator[RunningOCI]:
    with running_oci() as running:
        yield running


@pytest.fixture
async def storage(server: RunningOCI) -> AsyncIterator[Storage]:
    uri = f"oci://{server.namespace}/{server.fresh_bucket()}/models/llama/"
    settings: dict[str, Any] = {"endpoint_url": server.server.url, **server.user.settings(server.region)}
    async with open_storage(uri, **settings) as storage:
        yield storage


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A directory like a model's: four large files, small ones, an index and a folder."""
    folder = tmp_path / "model"
    (folder / "original").mkdir(parents=True)
    for number in range(4):
        with (folder / f"model-{number + 1:05}-of-00004.safetensors").open("wb") as file:
            for part in range(4):
                file.write(payload(PART, seed=number * 4 + part))
            file.write(b"tail")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "original" / "params.json").write_text("{}")
    (folder / "empty").write_bytes(b"")
    return folder


def files_of(folder: Path) -> dict[str, int]:
    """Return the names below a folder, with their sizes."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}

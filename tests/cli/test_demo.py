"""
``asyncstore demo``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from asyncstore.cli.demo_content import Model
from asyncstore.drivers.memory import MemoryDriver
from tests.cli.shell import invoke, make, records, tree

SMALL = ["demo", "--size", "3MiB", "--files", "12"]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    The parent of the demo's temporary directory.
    """
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_without_a_cloud(temporary: Path) -> None:
    """
    The files are uploaded, downloaded and compared, and everything is removed.
    """
    result = invoke(*SMALL)

    assert result.exit_code == 0, result.output
    assert "every byte is the same" in result.stdout
    assert "peak memory" in result.stdout
    assert list(temporary.iterdir()) == []


def test_as_json() -> None:
    """
    One record per phase, and a summary.
    """
    *phases, summary = records(invoke(*SMALL, "--json").stdout)

    assert [phase["name"] for phase in phases] == ["make", "upload", "list", "download", "verify"]
    assert {(phase["objects"], phase["bytes"]) for phase in phases} == {(12, 3 << 20)}
    assert summary["ok"] is True
    assert summary["bytes"] == 3 << 20
    assert summary["peak_memory_bytes"] > 1 << 20


@pytest.mark.parametrize("keep", [False, True])
def test_to_a_provider(tmp_path: Path, keep: bool) -> None:
    """
    The demo uses a new prefix, and deletes it unless --keep is set.
    """
    store = make(tmp_path / "store", {"mine": b"x"})

    result = invoke(*SMALL, "--to", store.as_uri(), *(["--keep"] if keep else []))

    assert result.exit_code == 0, result.output
    assert len(tree(store)) == (13 if keep else 1)


def test_wrong_bytes_are_found(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    """
    A wrong byte is a failure, reported with its offset.
    """
    original = Model.write

    def wrong(self: Model, content: Any, root: Path) -> None:
        original(self, content, root)
        if content.key == "config.json":
            path = root / content.key
            path.write_bytes(b"X" + path.read_bytes()[1:])

    monkeypatch.setattr(Model, "write", wrong)

    result = invoke(*SMALL)

    assert result.exit_code == 1
    assert "config.json: differs at byte 0" in result.stderr
    assert list(temporary.iterdir()) == []


def test_failed_objects_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A failed upload is reported as a problem.
    """

    async def full(*_: object) -> Any:
        raise OSError(28, "no room")

    monkeypatch.setattr(MemoryDriver, "classify", lambda *_: None)
    monkeypatch.setattr(MemoryDriver, "put", full)

    assert invoke(*SMALL, "--to", "memory://b").exit_code == 1


@pytest.mark.parametrize("arguments", [["--size", "10"], ["--size", "x"], ["--files", "3"], ["--keep"]], ids=str)
def test_usage(arguments: list[str]) -> None:
    """
    Impossible sizes and counts are refused.
    """
    assert invoke("demo", *arguments).exit_code == 2


@pytest.mark.parametrize(("size", "files"), [(4096, 4), (100_000, 50), (200 << 20, 300)])
def test_model(size: int, files: int, tmp_path: Path) -> None:
    """
    The tree has the requested size and number of files, and is reproducible.
    """
    model, again = Model(size, files), Model(size, files)

    assert len({content.key for content in model.contents}) == files
    assert model.size == size or size < 8192
    small = [content for content in model.contents if content.size < 1 << 20]
    assert all(list(model.chunks(content)) == list(again.chunks(content)) for content in small)


def test_model_is_what_it_looks_like(tmp_path: Path) -> None:
    """
    The shards have the header of safetensors, and the index names them all.
    """
    model = Model(3 << 20, 10)
    for content in model.contents:
        model.write(content, tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text("utf-8"))
    for name in index["weight_map"].values():
        data = (tmp_path / name).read_bytes()
        length = int.from_bytes(data[:8], "little")
        (tensor,) = json.loads(data[8 : 8 + length]).values()
        assert len(data) == 8 + length + tensor["data_offsets"][1]


@pytest.mark.parametrize("damage", ["gone", "longer", "shorter", "other"])
def test_every_difference_is_found(tmp_path: Path, damage: str) -> None:
    """
    The comparison finds every kind of difference.
    """
    model = Model(3 << 20, 10)
    content = max(model.contents, key=lambda content: content.size)
    model.write(content, tmp_path)
    path = tmp_path / content.key
    data = path.read_bytes()
    assert model.differs(content, tmp_path) is None
    path.write_bytes({"longer": data + b"x", "shorter": data[:-1], "other": data[:-1] + b"\0"}.get(damage, b""))
    if damage == "gone":
        path.unlink()

    assert model.differs(content, tmp_path)

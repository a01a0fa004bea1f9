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
    Where the demo puts its temporary directory.
    """
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_without_a_cloud(temporary: Path) -> None:
    """
    It goes up, comes back, is the same, and nothing stays.
    """
    result = invoke(*SMALL)

    assert result.exit_code == 0, result.output
    assert "every byte is the same" in result.stdout
    assert "peak memory" in result.stdout
    assert list(temporary.iterdir()) == []


def test_as_json() -> None:
    """
    One object a phase, and the sum.
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
    It keeps to a fresh prefix, and deletes that, unless it is told to keep it.
    """
    store = make(tmp_path / "store", {"mine": b"x"})

    result = invoke(*SMALL, "--to", store.as_uri(), *(["--keep"] if keep else []))

    assert result.exit_code == 0, result.output
    assert len(tree(store)) == (13 if keep else 1)


def test_wrong_bytes_are_found(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    """
    One byte that is another is a failure, with its place.
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
    assert "config.json: another byte at 0" in result.stderr
    assert list(temporary.iterdir()) == []


def test_objects_that_fail_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What does not go up is a problem too.
    """

    async def full(*_: object) -> Any:
        raise OSError(28, "no room")

    monkeypatch.setattr(MemoryDriver, "classify", lambda *_: None)
    monkeypatch.setattr(MemoryDriver, "put", full)

    assert invoke(*SMALL, "--to", "memory://b").exit_code == 1


@pytest.mark.parametrize("arguments", [["--size", "10"], ["--size", "x"], ["--files", "3"], ["--keep"]], ids=str)
def test_usage(arguments: list[str]) -> None:
    """
    What cannot be is refused.
    """
    assert invoke("demo", *arguments).exit_code == 2


@pytest.mark.parametrize(("size", "files"), [(4096, 4), (100_000, 50), (200 << 20, 300)])
def test_model(size: int, files: int, tmp_path: Path) -> None:
    """
    It has the size and number asked for, and is the same every time.
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
def test_every_damage_is_seen(tmp_path: Path, damage: str) -> None:
    """
    The comparison misses nothing.
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

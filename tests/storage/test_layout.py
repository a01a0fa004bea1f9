"""
The names of items below the target: relative, whole, without overlap, without paths.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncstore import (
    ConfigurationError,
    Storage,
    SyncOptions,
    TreeOptions,
    copy_tree,
    delete_tree,
    download_tree,
    open_storage,
    upload_tree,
)
from asyncstore.storage.layout import Layout
from tests.storage.test_sync import make, read

KEYS = ("models/llama/config.json", "models/llama/fp16/weights", "models/index")


@pytest.fixture
async def models() -> AsyncIterator[Storage]:
    async with open_storage("memory://models") as storage:
        for key in KEYS:
            await storage.put(key, key.encode())
        yield storage


def written(*names: str) -> dict[str, bytes]:
    """
    Return files of these *names* with the keys of the objects of the same last segments.
    """
    return {name: next(key for key in KEYS if key.endswith(name.rpartition("/")[2])).encode() for name in names}


@pytest.mark.parametrize(
    ("layout", "prefix", "directory", "names"),
    [
        ("relative", "models/llama", "x", ["config.json", "fp16/weights"]),
        ("full", "models/llama", "x", ["models/llama/config.json", "models/llama/fp16/weights"]),
        ("full", "", "x", ["models/llama/config.json", "models/llama/fp16/weights", "models/index"]),
        ("flat", "", "x", ["config.json", "weights", "index"]),
        ("overlap", "models/llama", "x/models", ["llama/config.json", "llama/fp16/weights"]),
        ("overlap", "models/llama", "x/models/llama", ["config.json", "fp16/weights"]),
        # Each key has its own overlap, of whole segments at its start, and keeps its last one.
        ("overlap", "", "x/models/llama", ["config.json", "fp16/weights", "models/index"]),
        ("overlap", "", "x/models/index", ["models/llama/config.json", "models/llama/fp16/weights", "models/index"]),
        ("overlap", "", "x/mod", ["models/llama/config.json", "models/llama/fp16/weights", "models/index"]),
        ("overlap", "", "models/x", ["models/llama/config.json", "models/llama/fp16/weights", "models/index"]),
    ],
)
async def test_downloads_and_copies(
    models: Storage, tmp_path: Path, layout: Layout, prefix: str, directory: str, names: list[str]
) -> None:
    """
    Files and copies get the same names below their target.
    """
    (await download_tree(models, tmp_path / directory, prefix=prefix, layout=layout)).raise_for_failures()
    assert read(tmp_path / directory) == written(*names)

    async with open_storage("memory://copies") as target:
        result = await copy_tree(models, target, source_prefix=prefix, target_prefix=directory, layout=layout)
        result.raise_for_failures()
        copied = {info.name: await target.read(info.uri) async for info in target.list()}
    assert copied == {f"{directory}/{name}": data for name, data in written(*names).items()}


async def test_uploads(models: Storage, tmp_path: Path) -> None:
    """
    Files have no keys: their paths are kept, or their names alone.
    """
    source = make(tmp_path / "source", {"a/b/1": b"1", "2": b"2"})
    (await upload_tree(source, models, prefix="flat", layout="flat")).raise_for_failures()
    assert {info.name async for info in models.list("flat/")} == {"flat/1", "flat/2"}

    for layout in ("full", "overlap"):
        with pytest.raises(ConfigurationError, match=rf"layout='{layout}'.*use 'relative' or 'flat'"):
            await upload_tree(source, models, prefix="no", options=TreeOptions(layout=layout))
    assert not [info async for info in models.list("no/")]


@pytest.mark.parametrize("layout", ["flat", "overlap"])
async def test_one_name_for_two(tmp_path: Path, layout: Layout) -> None:
    """
    Of two items with one name the first is kept, and the other fails.
    """
    async with open_storage("memory://twins") as storage:
        for key in ("a/1", "1", "b"):
            await storage.put(key, key.encode())
        result = await download_tree(storage, tmp_path / "a", layout=layout)

    assert read(tmp_path / "a") == {"1": b"1", "b": b"b"}
    [failure] = result.failures
    assert str(failure.source) == "memory://twins/a/1"
    assert "choose another layout" in str(failure.error)


async def test_folders(tmp_path: Path) -> None:
    """
    Markers of folders follow the layout; the last segments alone have none.
    """
    async with open_storage("memory://folders") as storage, open_storage("memory://flat") as flat:
        for key in ("a/b/", "a/c/1"):
            await storage.put(key, b"1" if key.endswith("1") else b"")
        # The directory that the target already is.
        await download_tree(storage, tmp_path / "a/b", layout="overlap", empty_folders=True)
        await download_tree(storage, tmp_path / "x", layout="full", prefix="a", empty_folders=True)
        await copy_tree(storage, flat, layout="flat")
        assert [info.name async for info in flat.list()] == ["1"]

    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        *("a", "a/b", "a/b/a", "a/b/a/c", "a/b/a/c/1"),
        *("x", "x/a", "x/a/b", "x/a/c", "x/a/c/1"),
    ]


async def test_keys_that_lead_out(tmp_path: Path) -> None:
    """
    What is left of a key is held to the same rules.
    """
    async with open_storage("memory://traversal") as storage:
        await storage.put("a/../../x", b"")
        await storage.put("b/..", b"")
        for layout in ("full", "overlap", "flat"):
            result = await download_tree(storage, tmp_path / "target/a", options=TreeOptions(layout=layout))
            assert result.failed == (1 if layout == "flat" else 2)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert read(tmp_path / "target/a") == {"x": b""}


async def test_refused(models: Storage) -> None:
    """
    A layout that means nothing is refused before anything is read.
    """
    with pytest.raises(ValueError, match="turn empty_folders off"):
        TreeOptions(layout="flat", empty_folders=True)
    with pytest.raises(ValueError, match="layout cannot be 'full'"):
        SyncOptions(layout="full")
    with pytest.raises(ConfigurationError, match="takes no layout='flat'"):
        await delete_tree(models, layout="flat")
    assert len([info async for info in models.list()]) == len(KEYS)

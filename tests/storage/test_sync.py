"""
Two trees are compared and made the same, with as few requests as possible and no object bytes that need not move.
"""

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncstore.drivers.memory import MemoryDriver
from asyncstore.errors import ConfigurationError, NotFoundError, PermissionDeniedError, UnavailableError
from asyncstore.options import BulkOptions, ListOptions, UploadOptions
from asyncstore.storage import Storage, open_storage, pairs
from asyncstore.storage.compare import Difference, SyncOptions, compare_trees
from asyncstore.storage.pairs import Tree
from asyncstore.storage.sync import sync_tree
from asyncstore.storage.tree_pair import check_apart
from asyncstore.storage.walk import TreeProblem, walk
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ListPage
from asyncstore.uri import ObjectURI, parse_uri
from asyncstore.wrappers import under

FILES = {"a-b": b"dash", "a.txt": b"dot", "a/1": b"one", "a/2": b"two", "big": bytes(300_000), "z": b""}
TREE = parse_uri("memory://bucket/tree/")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "source", FILES)


@pytest.fixture
def faults(memory: MemoryDriver) -> FaultyDriver:
    return FaultyDriver(memory)


@pytest.fixture
async def remote(faults: FaultyDriver) -> AsyncIterator[Storage]:
    async with faults.storage(TREE) as storage:
        yield storage


def make(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def read(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def found(source: Tree, target: Tree, **options: Any) -> dict[str, str]:
    steps = [step async for step in compare_trees(source, target, options=SyncOptions(**options))]
    return {step.name: step.reason for step in steps if isinstance(step, Difference)}


async def moved(source: Tree, target: Tree, **options: Any) -> int:
    result = await sync_tree(source, target, options=SyncOptions(**options))
    assert result.ok, [str(o.error) for o in result.transferred.failures]
    return result.transferred.done


async def test_there_and_back(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """Everything moves once; a second run moves nothing."""
    assert await moved(folder, remote) == len(FILES)
    assert await moved(folder, remote) == 0
    assert await moved(remote, tmp_path / "copy") == len(FILES)
    assert await moved(remote, tmp_path / "copy") == 0

    assert read(tmp_path / "copy") == FILES


@pytest.mark.parametrize("down", [False, True])
async def test_unchanged_trees_need_only_a_listing(
    folder: Path, remote: Storage, faults: FaultyDriver, down: bool
) -> None:
    await sync_tree(folder, remote)
    if down:
        await sync_tree(remote, folder, options=SyncOptions(compare="checksum"))
    faults.calls.clear()

    assert await moved(*((remote, folder) if down else (folder, remote))) == 0
    assert faults.calls == {"list_page": 1}


async def test_truncated_file_is_mended(folder: Path, remote: Storage) -> None:
    await sync_tree(folder, remote)
    (folder / "big").write_bytes(b"short")

    assert await found(remote, folder) == {"big": "size"}
    assert await moved(remote, folder) == 1
    assert read(folder) == FILES


async def test_altered_byte_is_found_by_checksum(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """Neither the size nor the time has changed."""
    await sync_tree(folder, remote)
    copy = tmp_path / "copy"
    await sync_tree(remote, copy)
    times = (copy / "a/1").stat()
    (copy / "a/1").write_bytes(b"onE")
    os.utime(copy / "a/1", ns=(times.st_atime_ns, times.st_mtime_ns))

    assert await found(remote, copy) == {}
    assert await found(remote, copy, compare="checksum") == {"a/1": "checksum"}
    assert await moved(remote, copy, compare="checksum") == 1
    assert read(copy) == FILES


async def test_other_times_are_no_difference_if_checksums_agree(
    folder: Path, remote: Storage, faults: FaultyDriver
) -> None:
    """A newer file with the same bytes is not sent again, and a newer copy is not fetched."""
    await sync_tree(folder, remote)
    for name in FILES:
        os.utime(folder / name, (4_000_000_000, 4_000_000_000))
    faults.calls.clear()

    assert await moved(folder, remote) == 0
    assert faults.calls["put"] == 0
    assert await moved(remote, folder) == 0
    assert faults.calls["open_read"] == 0


async def test_paths_as_text(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """As :func:`upload_tree` takes them."""
    assert (await sync_tree(str(folder), remote)).transferred.done == len(FILES)
    assert (await sync_tree(remote, str(tmp_path / "copy"))).ok
    assert read(tmp_path / "copy") == FILES
    assert [step async for step in compare_trees(str(folder), remote)] == []


IN_THE_WAY: list[dict[str, bytes]] = [{"a": b"mine"}, {"z/1": b"mine"}, {"z/1/2": b"", "z/3": b""}]


@pytest.fixture(params=["directory", "storage"])
async def copy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Path, Tree]]:
    """A target of files, and the tree that a sync takes."""
    path = tmp_path / "copy"
    path.mkdir()
    async with open_storage(path.as_uri()) as storage:
        yield path, path if request.param == "directory" else storage


def content(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in read(root).items() if not name.startswith(".")}


@pytest.mark.parametrize("there", IN_THE_WAY)
async def test_files_and_directories_in_the_way(
    folder: Path, remote: Storage, copy: tuple[Path, Tree], there: dict[str, bytes]
) -> None:
    """Without deletions what is in the way is named; with them it is deleted, and then all is the same."""
    await sync_tree(folder, remote)
    target, tree = copy
    make(target, {**there, "extra": b""})
    (way,) = {name.partition("/")[0] for name in there}

    result = await sync_tree(remote, tree)
    assert {f"{target / way} is a" in str(problem.error) for problem in result.problems} == {True}
    assert not result.ok
    assert {**content(target), **there, "extra": b""} == content(target)

    result = await sync_tree(remote, tree, delete=True)
    assert result.ok, result
    assert content(target) == FILES
    assert result.transferred.done == sum(name.split("/")[0] == way for name in FILES)
    assert (await sync_tree(remote, tree, delete=True)).transferred.done == 0


async def test_empty_directory_in_the_way(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """It is no item of the trees, and is removed if deletions are allowed."""
    await sync_tree(folder, remote)
    make(tmp_path, {}).joinpath("copy/z/deep").mkdir(parents=True)

    assert not (await sync_tree(remote, tmp_path / "copy")).ok
    result = await sync_tree(remote, tmp_path / "copy", delete=True)

    assert result.ok, result
    assert read(tmp_path / "copy") == FILES


@pytest.mark.parametrize("there", IN_THE_WAY)
async def test_what_is_in_the_way_stays_after_a_failure(
    folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path, there: dict[str, bytes]
) -> None:
    """Nothing is deleted, also not what is in the way; each item is a failure."""
    await sync_tree(folder, remote)
    target = make(tmp_path / "copy", there)
    faults.fail("open_read", PermissionDeniedError("no"), times=1)

    result = await sync_tree(remote, target, delete=True)

    assert result.deleted is None
    assert result.transferred.failed == 1
    assert {"nothing else was deleted" in str(problem.error) for problem in result.problems} == {True}
    assert {**read(target), **there} == read(target)

    with pytest.raises(ConfigurationError, match="max_delete is 0"):
        await sync_tree(remote, target, delete=True, max_delete=0)
    assert {**read(target), **there} == read(target)


async def test_names_that_are_left_out_stay_in_the_way(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """What the options leave out is not deleted for a file that needs its place."""
    await sync_tree(folder, remote)
    target = make(tmp_path / "copy", {"z/keep.log": b"", "z/2": b""})

    result = await sync_tree(remote, target, delete=True, exclude=["*.log"])

    (problem,) = result.problems
    assert f"{target}/z is in the way" in str(problem.error)
    assert "the options leave out" in str(problem.error)
    assert not result.ok
    assert read(target) == {name: data for name, data in FILES.items() if name != "z"} | {"z/keep.log": b""}


async def test_comparison_changes_nothing(folder: Path, remote: Storage) -> None:
    """Only a sync gives files the times of their objects."""
    await sync_tree(folder, remote)
    for name in FILES:
        os.utime(folder / name, (4_000_000_000, 4_000_000_000))

    assert await found(remote, folder) == {}
    assert {(folder / name).stat().st_mtime for name in FILES} == {4_000_000_000}
    await sync_tree(remote, folder)
    assert {(folder / name).stat().st_mtime for name in FILES} != {4_000_000_000}


async def test_edited_copy_is_replaced(folder: Path, remote: Storage) -> None:
    await sync_tree(folder, remote)
    await sync_tree(remote, folder)
    (folder / "a/1").write_bytes(b"ONE")
    os.utime(folder / "a/1", (4_000_000_000, 4_000_000_000))

    assert await found(remote, folder, update=True) == {}
    assert await found(remote, folder) == {"a/1": "checksum"}


@pytest.mark.parametrize("compare", ["size", "exists"])
async def test_less_is_compared(folder: Path, remote: Storage, compare: str) -> None:
    await sync_tree(folder, remote)
    (folder / "a/1").write_bytes(b"ONE")
    os.utime(folder / "a/1", (4_000_000_000, 4_000_000_000))
    (folder / "a/2").write_bytes(b"longer")
    (folder / "new").touch()

    expected = {"new": "missing"} | ({"a/2": "size"} if compare == "size" else {})
    assert await found(folder, remote, compare=compare) == expected


async def test_nothing_is_deleted_unless_asked(folder: Path, remote: Storage) -> None:
    await sync_tree(folder, remote)
    (folder / "a/1").unlink()

    await sync_tree(folder, remote)
    assert await remote.exists(TREE / "a/1")
    assert await found(folder, remote, delete=True) == {"a/1": "extraneous"}
    result = await sync_tree(folder, remote, options=SyncOptions(delete=True))

    assert result.deleted is not None
    assert result.deleted.done == 1
    assert not await remote.exists(TREE / "a/1")


async def test_files_are_deleted_with_the_directories_that_they_leave_empty(
    folder: Path, remote: Storage, tmp_path: Path
) -> None:
    await sync_tree(folder, remote)
    make(folder, {"x/y/extra": b"", "a/extra": b""})

    await sync_tree(remote, folder, options=SyncOptions(delete=True))

    assert read(folder) == FILES
    assert not (folder / "x").exists()
    assert (folder / "a").is_dir()


async def test_too_many_deletions_delete_nothing(folder: Path, remote: Storage) -> None:
    await sync_tree(folder, remote)
    for name in ("a/1", "a/2"):
        (folder / name).unlink()

    with pytest.raises(ConfigurationError, match="2 items would be deleted, and max_delete is 1: nothing was deleted"):
        await sync_tree(folder, remote, options=SyncOptions(delete=True, max_delete=1))
    assert await remote.exists(TREE / "a/1")
    assert await moved(folder, remote, delete=True, max_delete=2) == 0


async def test_nothing_is_deleted_after_a_failure(folder: Path, remote: Storage, faults: FaultyDriver) -> None:
    await sync_tree(folder, remote)
    (folder / "a/1").unlink()
    (folder / "new").write_bytes(b"new")
    faults.fail("put", UnavailableError("no"), times=None)

    result = await sync_tree(folder, remote, options=SyncOptions(delete=True))

    assert not result.ok
    assert result.transferred.failed == 1
    assert result.deleted is None
    assert await remote.exists(TREE / "a/1")


async def test_nothing_is_deleted_if_a_part_of_the_source_cannot_be_listed(
    folder: Path, remote: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if that shows only when the trees are compared again for the deletions."""
    await sync_tree(folder, remote)
    (folder / "z").unlink()
    walks = 0

    async def failing(root: Path, *args: Any, **options: Any) -> AsyncIterator[Any]:
        nonlocal walks
        walks += 1
        async for found in walk(root, *args, **options):
            if walks == 2 and getattr(found, "key", "").startswith("a/"):
                yield TreeProblem(root / "a", PermissionDeniedError("no"))
            else:
                yield found

    monkeypatch.setattr(pairs, "walk", failing)
    with pytest.raises(PermissionDeniedError):
        await sync_tree(folder, remote, options=SyncOptions(delete=True))

    assert sorted([info.name async for info in remote.list()]) == sorted(FILES)


async def test_names_that_are_left_out(folder: Path, remote: Storage) -> None:
    """They are neither transferred nor deleted."""
    await remote.put(TREE / "keep.log", b"")
    make(folder, {"own.log": b""})
    options = {"exclude": ["*.log"], "include": ["a*", "*.log"], "delete": True}

    assert await moved(folder, remote, **options) == 4
    assert {info.uri.key for info in [info async for info in remote.list()]} == {
        *(f"tree/{name}" for name in FILES if name.startswith("a")),
        "tree/keep.log",
    }


async def test_between_storages(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """Objects are compared with objects, also of another provider."""
    await sync_tree(folder, remote)
    async with open_storage(f"file://{tmp_path}/store/") as other:
        assert await moved(remote, other) == len(FILES)
        assert await moved(remote, other) == 0
        await other.put(other.root / "a/1", b"longer")
        assert await found(remote, other) == {"a/1": "size"}


async def test_unsafe_names_are_problems(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """An object whose name would lead out of the directory is reported; the others are downloaded."""
    await sync_tree(folder, remote)
    await remote.put(TREE / "../victim", b"")

    result = await sync_tree(remote, tmp_path / "copy")

    assert not result.ok
    assert [str(problem.source) for problem in result.problems] == [str(TREE / "../victim")]
    assert read(tmp_path / "copy") == FILES


class ByDirectory(MemoryDriver):
    """
    Memory that lists directory by directory, like some S3 servers: ``a/1`` before ``a-b``.
    """

    async def list_page(self, uri: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        page = await super().list_page(uri, options, token)
        return ListPage(objects=sorted(page.objects, key=lambda info: info.key.split("/")), next_token=page.next_token)


@pytest.mark.parametrize("sorted_first", [1, 3, 10_000])
async def test_listing_in_another_order(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sorted_first: int
) -> None:
    """Nothing is taken for missing or extraneous, whether the order shows early or late."""
    monkeypatch.setattr(pairs, "_SORTED", sorted_first)
    async with FaultyDriver(ByDirectory()).storage(TREE) as storage:
        await sync_tree(folder, storage)

        assert (await sync_tree(storage, tmp_path / "copy")).ok
        result = await sync_tree(storage, tmp_path / "copy", options=SyncOptions(delete=True))
        assert (result.transferred.done, result.deleted) == (0, None)
        assert read(tmp_path / "copy") == FILES

        await sync_tree(tmp_path / "copy", storage, options=SyncOptions(delete=True))
        assert sorted([info.name async for info in storage.list()]) == sorted(FILES)


async def test_random_trees(remote: Storage, memory: MemoryDriver, tmp_path: Path) -> None:
    """Whatever both sides have, afterwards they are the same."""
    chance = random.Random(7)
    names = ["a", "a-", "a.b", "b/a", "b/c/d", "b-/c", "c", "ä", "z/z"]
    for number in range(20):
        source = make(tmp_path / str(number), {})
        source.mkdir(exist_ok=True)
        make(source, {name: chance.randbytes(3) for name in names if chance.random() < 0.6} or {"one": b"1"})
        for name in names:
            if chance.random() < 0.4:
                await remote.put(TREE / name, chance.randbytes(chance.choice([3, 4])))
        await sync_tree(source, remote, options=SyncOptions(compare="checksum", delete=True))

        assert {key.removeprefix("tree/"): bytes(data) for key, data in memory.objects.items()} == read(source)


async def test_missing_sources(remote: Storage, tmp_path: Path) -> None:
    """A source that is not there never empties the target."""
    make(tmp_path / "copy", FILES)
    for source, target in ((remote, tmp_path / "copy"), (tmp_path / "none", remote)):
        with pytest.raises(NotFoundError):
            await sync_tree(source, target, options=SyncOptions(delete=True))
    assert read(tmp_path / "copy") == FILES


async def test_arguments(remote: Storage, tmp_path: Path) -> None:
    other: Any = "memory://bucket"
    number: Any = 1
    with pytest.raises(TypeError, match="target takes a path or a Storage, not a URI: open it with"):
        await sync_tree(remote, other)
    with pytest.raises(TypeError, match="source takes a path or a Storage, not int"):
        await sync_tree(number, remote)
    assert not Path("memory:").exists()
    with pytest.raises(ConfigurationError, match="both local"):
        await sync_tree(tmp_path, tmp_path)
    with pytest.raises(ValueError, match="compare takes 'time' or"):
        SyncOptions(compare=other)
    with pytest.raises(ValueError, match="max_delete must be 0 or more"):
        SyncOptions(max_delete=-1)


NESTED = [("", ""), ("a", "a/"), ("a", "a/b/"), ("a/b", "a"), ("", "a")]


@pytest.mark.parametrize(("source", "target"), NESTED)
async def test_trees_of_which_one_contains_the_other(
    remote: Storage, faults: FaultyDriver, tmp_path: Path, source: str, target: str
) -> None:
    """They are refused before anything is sent: a sync would delete its own source, or grow with every run."""
    make(tmp_path, {"a/b/c": b""})
    local = tmp_path / source
    (tmp_path / "link").symlink_to(tmp_path)
    async with (
        open_storage(f"file://{tmp_path}/link/{target}") as files,
        open_storage(f"s3://bucket/{source}", endpoint_url="http://127.0.0.1:1") as here,
        open_storage(f"s3://bucket/{target}", endpoint_url="http://127.0.0.1:1", region="eu-west-1") as there,
    ):
        for one, other in (
            (under(remote, source), under(remote, target)),
            (local, files),
            (files, local),
            (here, there),
        ):
            with pytest.raises(ConfigurationError, match=r"is inside|are the same"):
                await sync_tree(one, other, delete=True)
    assert faults.calls == {}


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("s3://bucket/a", "s3://bucket/a-b"),
        ("s3://bucket/a", "s3://other/a"),
        ("s3://bucket/a", "gs://bucket/a"),
        ("memory://bucket/a", "memory://bucket/a"),
        ("oci://bucket/a", "oci://bucket@namespace/a"),
        ("file:///nothing/a", "file:///nothing/a-b"),
    ],
)
async def test_trees_that_are_apart(source: str, target: str) -> None:
    async with open_storage(source) as one, open_storage(target) as other:
        await check_apart(one, other)


async def test_trees_of_two_services() -> None:
    """A bucket of the same name at another endpoint is another one."""
    async with (
        open_storage("s3://bucket", endpoint_url="http://127.0.0.1:1") as one,
        open_storage("s3://bucket", endpoint_url="http://127.0.0.1:2") as other,
    ):
        await check_apart(one, other)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://localhost:9000", "http://LOCALHOST:9000/", True),
        ("http://localhost:9000", "http://127.0.0.1:9000", True),
        ("https://s3.lab.example", "https://s3.lab.example:443/", True),
        ("https://s3.lab.example", "https://s3.lab.example.", True),
        ("https://s3.eu-west-1.amazonaws.com", "https://s3.dualstack.eu-west-1.amazonaws.com", True),
        ("https://s3.eu-west-1.amazonaws.com", "https://s3.cn-north-1.amazonaws.com.cn", False),
        ("https://s3.lab.example", "https://s3.lab.example:8443", False),
        ("https://s3.lab.example", "https://s3.other.example", False),
        ("https://s3.lab.example/one", "https://s3.lab.example/two", False),
    ],
)
async def test_two_spellings_of_one_endpoint(one: str, other: str, same: bool) -> None:
    """A bucket is the same one, however its endpoint is written."""
    keys: dict[str, Any] = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret"}
    async with (
        open_storage("s3://bucket/a", endpoint_url=one, region="eu-west-1", **keys) as source,
        open_storage("s3://bucket/a/b", endpoint_url=other, region="eu-west-1", allow_http=True, **keys) as target,
    ):
        if same:
            with pytest.raises(ConfigurationError, match="is inside"):
                await check_apart(source, target)
        else:
            await check_apart(source, target)


async def test_links_and_devices_are_left_out(folder: Path, remote: Storage) -> None:
    (folder / "link").symlink_to("/etc")
    result = await sync_tree(folder, remote, options=SyncOptions(bulk=BulkOptions(upload=UploadOptions())))

    assert result.ok
    assert [problem.expected for problem in result.problems] == [True]


@pytest.mark.parametrize("options", [{}, {"symlinks": "skip"}, {"include": ["*.bin"]}, {"compare": "checksum"}])
async def test_what_is_left_out_is_not_deleted(
    folder: Path, remote: Storage, tmp_path: Path, options: dict[str, Any]
) -> None:
    """A link that is not followed proves nothing about what is stored under its name."""
    elsewhere = make(tmp_path / "elsewhere", {"data.bin": b"1", "deep/data.bin": b"2", "file.bin": b"3"})
    (folder / "current").symlink_to(elsewhere)
    (folder / "a" / "one.bin").symlink_to(elsewhere / "file.bin")
    make(folder, {"current-2/old.bin": b"", "last.bin": b""})
    assert (await sync_tree(folder, remote, symlinks="follow")).ok
    (folder / "current-2" / "old.bin").unlink()

    assert await found(folder, remote, delete=True, **options) == {"current-2/old.bin": "extraneous"}
    result = await sync_tree(folder, remote, delete=True, **options)

    assert result.ok
    assert result.deleted is not None
    assert result.deleted.done == 1
    names = [*FILES, "current/data.bin", "current/deep/data.bin", "current/file.bin", "a/one.bin", "last.bin"]
    assert sorted([info.name async for info in remote.list()]) == sorted(names)


@pytest.mark.parametrize("symlinks", ["inside", "follow", "skip", "error"])
async def test_links_of_the_target_lead_nowhere(folder: Path, remote: Storage, tmp_path: Path, symlinks: Any) -> None:
    """What they lead to is neither compared nor deleted, whatever is done with those of a source."""
    await sync_tree(folder, remote)
    elsewhere = make(tmp_path / "elsewhere", {"precious": b"1", "file": b"2"})
    (folder / "out").symlink_to(elsewhere)
    (folder / "one").symlink_to(elsewhere / "file")
    (folder / "up").symlink_to(tmp_path)
    make(folder, {"extra": b""})

    result = await sync_tree(remote, folder, symlinks=symlinks, delete=True)

    assert result.ok
    assert result.deleted is not None
    assert result.deleted.done == 1
    assert read(elsewhere) == {"precious": b"1", "file": b"2"}
    assert all((folder / link).is_symlink() for link in ("out", "one", "up"))

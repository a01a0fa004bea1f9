"""
Trees are uploaded, downloaded, copied and deleted; every option is honoured or refused.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncstore import (
    BulkOptions,
    Checksum,
    ChecksumAlgorithm,
    ConfigurationError,
    DownloadOptions,
    IntegrityError,
    InvalidURIError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    ProgressEvent,
    Storage,
    SyncOptions,
    ThrottledError,
    TreeOptions,
    UnavailableError,
    Upload,
    UploadOptions,
    compare_trees,
    copy_tree,
    delete_tree,
    download_tree,
    open_storage,
    sync_tree,
    track,
    upload_tree,
)
from asyncstore._support.threads import in_thread
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.storage import content, trees
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ListPage, ObjectInfo
from asyncstore.uri import parse_uri
from tests.storage.test_sync import FILES, make, read

TREE = parse_uri("memory://bucket/tree/")
CREATE = BulkOptions(upload=UploadOptions(if_none_match="*"), download=DownloadOptions(overwrite=False))


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


async def names(storage: Storage) -> list[str]:
    return sorted([info.name async for info in storage.list()])


async def test_there_and_back(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """A prefix is relative to the root; nothing else is touched."""
    await remote.put("other", b"")

    up = await upload_tree(folder, remote, prefix="a/b")
    down = await download_tree(remote, tmp_path / "copy", prefix="a/b/")
    copied = await copy_tree(remote, remote, source_prefix="a/b", target_prefix="c")
    gone = await delete_tree(remote, prefix="a/b")

    assert [result.done for result in (up, down, copied, gone)] == [len(FILES)] * 4
    assert all(result.ok for result in (up, down, copied, gone))
    assert up.total_bytes == sum(map(len, FILES.values()))
    assert read(tmp_path / "copy") == FILES
    assert await names(remote) == sorted(["other", *(f"c/{name}" for name in FILES)])
    assert await remote.read("c/a/1") == b"one"


async def test_prefixes_are_uris_too(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """
    Text with a scheme and an ObjectURI name the same prefix as in every other verb; a foreign one is refused.
    """
    await upload_tree(folder, remote, prefix=str(remote.root / "up"))
    await copy_tree(remote, remote, source_prefix=remote.root / "up", target_prefix=str(remote.root / "copy/"))
    await download_tree(remote, tmp_path / "down", prefix=remote.root / "copy/")
    await delete_tree(remote, prefix=str(remote.root / "up"))

    assert read(tmp_path / "down") == FILES
    assert await names(remote) == sorted(f"copy/{name}" for name in FILES)
    for foreign in ("s3://bucket/tree/up", "weird://bucket/up", parse_uri("gs://bucket/up")):
        with pytest.raises(InvalidURIError, match="not in this storage"):
            await upload_tree(folder, remote, prefix=foreign)
        with pytest.raises(InvalidURIError, match="not in this storage"):
            await delete_tree(remote, prefix=foreign)
    assert await names(remote) == sorted(f"copy/{name}" for name in FILES)


async def test_trees_that_are_not_there(remote: Storage, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        await upload_tree(tmp_path / "nothing", remote)
    with pytest.raises(NotFoundError, match="no object has a key with this prefix"):
        await download_tree(remote, tmp_path / "copy")
    with pytest.raises(NotFoundError, match="no object has a key with this prefix"):
        await copy_tree(remote, remote, source_prefix="a", target_prefix="b")

    assert (await delete_tree(remote)).done == 0
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("verb", ["upload", "download", "copy", "delete"])
async def test_progress(folder: Path, remote: Storage, tmp_path: Path, verb: str) -> None:
    """Every verb works under ``track()``; the last event has the totals."""
    await upload_tree(folder, remote)
    operation: dict[str, Any] = {
        "upload": (upload_tree, folder, remote),
        "download": (download_tree, remote, tmp_path / "copy"),
        "copy": (lambda progress: copy_tree(remote, remote, source_prefix="a", target_prefix="b", progress=progress),),
        "delete": (delete_tree, remote),
    }
    latest = ProgressEvent(kind="progress")
    phases = set()

    async with track(*operation[verb]) as transfer:
        async for event in transfer:
            phases.add(event.phase)
            assert (event.objects_done, event.bytes_done) >= (latest.objects_done, latest.bytes_done)
            latest = event

    assert phases == ({"deleting"} if verb == "delete" else {"listing", "transferring"})
    assert (latest.kind, latest.objects_done) == ("done", transfer.result.done)
    assert transfer.result.done == (2 if verb == "copy" else len(FILES))
    assert transfer.result.total_bytes == latest.bytes_done


@pytest.mark.parametrize(
    ("glob", "matched"),
    [
        ("d/", ["d/1", "d/e/2", "b/d/3"]),
        ("/d/", ["d/1", "d/e/2"]),
        ("b/d/", ["b/d/3"]),
        ("/b/*/", ["b/d/3"]),
        ("d*/", ["d/1", "d/e/2", "b/d/3", "d-/4"]),
        ("d", ["c/d"]),
        ("/d", []),
        ("/c/d", ["c/d"]),
        ("/x", ["x"]),
        ("x", ["x", "b/x"]),
        ("/*.log", ["1.log", "b/2.log"]),
        ("**/2*", ["d/e/2", "b/2.log"]),
        ("/d/**/2", ["d/e/2"]),
        ("/d/**/1", ["d/1"]),
        ("/d/**", ["d/1", "d/e/2"]),
        ("**/d/", ["d/1", "d/e/2", "b/d/3"]),
        ("**/**/x", ["x", "b/x"]),
        ("b**/x", ["b/x"]),
        ("1**/.log", []),
    ],
)
@pytest.mark.parametrize("field", ["include", "exclude"])
async def test_slashes_of_globs(remote: Storage, tmp_path: Path, glob: str, matched: list[str], field: str) -> None:
    """One at the start is the root, one at the end a directory with everything below it; ``**/`` is any directories."""
    files = ["d/1", "d/e/2", "b/d/3", "d-/4", "c/d", "x", "b/x", "1.log", "b/2.log"]
    source = make(tmp_path / "tree", dict.fromkeys(files, b""))
    expected = sorted(matched if field == "include" else {*files} - {*matched})

    options = TreeOptions(**{field: [glob]})  # type: ignore[arg-type]
    await upload_tree(source, remote, options=options)
    assert await names(remote) == expected

    await upload_tree(source, remote)
    assert (await delete_tree(remote, options=options)).done == len(expected)


async def test_excluded_directories_are_not_read(remote: Storage, tmp_path: Path) -> None:
    """Nor do they fail: here one that would never end, by a link to itself."""
    source = make(tmp_path / "tree", {"d/1": b"", "a": b""})
    (source / "d" / "again").symlink_to(source / "d")

    result = await upload_tree(source, remote, symlinks="follow", exclude=["d/"])

    assert (result.done, result.failed, list(result.left_out)) == (1, 0, [])


async def test_names_that_belong_to_the_tree(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """Globs from arguments and from files, and hidden names, in every verb."""
    make(folder, {".git/config": b"", "a/.env": b"", "a/3.log": b"", "keep.log": b""})
    (tmp_path / "globs").write_text("# comment\n\n*.log\nbig\n")
    options = TreeOptions(exclude_from=[tmp_path / "globs"], exclude=["z"], hidden=False)
    expected = sorted(name for name in FILES if name not in ("big", "z"))

    await upload_tree(folder, remote, options=options)
    assert await names(remote) == expected

    await upload_tree(folder, remote)
    await download_tree(remote, tmp_path / "copy", options=options)
    assert sorted(read(tmp_path / "copy")) == expected
    await copy_tree(remote, remote, source_prefix="a", target_prefix="b", options=options)
    assert sorted(name for name in await names(remote) if name.startswith("b/")) == ["b/1", "b/2"]

    await delete_tree(remote, options=TreeOptions(include_from=[tmp_path / "globs"]))
    assert [name for name in await names(remote) if name.endswith(".log") or name == "big"] == []
    assert "a/1" in await names(remote)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "include_from: cannot read .*globs: No such file"),
        (b"\xff", "globs is not UTF-8"),
        (b"# nothing\n", "no file of include_from has a glob"),
    ],
)
async def test_files_of_globs_that_are_wrong(
    folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path, content: bytes | None, message: str
) -> None:
    """The error names the file, and nothing is sent."""
    if content is not None:
        (tmp_path / "globs").write_bytes(content)

    with pytest.raises(ConfigurationError, match=message):
        await upload_tree(folder, remote, options=TreeOptions(include_from=[tmp_path / "globs"]))
    assert faults.calls == {}


@pytest.mark.parametrize(
    ("symlinks", "expected", "failed"),
    [
        ("inside", ["dir/file", "inside"], []),
        ("follow", ["dir/file", "dir2/file", "inside", "out/secret", "outside"], ["dangling", "loop"]),
        ("skip", ["dir/file"], []),
        ("error", ["dir/file"], ["dangling", "dir2", "inside", "loop", "out", "outside"]),
    ],
)
async def test_symbolic_links(
    remote: Storage, tmp_path: Path, symlinks: Any, expected: list[str], failed: list[str]
) -> None:
    """Each policy; a link to a directory above itself never makes an endless tree."""
    root = make(tmp_path / "root", {"dir/file": b"1"})
    make(tmp_path / "elsewhere", {"secret": b"2"})
    for name, target in {
        "inside": "dir/file",
        "outside": "../elsewhere/secret",
        "out": "../elsewhere",
        "dir2": "dir",
        "loop": "../root",
        "dangling": "nowhere",
    }.items():
        (root / name).symlink_to(target)

    result = await upload_tree(root, remote, options=TreeOptions(symlinks=symlinks))

    assert await names(remote) == expected
    assert sorted(Path(str(outcome.source)).name for outcome in result.failures) == failed
    assert len(result.left_out) == 6 - len(failed) - (1 if symlinks == "inside" else 4 if symlinks == "follow" else 0)


async def test_links_that_are_left_out_by_name_are_no_failures(remote: Storage, tmp_path: Path) -> None:
    root = make(tmp_path / "root", {"file": b"1"})
    (root / "link").symlink_to("file")

    result = await upload_tree(root, remote, options=TreeOptions(symlinks="error", exclude=["link"]))

    assert (result.ok, result.left_out) == (True, [])


async def test_empty_directories(folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    """Markers of every tool become directories, and directories become markers; a sync finds nothing to do then."""
    (folder / "empty/within").mkdir(parents=True)
    (folder / "left").mkdir()
    options = TreeOptions(empty_folders=True, exclude=["left"])

    up = await upload_tree(folder, remote, options=options)
    assert await names(remote) == sorted([*FILES, "empty/within/"])
    assert up.done == len(FILES) + 1

    for marker in ("a/", "hadoop_$folder$", "console/"):
        await remote.put(marker, b"")
    without = await download_tree(remote, tmp_path / "without")
    assert without.done == len(FILES)
    assert not (tmp_path / "without/empty").exists()

    await download_tree(remote, tmp_path / "copy", options=options)
    assert read(tmp_path / "copy") == FILES
    assert {path.name for path in (tmp_path / "copy").iterdir() if path.is_dir()} == {
        "a",
        "empty",
        "hadoop",
        "console",
    }
    again = await sync_tree(remote, tmp_path / "copy", options=SyncOptions(empty_folders=True, delete=True))
    assert (again.transferred.done, again.deleted) == (0, None)


async def test_empty_directories_are_synchronized(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """They are made and deleted like files."""
    (folder / "empty").mkdir()
    options = SyncOptions(empty_folders=True, delete=True)

    assert (await sync_tree(folder, remote, options=options)).transferred.done == len(FILES) + 1
    assert (await sync_tree(folder, remote, options=options)).transferred.done == 0
    assert (await sync_tree(remote, tmp_path / "copy", options=options)).transferred.done == len(FILES) + 1
    assert (tmp_path / "copy/empty").is_dir()

    (folder / "empty").rmdir()
    result = await sync_tree(folder, remote, options=options)
    assert result.deleted is not None
    assert result.deleted.done == 1
    down = await sync_tree(remote, tmp_path / "copy", options=options)
    assert down.deleted is not None
    assert down.deleted.done == 1
    assert not (tmp_path / "copy/empty").exists()
    assert read(tmp_path / "copy") == FILES


async def test_modification_times(folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    """They go there and back to the nanosecond; a second sync moves nothing."""
    times = {name: 1_000_000_000_123_456_789 + number * 10**12 for number, name in enumerate(FILES)}
    for name, time in times.items():
        os.utime(folder / name, ns=(time, time))
    options = SyncOptions(preserve_mtime=True)

    await upload_tree(folder, remote, options=options)
    await download_tree(remote, tmp_path / "copy", options=options)

    assert {name: (tmp_path / "copy" / name).stat().st_mtime_ns for name in FILES} == times
    assert (await remote.stat("a/1")).metadata == {"mtime": f"{times['a/1'] // 10**9}.123456789"}
    faults.calls.clear()
    assert (await sync_tree(remote, tmp_path / "copy", options=options)).transferred.done == 0
    assert faults.calls == {"list_page": 1, "stat": len(FILES)}
    faults.calls.clear()
    assert (await sync_tree(folder, remote, options=options)).transferred.done == 0
    assert faults.calls == {"list_page": 1}


async def test_modification_times_are_copied(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """From a metadata key if there is one, else from when the object was written."""
    os.utime(folder / "z", (1, 1))
    options = TreeOptions(preserve_mtime=True, include=["z"])
    await upload_tree(folder, remote, prefix="in", options=options)
    await remote.put("in/plain", b"")
    written = (await remote.stat("in/plain")).last_modified
    assert written is not None

    options = TreeOptions(preserve_mtime=True)

    await copy_tree(remote, remote, source_prefix="in", target_prefix="copy", options=options)
    async with open_storage(f"file://{tmp_path}/store/") as other:
        await copy_tree(remote, other, source_prefix="in", options=options)
        for copies, prefix in ((remote, "copy/"), (other, "")):
            assert (await copies.stat(f"{prefix}z")).metadata == {"mtime": "1.000000000"}
            assert (await copies.stat(f"{prefix}plain")).metadata["mtime"].startswith(f"{int(written.timestamp())}.")


async def test_what_a_storage_cannot_keep_is_refused(folder: Path, tmp_path: Path) -> None:
    """Before anything is sent."""
    driver = FaultyDriver(MemoryDriver())
    async with driver.storage(TREE) as storage:
        driver.capabilities = driver.capabilities.__class__(
            reference="", max_object_size=100, max_put_size=100, metadata=False, min_object_size=1
        )
        for name in ("preserve_mtime", "empty_folders"):
            options = SyncOptions(preserve_mtime=name == "preserve_mtime", empty_folders=name == "empty_folders")
            for refused in (
                upload_tree(folder, storage, options=options),
                copy_tree(storage, storage, target_prefix="b", source_prefix="a", options=options),
                sync_tree(folder, storage, options=options),
            ):
                with pytest.raises(NotSupportedError, match=name):
                    await refused
        for name in ("preserve_mtime", "empty_folders", "update", "verify"):
            meaningless: Any = {name: True}
            with pytest.raises(ConfigurationError, match=f"takes no {name}"):
                await delete_tree(storage, **meaningless)
        assert driver.calls == {}


async def test_copies_into_themselves_are_refused(remote: Storage) -> None:
    await remote.put("a/1", b"")
    for target in ("a", "a/b"):
        with pytest.raises(ConfigurationError, match="never end"):
            await copy_tree(remote, remote, source_prefix="a", target_prefix=target)


@pytest.mark.parametrize(
    "wrong",
    [{"include": "*.log"}, {"exclude_from": ["a"]}, {"symlinks": "all"}, {"hidden": 1}, {"exclude": [1]}],
)
def test_options_of_a_wrong_type(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        TreeOptions(**wrong)


async def test_arguments_of_a_wrong_type(remote: Storage, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="target takes a Storage"):
        await upload_tree(tmp_path, "memory://b")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="TreeOptions"):
        await upload_tree(tmp_path, remote, options=BulkOptions())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="prefix takes text"):
        await delete_tree(remote, prefix=3)  # type: ignore[arg-type]


async def test_failures_are_outcomes(folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    """Also of keys that are not safe paths."""
    faults.fail("put", UnavailableError("no"), times=None, where=lambda call: "a/1" in str(call))
    up = await upload_tree(folder, remote)
    for key in ("../out", "a/../../out"):
        await remote.put(key, b"")
    down = await download_tree(remote, tmp_path / "copy")

    assert [str(outcome.target) for outcome in up.failures] == ["memory://bucket/tree/a/1"]
    assert (down.done, down.failed, down.ok) == (len(FILES) - 1, 2, False)
    with pytest.raises(ExceptionGroup):
        down.raise_for_failures()
    with pytest.raises(Exception, match="not a safe file path"):
        await download_tree(
            remote, tmp_path / "other", options=TreeOptions(bulk=BulkOptions(stop_on_error=True), include=["*out"])
        )


async def test_folders_below_which_something_is_left_stay(remote: Storage, faults: FaultyDriver) -> None:
    """A directory is deleted after what is in it, and only if that is gone."""
    memory = faults.driver
    faults.capabilities = replace(memory.capabilities, folders=True, delete_batch_size=0)
    for key in ("a/", "a/b/", "a/b/1", "c/", "c/1"):
        await remote.put(key, b"")
    listed = memory.list_page

    async def with_folders(*arguments: Any) -> ListPage:
        page = await listed(*arguments)
        return ListPage([replace(info, is_folder=info.key.endswith("/")) for info in page.objects])

    memory.list_page = with_folders  # type: ignore[assignment,method-assign]
    faults.fail("delete", PermissionDeniedError("no"), times=None, where=lambda call: call.uri.key.endswith("a/b/1"))
    events: list[ProgressEvent] = []

    result = await delete_tree(remote, progress=events.append)

    assert await names(remote) == ["a/", "a/b/", "a/b/1"]
    assert (result.done, result.failed) == (2, 1)
    assert [event.kind for event in events].count("done") == 1
    assert (events[-1].objects_done, events[-1].objects_failed, events[-1].objects_total) == (2, 1, 3)


async def test_existing_targets_are_not_sent_again(
    folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path
) -> None:
    """One look an item, and no bytes, in every direction."""
    options = TreeOptions(bulk=CREATE)
    await upload_tree(folder, remote)
    await download_tree(remote, tmp_path / "copy")
    faults.calls.clear()

    up = await upload_tree(folder, remote, options=options)
    assert (up.done, up.skipped, up.failed) == (0, len(FILES), 0)
    assert faults.calls == {"stat": len(FILES)}

    faults.calls.clear()
    down = await download_tree(remote, tmp_path / "copy", options=options)
    assert (down.done, down.skipped) == (0, len(FILES))
    assert faults.calls == {"list_page": 1}

    async with open_storage(f"file://{tmp_path}/copy/") as other:
        faults.calls.clear()
        copied = await copy_tree(other, remote, options=options)
        assert (copied.done, copied.skipped) == (0, len(FILES))
        assert faults.calls == {"stat": len(FILES)}


async def test_the_condition_stays_on_the_write(folder: Path, remote: Storage, faults: FaultyDriver) -> None:
    """An object that appears after the look is not overwritten."""
    await remote.put("a/1", b"theirs")
    faults.fail("stat", NotFoundError("not yet"), times=1, where=lambda call: "a/1" in str(call))

    result = await upload_tree(folder, remote, options=TreeOptions(bulk=CREATE))

    assert (result.done, result.skipped) == (len(FILES) - 1, 1)
    assert await remote.read("a/1") == b"theirs"


async def test_missing_files_fail_although_the_target_exists(remote: Storage, tmp_path: Path) -> None:
    await remote.put("a", b"")

    result = await remote.bulk_upload([Upload(tmp_path / "a", "a")], options=CREATE)

    assert (result.skipped, result.failed) == (0, 1)
    assert isinstance(result.failures[0].error, NotFoundError)


@pytest.mark.parametrize(
    ("verb", "call"), [("upload", "put"), ("download", "open_read"), ("copy", "copy"), ("delete", "delete_batch")]
)
async def test_cancelled_verb_leaves_nothing_half_done(
    folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path, verb: str, call: str
) -> None:
    """Cancelled within an item: no partial file, no request in flight, and the generator of the tree is closed."""
    if verb != "upload":
        await upload_tree(folder, remote)
    operation: dict[str, Any] = {
        "upload": lambda: upload_tree(folder, remote),
        "download": lambda: download_tree(remote, tmp_path / "copy"),
        "copy": lambda: copy_tree(remote, remote, source_prefix="a", target_prefix="b"),
        "delete": lambda: delete_tree(remote),
    }
    hang = faults.hang(call)
    task = asyncio.ensure_future(operation[verb]())
    await hang.reached()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(faults.in_flight.values())
    assert all(FILES[name] == data for name, data in (read(tmp_path / "copy") if verb == "download" else {}).items())


async def test_names_without_a_listing(folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    """Only what is named moves; objects are not listed, and what does not exist is a failure."""
    make(folder, {"a/deep/1": b"deep"})
    options = TreeOptions(names=["z", "a/deep/1", "a/2", "gone", "../out", "a/2"], exclude=["z"])

    up = await upload_tree(folder, remote, options=options)
    assert (up.done, sorted(Path(str(outcome.source)).name for outcome in up.failures)) == (2, ["gone", "out"])
    assert await names(remote) == ["a/2", "a/deep/1"]

    faults.calls.clear()
    down = await download_tree(remote, tmp_path / "copy", options=options)
    copied = await copy_tree(remote, remote, source_prefix="a", target_prefix="b", options=TreeOptions(names=["2"]))
    assert (down.done, down.failed, copied.done) == (2, 2, 1)
    assert read(tmp_path / "copy") == {"a/2": b"two", "a/deep/1": b"deep"}

    deleted = await delete_tree(remote, options=options)
    assert faults.calls["list_page"] == 0
    assert (deleted.done, deleted.failed) == (2, 2)
    missing = [outcome.error for outcome in deleted.failures if isinstance(outcome.error, NotFoundError)]
    assert [error.uri for error in missing] == [str(TREE / "../out"), str(TREE / "gone")]
    assert await names(remote) == ["b/2"]


async def test_deleting_names_that_do_not_exist(remote: Storage, faults: FaultyDriver) -> None:
    """Each is a failure, or the first one ends the deletion; a name that cannot be looked at is one, too."""
    await remote.put("a", b"")
    await remote.put("b", b"")
    faults.fail("stat", PermissionDeniedError("no"), where=lambda call: call.uri.name == "b")

    result = await delete_tree(remote, names=["a", "b", "c"])
    assert (result.done, [type(outcome.error) for outcome in result.failures]) == (
        1,
        [PermissionDeniedError, NotFoundError],
    )
    with pytest.raises(NotFoundError):
        await delete_tree(remote, names=["c"], bulk=BulkOptions(stop_on_error=True))
    assert await names(remote) == ["b"]


@pytest.mark.parametrize("inside", ["", "deep/er", "link"])
@pytest.mark.parametrize("around", [False, True])
async def test_trees_inside_themselves(folder: Path, inside: str, around: bool) -> None:
    """A directory and a ``file://`` storage of which one contains the other are refused before anything is written."""
    (folder / "link").symlink_to(folder)
    path, root = (folder / inside, folder) if around else (folder, folder / inside)
    async with open_storage(root.as_uri()) as files:
        for work in (upload_tree(path, files), download_tree(files, path)):
            with pytest.raises(ConfigurationError, match=r"is inside|are the same"):
                await work
    async with open_storage(folder.parent.as_uri()) as files:
        with pytest.raises(ConfigurationError, match="is inside"):
            await upload_tree(folder, files, prefix="source/below")
    (folder / "link").unlink()
    assert read(folder) == FILES


async def test_names_below_the_working_directory(
    folder: Path, remote: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is left out is found all the same, and not missing."""
    (folder / "link").symlink_to("/etc")
    monkeypatch.chdir(folder)

    result = await upload_tree(".", remote, names=["z", "link"])

    assert (result.done, result.failed, len(result.left_out)) == (1, 0, 1)


async def test_names_of_a_sync(folder: Path, remote: Storage) -> None:
    """What is not named is neither transferred nor deleted."""
    for key in ("extra", "other"):
        await remote.put(key, b"")
    options = SyncOptions(names=["a/1", "extra"], delete=True)

    result = await sync_tree(folder, remote, options=options)

    assert (result.transferred.done, result.deleted and result.deleted.done) == (1, 1)
    assert await names(remote) == ["a/1", "other"]


async def test_no_names_are_no_items(folder: Path, remote: Storage) -> None:
    assert (await upload_tree(folder, remote, options=TreeOptions(names=[]))).done == 0
    assert (await delete_tree(remote, options=TreeOptions(names=[]))).done == 0


@pytest.mark.parametrize("verb", ["upload", "download", "copy", "stream"])
async def test_verification(folder: Path, remote: Storage, tmp_path: Path, verb: str) -> None:
    """An item whose copy was changed in the meantime fails, and the others do not."""
    options = TreeOptions(verify=True)
    await upload_tree(folder, remote, options=options)
    async with open_storage(f"file://{tmp_path}/store/") as other:
        operation: dict[str, Any] = {
            "upload": lambda: upload_tree(folder, remote, options=options),
            "download": lambda: download_tree(remote, tmp_path / "copy", options=options),
            "copy": lambda: copy_tree(remote, remote, source_prefix="a", target_prefix="b", options=options),
            "stream": lambda: copy_tree(remote, other, options=options),
        }
        clean = await operation[verb]()

        real = content.check_same

        async def tampered(one: content.Content, two: content.Content) -> None:
            if isinstance(two, Path) and two.name == "1":
                await in_thread(two.write_bytes, b"onE")
            elif isinstance(two, tuple) and two[1].key.endswith("/1"):
                await two[0].put(two[1], b"onE")
            await real(one, two)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("asyncstore.storage.tree_work.check_same", tampered)
            changed = await operation[verb]()

    assert clean.ok
    assert [type(outcome.error) for outcome in changed.failures] == [IntegrityError]
    assert changed.done == clean.done - 1


async def test_verification_of_what_has_no_checksum(remote: Storage, tmp_path: Path) -> None:
    """The bytes are read where no checksum of the whole is stored; a wrong one decides nothing by itself."""
    await remote.put("a", b"data")
    (tmp_path / "a").write_bytes(b"data")
    with pytest.MonkeyPatch.context() as patch:
        for stored in ([], [Checksum(ChecksumAlgorithm.MD5, bytes(16))]):
            patch.setattr(content, "whole_checksums", lambda *_, stored=stored: stored)
            await content.check_same(tmp_path / "a", (remote, remote.root / "a"))
            (tmp_path / "b").write_bytes(b"datA")
            with pytest.raises(IntegrityError, match="differs from its source"):
                await content.check_same(tmp_path / "b", (remote, remote.root / "a"))


async def test_phases_of_a_sync(folder: Path, remote: Storage, faults: FaultyDriver) -> None:
    """Comparing, transferring, verifying and deleting are told, in one progress that ends once and never goes back."""
    for number in range(3):
        await remote.put(f"extra-{number}", b"")
    faults.fail("put", ThrottledError("slow down", status=503), times=1)
    events: list[ProgressEvent] = []

    await sync_tree(folder, remote, options=SyncOptions(delete=True, verify=True), progress=events.append)

    phases = list(dict.fromkeys(event.phase for event in events))
    assert phases == ["comparing", "transferring", "verifying", "deleting"]
    for name in ("objects_done", "objects_listed", "bytes_done", "elapsed", "retries"):
        counts = [getattr(event, name) for event in events]
        assert counts == sorted(counts), name
    last = events[-1]
    assert [event.kind for event in events].count("done") == 1
    assert (last.kind, last.objects_done, last.objects_listed) == ("done", len(FILES) + 3, len(FILES) + 3)
    assert (last.retries, last.throttled) == (1, 1)


async def test_comparison_without_differences_is_told(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """A sync of an unchanged tree says how far it is."""
    await sync_tree(folder, remote)
    events: list[ProgressEvent] = []

    await sync_tree(folder, remote, progress=events.append)

    assert [(event.kind, event.phase) for event in events] == [("progress", "comparing"), ("done", "transferring")]
    assert events[0].objects_listed == len(FILES)


@pytest.mark.parametrize("down", [False, True])
async def test_deletions_are_told(folder: Path, remote: Storage, tmp_path: Path, down: bool) -> None:
    """Of objects and of files; throttled ones, too."""
    await sync_tree(folder, remote)
    if down:
        await remote.bulk_delete(["a/1", "a/2"])
    else:
        (folder / "a/1").unlink()
        (folder / "a/2").unlink()
    events: list[ProgressEvent] = []

    ends = (remote, folder) if down else (folder, remote)
    await sync_tree(*ends, options=SyncOptions(delete=True), progress=events.append)

    deleted = [event for event in events if event.phase == "deleting" and event.kind == "object_done"]
    assert sorted(event.uri.key.rpartition("/")[2] for event in deleted if event.uri) == ["1", "2"]
    assert not (folder / "a/1").exists()


async def test_throttled_deletions_are_told(remote: Storage, faults: FaultyDriver) -> None:
    await remote.put("a", b"")
    faults.fail("delete_batch", ThrottledError("slow down", status=503), times=2)
    events: list[ProgressEvent] = []

    await delete_tree(remote, progress=events.append)

    assert [event.kind for event in events].count("throttle") == 2
    assert events[-1].throttled == 2


async def test_fields_as_keywords(folder: Path, remote: Storage, tmp_path: Path) -> None:
    """Every verb takes the fields of its options as keywords, and refuses names that it does not know."""
    assert (await upload_tree(folder, remote, names=["z", "a/1", "a/2"])).done == 3
    assert (await download_tree(remote, tmp_path / "copy", exclude=["z"])).done == 2
    assert (await copy_tree(remote, remote, source_prefix="a", target_prefix="b", include=["1"])).done == 1
    assert (await delete_tree(remote, prefix="b", hidden=False)).done == 1
    assert (await sync_tree(folder, remote, names=["z", "big"])).transferred.done == 1
    assert [step async for step in compare_trees(folder, remote, names=["z"])] == []

    unknown: dict[str, Any] = {"exlude": ["x"]}
    with pytest.raises(TypeError, match="exclude"):
        await upload_tree(folder, remote, **unknown)
    with pytest.raises(TypeError, match="SyncOptions"):
        await sync_tree(folder, remote, options=TreeOptions())  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", ["upload", "download", "copy"])
async def test_newer_targets_are_left_alone(
    folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path, verb: str
) -> None:
    """With ``update``: one look at each object that would be written, and no bytes for those that are newer."""
    for name in FILES:
        os.utime(folder / name, (1, 1))
    store = tmp_path / "store"
    async with open_storage(f"file://{store}/") as other:
        await upload_tree(folder, other)
        await upload_tree(folder, remote)
        await download_tree(remote, tmp_path / "copy")
        later = 4_000_000_000
        changed: dict[str, Any] = {
            "upload": (lambda options: upload_tree(folder, remote, options=options), folder / "a/1"),
            "download": (
                lambda options: download_tree(other, tmp_path / "copy", options=options),
                tmp_path / "store/a/1",
            ),
            "copy": (lambda options: copy_tree(other, remote, options=options), tmp_path / "store/a/1"),
        }
        run, newer = changed[verb]
        faults.calls.clear()

        nothing = await run(TreeOptions(update=True))
        looks = dict(faults.calls)
        os.utime(newer, (later, later))
        one = await run(TreeOptions(update=True))

    assert (nothing.done, nothing.skipped, nothing.failed) == (0, len(FILES), 0)
    assert looks == ({} if verb == "download" else {"stat": len(FILES)})
    assert (one.done, one.skipped) == (1, len(FILES) - 1)


async def test_failure_closes_the_listing(folder: Path, remote: Storage, faults: FaultyDriver, tmp_path: Path) -> None:
    """The generators of a tree are closed with the operation, not by the garbage collector."""
    await upload_tree(folder, remote)
    closed: list[str] = []
    real = trees.listed

    async def watched(*arguments: Any) -> AsyncGenerator[ObjectInfo, None]:
        try:
            async for info in real(*arguments):
                yield info
        finally:
            closed.append("listing")

    faults.fail("open_read", PermissionDeniedError("no"), times=None)
    stop = BulkOptions(stop_on_error=True, max_concurrency=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "listed", watched)
        with pytest.raises(PermissionDeniedError):
            await download_tree(remote, tmp_path / "copy", bulk=stop, update=True, verify=True)

        assert closed == ["listing"]

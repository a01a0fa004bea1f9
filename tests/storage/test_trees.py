"""
Files map to keys, and keys to files that never leave the directory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
)
from asyncstore.storage.safe_path import relative_parts, safe_path
from asyncstore.storage.trees import TargetTree, is_marker
from asyncstore.storage.walk import TreeFile, TreeProblem, walk
from asyncstore.types import ObjectInfo
from asyncstore.uri import parse_uri

KEYS = st.text(alphabet=st.sampled_from(list("aB./\\\0:~ é\n-")), max_size=12)


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


async def walked(root: Path) -> tuple[list[TreeFile], list[TreeProblem]]:
    entries = [entry async for entry in walk(root)]
    files = [entry for entry in entries if isinstance(entry, TreeFile)]
    return files, [entry for entry in entries if isinstance(entry, TreeProblem)]


@given(key=KEYS | st.text())
def test_no_key_leaves_the_root(key: str) -> None:
    """
    Any key is refused, or its path is below the root and equals the key.
    """
    try:
        parts = relative_parts(key)
    except InvalidRequestError:
        return
    root = "/srv/root"
    path = os.path.join(root, *parts)

    assert os.path.normpath(path) == path
    assert path == f"{root}/{key}"


@given(keys=st.lists(KEYS, unique=True))
def test_two_keys_never_have_one_path(keys: list[str]) -> None:
    """
    No two keys have the same path.
    """
    paths = []
    for key in keys:
        try:
            paths.append(relative_parts(key))
        except InvalidRequestError:
            continue

    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(
    "key",
    [
        *("", "/", "/etc/passwd", "../up", "a/../../up", "a/..", ".", "a/./b", "a//b", "a/", "a\0b"),
        *("x" * 256, "é" * 128, "\ud800"),
    ],
)
def test_unsafe_keys_are_refused(key: str) -> None:
    """
    A key that does not name a file below the root is refused.
    """
    with pytest.raises(InvalidRequestError):
        relative_parts(key)


@pytest.mark.parametrize(
    "key",
    ["a", "a/b", "...", "..a/b..", "~/x", "C:/x", "a:b", "a\\..\\b", "%2e%2e/x", " ", "a b/\nc", "x" * 255],
)
def test_harmless_keys_are_taken_verbatim(key: str) -> None:
    """
    Names that only look dangerous are accepted.
    """
    assert "/".join(relative_parts(key)) == key


@pytest.mark.parametrize(
    "key",
    [
        *("C:/x", "c:x", "a:b", "a\\..\\b", "a?", "a<b", "a/b ", "a./b", "a\nb"),
        *("CON", "con.txt", "a/NUL", "LPT1.x", "com¹", "CONIN$"),
    ],
)
def test_keys_that_are_unsafe_on_windows(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """
    Drive letters, streams, backslashes and reserved names are refused where they mean something else.
    """
    assert safe_path("d", key) == Path("d", key)
    monkeypatch.setattr("asyncstore.storage.safe_path._WINDOWS", True)
    with pytest.raises(InvalidRequestError):
        safe_path("d", key)


@pytest.mark.parametrize("key", ["a", "a/b", "console", "com", "nullable.txt", "LPT10", ".a", "a.b"])
def test_keys_that_are_safe_on_windows(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """
    Names that only resemble reserved ones are accepted.
    """
    monkeypatch.setattr("asyncstore.storage.safe_path._WINDOWS", True)

    assert safe_path("d", key) == Path("d", key)


async def test_what_the_library_made_is_left_out(tmp_path: Path) -> None:
    """
    Records of local storages and temporary files of downloads are not uploaded.
    """
    make(tmp_path, "a", ".asyncstore/meta/x", "b/.asyncstore/locks/00", "b/.c.asyncstore-0123456789ab.part", "d.part")

    files, problems = await walked(tmp_path)

    assert [file.key for file in files] == ["a", "d.part"]
    assert all(problem.expected for problem in problems)
    assert len(problems) == 3


async def test_place_is_below_the_root(tmp_path: Path) -> None:
    """
    Directories need not exist yet.
    """
    assert await TargetTree(tmp_path / "new").place("a/b/c") == tmp_path / "new/a/b/c"


@pytest.mark.parametrize("key", ["link/x", "dir/link/x"])
async def test_links_on_the_way_are_refused(tmp_path: Path, key: str) -> None:
    """
    A symbolic link in the target tree is refused.
    """
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for link in (root / "link", root / "dir/link"):
        link.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(PermissionDeniedError, match="link"):
        await TargetTree(root).place(key)


async def test_root_itself_may_be_a_link(tmp_path: Path) -> None:
    """
    The path of the root may contain links.
    """
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")

    assert await TargetTree(tmp_path / "root").place("x") == tmp_path / "root/x"


async def test_key_that_is_file_and_directory(tmp_path: Path) -> None:
    """
    A key that needs a file as directory is refused, also with other keys in between.
    """
    tree = TargetTree(tmp_path)
    await tree.place("a")
    await tree.place("a-b")

    with pytest.raises(InvalidRequestError, match="is a file"):
        await tree.place("a/b")
    assert await tree.place("b/a") == tmp_path / "b/a"


async def test_existing_file_where_a_directory_is_needed(tmp_path: Path) -> None:
    """
    A file in place of a directory is reported as such, not as an existing target.
    """
    make(tmp_path, "a")

    with pytest.raises(InvalidRequestError, match="needs a directory there"):
        await TargetTree(tmp_path).place("a/b")


async def test_repeated_key(tmp_path: Path) -> None:
    """
    A listing that repeats a key does not write a file twice at once.
    """
    tree = TargetTree(tmp_path)
    await tree.place("a")

    with pytest.raises(AlreadyExistsError):
        await tree.place("a")


async def test_spellings_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On a file system that ignores case, the second spelling is refused.
    """
    monkeypatch.setattr("asyncstore.storage.trees._folds_case", lambda _: True)
    tree = TargetTree(tmp_path)
    await tree.place("Weights/A")

    with pytest.raises(AlreadyExistsError, match="case"):
        await tree.place("weights/a")


def test_markers() -> None:
    """
    An empty object whose key says so is a folder marker, and one of which the listing says it.
    """
    entry = ObjectInfo(uri=parse_uri("s3://bucket/a"), size=0)
    named = {key: is_marker(replace(entry, uri=entry.uri.with_key(key))) for key in ("a/", "a_$folder$", "a")}

    assert named == {"a/": True, "a_$folder$": True, "a": False}
    assert not is_marker(ObjectInfo(uri=parse_uri("s3://bucket/a/"), size=1))
    assert is_marker(replace(entry, is_folder=True))


async def test_walk_is_in_byte_order_of_keys(tmp_path: Path) -> None:
    """
    The order is that of a listing: by the bytes of whole keys, not name by name.
    """
    names = ["a-b", "a/x", "a.b", "ab", "B/c/d", "é", "z"]
    make(tmp_path, *names)

    files, problems = await walked(tmp_path)

    assert [file.key for file in files] == sorted(names, key=str.encode)
    assert problems == []
    assert all(file.path.read_bytes() == file.key.encode() for file in files)
    assert [file.size for file in files] == [len(file.key.encode()) for file in files]


async def test_walk_draws_lazily(tmp_path: Path) -> None:
    """
    Directories are read only when they are reached.
    """
    make(tmp_path, *(f"a/{number:03}" for number in range(300)))
    (tmp_path / "z").mkdir()
    found = walk(tmp_path)
    await anext(found)
    make(tmp_path, "z/late")

    assert "z/late" in [entry.key async for entry in found if isinstance(entry, TreeFile)]


async def test_links(tmp_path: Path) -> None:
    """
    Links to files inside are followed; those to directories or out of the tree are reported and left out.
    """
    root = tmp_path / "root"
    make(root, "dir/file")
    make(tmp_path, "secret")
    (root / "inside").symlink_to("dir/file")
    (root / "outside").symlink_to("../secret")
    (root / "loop").symlink_to(".")
    (root / "dangling").symlink_to("nowhere")

    files, problems = await walked(root)

    assert [file.key for file in files] == ["dir/file", "inside"]
    assert {Path(str(problem.source)).name for problem in problems} == {"outside", "loop", "dangling"}
    assert all(problem.expected for problem in problems)


async def test_special_files_are_left_out(tmp_path: Path) -> None:
    """
    Pipes are left out, since opening one would block.
    """
    os.mkfifo(tmp_path / "pipe")

    files, problems = await walked(tmp_path)

    assert files == []
    assert [problem.expected for problem in problems] == [True]


async def test_undecodable_names_are_failures(tmp_path: Path) -> None:
    """
    A file whose name cannot be a key is reported, and does not stop the others.
    """
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
    make(tmp_path, "good")

    files, problems = await walked(tmp_path)

    assert [file.key for file in files] == ["good"]
    assert [problem.expected for problem in problems] == [False]
    str(problems[0].error).encode()


@contextmanager
def without_root_rights() -> Iterator[None]:
    """Drop root privileges, which would allow reading everything, for a block."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_unreadable_directory_is_a_failure() -> None:
    """
    Unreadable directories are reported, and the walk continues.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make(root, "closed/file", "open/file")
        (root / "closed").chmod(0)
        root.chmod(0o755)
        with without_root_rights():
            files, problems = await walked(root)
        (root / "closed").chmod(0o700)

    assert [file.key for file in files] == ["open/file"]
    assert isinstance(problems[0].error, PermissionDeniedError)


@pytest.mark.parametrize("name", ["nothing", "file"])
async def test_walk_of_no_directory(tmp_path: Path, name: str) -> None:
    """
    A missing root is an error, not an empty tree.
    """
    make(tmp_path, "file")

    with pytest.raises(NotFoundError):
        await anext(walk(tmp_path / name))


async def test_there_and_back(tmp_path: Path) -> None:
    """
    Placing the keys of a walk gives the same tree.
    """
    names = ["a", "b/c", "b\\d", "C", "e f/g\nh"]
    make(tmp_path / "source", *names)
    files, _ = await walked(tmp_path / "source")
    tree = TargetTree(tmp_path / "target")

    placed = [(await tree.place(file.key)).relative_to(tmp_path / "target").as_posix() for file in files]

    assert placed == [file.path.relative_to(tmp_path / "source").as_posix() for file in files]


def test_problems_are_storage_errors() -> None:
    """
    The errors of a walk are storage errors, like those of a transfer.
    """
    with pytest.raises(StorageError):
        relative_parts("..")

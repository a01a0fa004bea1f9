"""
``asyncstore cp``, in every direction.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from asyncstore import open_storage
from tests.cli.shell import invoke, make, records, run, tree

FILES = {"config.json": b"{}", "sub/a.bin": b"a" * 5000, "sub/b.txt": b"b", "z": b""}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source", FILES)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def test_file_becomes_the_object(source: Path, store: Path) -> None:
    """
    One file to one URI.
    """
    result = invoke("cp", source / "config.json", f"{store.as_uri()}/other.json")

    assert result.exit_code == 0, result.output
    assert tree(store) == {"other.json": b"{}"}


@pytest.mark.parametrize("slash", ["/", ""])
def test_file_goes_into_a_directory(source: Path, store: Path, slash: str) -> None:
    """
    With a slash, or where there is a directory, the file keeps its name.
    """
    invoke("cp", source / "config.json", store.as_uri() + slash)

    assert tree(store) == {"config.json": b"{}"}


@pytest.mark.parametrize(("target", "expected"), [("copy", "copy"), ("dir", "dir/a.bin"), ("new/", "new/a.bin")])
def test_object_to_file(source: Path, tmp_path: Path, target: str, expected: str) -> None:
    """
    An object becomes a file, or goes into a directory.
    """
    (tmp_path / "dir").mkdir()
    slash = "/" if target.endswith("/") else ""

    result = invoke("cp", f"{source.as_uri()}/sub/a.bin", f"{tmp_path / target}{slash}")

    assert result.exit_code == 0, result.output
    assert (tmp_path / expected).read_bytes() == FILES["sub/a.bin"]


@pytest.mark.parametrize("slashes", [("", ""), ("/", ""), ("", "/"), ("/", "/")])
def test_trees_there_and_back(source: Path, tmp_path: Path, slashes: tuple[str, str]) -> None:
    """
    With -r what is below goes below, whatever the slashes and whatever is there.
    """
    store = (tmp_path / "new").as_uri()
    for _ in range(2):
        assert invoke("cp", "-r", f"{source}{slashes[0]}", store + slashes[1]).exit_code == 0
        assert invoke("cp", "-r", store + slashes[0], f"{tmp_path / 'back'}{slashes[1]}").exit_code == 0

    assert tree(tmp_path / "new") == FILES
    assert tree(tmp_path / "back") == FILES


def test_several_sources_keep_their_names(source: Path, store: Path) -> None:
    """
    Each goes into the target.
    """
    invoke("cp", "-r", source / "sub", source / "z", store.as_uri())

    assert set(tree(store)) == {"sub/a.bin", "sub/b.txt", "z"}


def test_from_provider_to_provider(source: Path, store: Path, tmp_path: Path) -> None:
    """
    The bytes are streamed where no provider can copy.
    """
    memory = ["--set", f"shared={tmp_path.name}"]
    assert invoke("cp", "-r", source, "memory://b/x", *memory).exit_code == 0

    result = invoke("cp", "-r", "memory://b/x", store.as_uri(), "--source-set", f"shared={tmp_path.name}", "--json")

    assert result.exit_code == 0, result.output
    assert tree(store) == FILES
    assert records(result.stdout)[-1]["bytes"] == sum(map(len, FILES.values()))


def test_inside_a_provider(source: Path, tmp_path: Path) -> None:
    """
    One provider copies by itself.
    """
    memory = ["--set", f"shared={tmp_path.name}"]
    invoke("cp", "-r", source, "memory://b/x", *memory)

    assert invoke("cp", "-r", "memory://b/x", "memory://c", *memory).exit_code == 0
    assert invoke("cp", "memory://c/sub/b.txt", "memory://c/copy.txt", *memory).exit_code == 0

    listing = invoke("ls", "-r", "memory://c", *memory)
    assert listing.stdout.split() == ["config.json", "copy.txt", "sub/a.bin", "sub/b.txt", "z"]


@pytest.mark.parametrize("direction", ["up", "down", "inside", "between"])
def test_no_overwrite(source: Path, tmp_path: Path, direction: str) -> None:
    """
    What is there already is skipped, and stays as it is.
    """
    stores = {name: make(tmp_path / name, {"z": b"old"}) for name in ("up", "down", "between")}
    make(source, {"inside/z": b"old"})
    target = {
        "up": stores["up"].as_uri(),
        "down": str(stores["down"]),
        "inside": f"{source.as_uri()}/inside",
        "between": stores["between"].as_uri(),
    }[direction]
    origin = source / "z" if direction == "up" else f"{source.as_uri()}/z"

    result = invoke("cp", "--no-overwrite", origin, f"{target}/z", "--json")

    assert result.exit_code == 0, result.output
    assert [record["status"] for record in records(result.stdout)[:-1]] == ["skipped"]
    assert (source / "inside/z" if direction == "inside" else stores[direction] / "z").read_bytes() == b"old"


def test_filters(source: Path, store: Path) -> None:
    """
    Patterns are held against names and whole relative paths.
    """
    invoke("cp", "-r", source, store.as_uri(), "--include", "*.txt", "--include", "sub/*", "--exclude", "a.*")

    assert set(tree(store)) == {"sub/b.txt"}


def test_dry_run(source: Path, store: Path) -> None:
    """
    It says what it would do, and does nothing.
    """
    result = invoke("cp", "-r", "--dry-run", source, store.as_uri(), "--json")

    planned = [record["target"] for record in records(result.stdout)[:-1]]
    assert planned == [f"{store.as_uri()}/{key}" for key in sorted(FILES)]
    assert tree(store) == {}


def test_items_and_summary_as_json(source: Path, store: Path) -> None:
    """
    One object for each item, and a sum at the end.
    """
    *items, summary = records(invoke("cp", "-r", source, store.as_uri(), "--json").stdout)

    assert {(item["type"], item["status"], item["error"]) for item in items} == {("item", "done", None)}
    assert {(item["source"], item["target"], item["bytes"]) for item in items} == {
        (str(source / key), f"{store.as_uri()}/{key}", len(data)) for key, data in FILES.items()
    }
    assert (summary["type"], summary["done"], summary["failed"], summary["bytes"]) == ("summary", 4, 0, 5003)


@pytest.fixture
def hostile(tmp_path: Path) -> list[str]:
    """
    A bucket with keys that mean to leave the target, and one good one.
    """
    name = f"hostile-{tmp_path.name}"
    keys = ["/abs", "../up", "a/../../up", "C:/x", "a//b", "a\0b", "link/x", "file", "file/x", "good"]
    make(tmp_path / "source", {"x": b"evil"})
    memory = ["--set", f"shared={name}"]
    for key in keys:
        assert invoke("cp", tmp_path / "source/x", f"memory://b/p/{key}", *memory).exit_code == 0
    return memory


def test_hostile_keys_stay_below_the_target(tmp_path: Path, hostile: list[str]) -> None:
    """
    Each is a failure of its own, the others arrive, and nothing is written elsewhere.
    """
    target, elsewhere = tmp_path / "deep/target", tmp_path / "elsewhere"
    target.mkdir(parents=True)
    elsewhere.mkdir()
    (target / "link").symlink_to(elsewhere)

    result = invoke("cp", "-r", "memory://b/p", target, *hostile, "--json")

    *items, summary = records(result.stdout)
    failed = {item["source"].removeprefix("memory://b/p/"): item for item in items if item["status"] == "failed"}
    assert result.exit_code == 1
    assert set(failed) == {"/abs", "../up", "a/../../up", "C:/x", "a//b", "a\0b", "link/x", "file/x"}
    assert all(item["error"]["kind"] in ("InvalidRequestError", "PermissionDeniedError") for item in failed.values())
    assert summary["failed"] == 8
    assert tree(target) == {"file": b"evil", "good": b"evil"}
    assert set(tree(tmp_path)) == {"deep/target/file", "deep/target/good", "source/x"}


def test_folder_markers_are_no_files(tmp_path: Path) -> None:
    """
    The empty objects that consoles make for folders are passed over.
    """
    memory = ["--set", f"shared={tmp_path.name}"]

    async def put(*keys: str) -> None:
        async with open_storage("memory://b", shared=tmp_path.name) as storage:
            for key in keys:
                await storage.put(storage.root / key, b"")

    asyncio.run(put("p/", "p/sub/", "p/x"))

    result = invoke("cp", "-r", "memory://b/p", tmp_path / "out", *memory)

    assert result.exit_code == 0
    assert set(tree(tmp_path / "out")) == {"x"}


def test_names_that_are_no_utf8(source: Path, store: Path) -> None:
    """
    A file that makes no key is a failure, and the others go on.
    """
    Path(os.fsdecode(os.fsencode(source) + b"/\xff")).touch()

    result = run("cp", "-r", source, store.as_uri(), "--json")

    assert result.returncode == 1
    assert tree(store) == FILES
    assert [item["status"] for item in records(result.stdout)[:-1]].count("failed") == 1


def test_keys_that_are_too_long(source: Path, store: Path) -> None:
    """
    The provider's limit is the failure of one item, not of all.
    """
    folder = source / "/".join(["d" * 200] * 5)
    folder.mkdir(parents=True)
    (folder / ("x" * 100)).touch()

    result = invoke("cp", "-r", source, f"{store.as_uri()}/sub", "--json")

    assert result.exit_code == 1
    assert [item["error"]["kind"] for item in records(result.stdout)[:-1] if item["error"]] == ["InvalidRequestError"]
    assert len(tree(store)) == len(FILES)


def test_links_out_and_pipes_are_left_out(source: Path, store: Path) -> None:
    """
    They are told, and are no failure.
    """
    (source / "out").symlink_to("/etc/passwd")
    os.mkfifo(source / "pipe")

    result = invoke("cp", "-r", source, store.as_uri())

    assert result.exit_code == 0
    assert tree(store) == FILES
    assert result.stderr.count("left out: ") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["a", "b"],
        ["-r", "{source}", "{store}/a", "--part-size", "big"],
        ["{source}", "{store}/a"],
        ["{store}", "copy"],
        ["{source}/z", "{source}/sub/../z", "{store}"],
        ["-", "-"],
        ["x://", "copy"],
        ["nowhere://b/k", "copy"],
        ["-r", "{tree}", "{tree}/below"],
        ["-r", "{source}", "{tree}/below"],
    ],
    ids=str,
)
def test_usage(source: Path, store: Path, arguments: list[str]) -> None:
    """
    What makes no sense is refused before anything is done, in one line.
    """
    places = {"source": source, "store": store.as_uri(), "tree": source.as_uri()}

    result = invoke("cp", *(argument.format(**places) for argument in arguments))

    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1
    assert tree(source) == FILES


def test_standard_input_and_output(store: Path) -> None:
    """
    A dash is the other end of a pipe.
    """
    data = os.urandom(3_000_000)

    put = run("cp", "-", f"{store.as_uri()}/x", "--quiet", stdin=data)
    got = run("cp", f"{store.as_uri()}/x", "-")

    assert (put.returncode, put.stdout, put.stderr) == (0, b"", b"")
    assert (got.returncode, got.stdout) == (0, data)


def test_options_reach_the_engine(tmp_path: Path, store: Path) -> None:
    """
    A small part size makes parts, whose count is in the object's tag.
    """
    make(tmp_path, {"big": b"x" * 3_000_000})

    result = invoke(
        *("cp", tmp_path / "big", f"{store.as_uri()}/big", "--part-size", "1MB", "--concurrency", 2, "--no-sync")
    )

    assert result.exit_code == 0, result.output
    assert (store / "big").stat().st_size == 3_000_000

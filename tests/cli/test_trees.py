"""
Options of trees on the command line: names, links, empty directories, modification times.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from asyncstore.errors import IntegrityError, PermissionDeniedError
from asyncstore.storage import Storage
from asyncstore.types import Metadata
from asyncstore.uri import ObjectURI
from tests.cli.shell import invoke, make, records, tree

FILES = {"a/1": b"one", "a/2.log": b"log", ".hidden/x": b"x", "b": b"two"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source", FILES)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.mark.parametrize("command", [["cp", "-r"], ["sync"]])
def test_names(source: Path, store: Path, tmp_path: Path, command: list[str]) -> None:
    """
    Globs from files and hidden names, also for deletions.
    """
    (tmp_path / "out").write_text("# logs\n*.log\n")
    (tmp_path / "in").write_text("a/*\nb\n")
    options = ["--exclude-from", tmp_path / "out", "--include-from", tmp_path / "in", "--no-hidden"]

    done = invoke(*command, *options, source, f"file://{store}/")
    assert done.exit_code == 0, done.stderr
    assert tree(store) == {"a/1": b"one", "b": b"two"}

    invoke("cp", "-r", source, f"file://{store}/")
    assert invoke("rm", "-r", "--yes", *options, f"file://{store}/").exit_code == 0
    assert tree(store) == {"a/2.log": b"log", ".hidden/x": b"x"}


@pytest.mark.parametrize("arguments", [["cp", "{source}/b", "{store}"], ["rm", "{store}b"]])
def test_names_without_a_tree(source: Path, store: Path, arguments: list[str]) -> None:
    """
    Names can be selected in trees only; the option is not ignored.
    """
    places = {"source": source, "store": f"file://{store}/"}
    done = invoke(*(argument.format(**places) for argument in arguments), "--include", "x")

    assert done.exit_code == 2
    assert "use -r" in done.stderr


@pytest.mark.parametrize("command", [["cp", "-r"], ["sync"]])
def test_links(source: Path, store: Path, tmp_path: Path, command: list[str]) -> None:
    (source / "out").symlink_to(make(tmp_path / "elsewhere", {"file": b"far"}))

    left = invoke(*command, source, f"file://{store}/")
    refused = invoke(*command, "--symlinks", "error", source, f"file://{store}/")
    followed = invoke(*command, "--symlinks", "follow", source, f"file://{store}/")

    assert (left.exit_code, refused.exit_code, followed.exit_code) == (0, 1, 0)
    assert "1 left out" in left.stderr or "left out" in left.stderr
    assert "a symbolic link" in refused.stderr
    assert tree(store)["out/file"] == b"far"


def test_empty_folders_and_times(source: Path, store: Path, tmp_path: Path) -> None:
    """
    There and back, both are as before; a sync finds nothing to do.
    """
    (source / "empty/within").mkdir(parents=True)
    os.utime(source / "b", ns=(10**18 + 1, 10**18 + 1))
    options = ["--empty-folders", "--mtime"]

    assert invoke("cp", "-r", *options, source, f"file://{store}/").exit_code == 0
    assert invoke("cp", "-r", *options, f"file://{store}/", tmp_path / "copy").exit_code == 0
    again = invoke("sync", "--delete", *options, f"file://{store}/", tmp_path / "copy")

    assert (tmp_path / "copy/empty/within").is_dir()
    assert (tmp_path / "copy/b").stat().st_mtime_ns == 10**18 + 1
    assert again.exit_code == 0
    assert "sync: 0 done" in again.stderr
    assert invoke("cp", "--mtime", f"file://{store}/b", tmp_path / "single").exit_code == 0
    assert (tmp_path / "single").stat().st_mtime_ns == 10**18 + 1


@pytest.mark.parametrize("command", [["cp", "-r"], ["sync"]])
def test_failures_are_the_list_of_a_second_run(source: Path, store: Path, tmp_path: Path, command: list[str]) -> None:
    """
    The report has what failed, and a run with it does only that; it is empty then.
    """
    report = tmp_path / "failures"
    upload = [*command, source, f"file://{store}/"]
    odd = Path(os.fsdecode(os.fsencode(source) + b"/\xff"))
    odd.touch()

    first = invoke(*command, "--failures", report, source, f"file://{store}/")
    assert first.exit_code == 1
    failed = records(report.read_text())
    assert [item["status"] for item in failed] == ["failed"]
    odd.rename(source / "fine")
    report.write_text(report.read_text().replace(json.dumps(failed[0]["source"]), json.dumps(str(source / "fine"))))

    second = invoke(*upload, "--from-file", report, "--failures", report, "--json")

    assert second.exit_code == 0, second.stderr
    assert [item["source"] for item in records(second.stdout) if item["type"] == "item"] == [str(source / "fine")]
    assert report.read_text() == ""
    third = invoke(*upload, "--from-file", report)
    assert third.exit_code == 0
    assert "0 done" in third.stderr


def test_names_from_a_file(source: Path, store: Path, tmp_path: Path) -> None:
    """
    One name a line, from a file or standard input, for cp, sync, check and rm.
    """
    names = tmp_path / "names"
    names.write_text("a/1\n\nb\r\n")
    uri = f"file://{store}/"

    assert invoke("cp", "-r", "--from-file", "-", source, uri, stdin="a/1\nb\n").exit_code == 0
    assert tree(store) == {"a/1": b"one", "b": b"two"}
    assert invoke("check", "--from-file", names, source, uri).exit_code == 0
    assert invoke("check", source, uri).exit_code == 1
    assert invoke("cp", "-r", "--from-file", names, uri, tmp_path / "copy").exit_code == 0
    assert tree(tmp_path / "copy") == {"a/1": b"one", "b": b"two"}
    assert invoke("rm", "-r", "--yes", "--from-file", "-", uri, stdin="a/1\n").exit_code == 0
    assert tree(store) == {"b": b"two"}


@pytest.mark.parametrize("command", [["cp", "-r"], ["sync"], ["sync", "--delete"], ["check"]])
@pytest.mark.parametrize("up", [True, False])
def test_names_that_do_not_exist(source: Path, store: Path, tmp_path: Path, command: list[str], up: bool) -> None:
    """
    They fail, safe or not, and the others are done; nothing is deleted.
    """
    uri = f"file://{store}/"
    invoke("cp", "-r", source, uri)
    target = make(tmp_path / "target", {"other": b""})
    trees = (source, f"file://{target}/") if up else (uri, target)

    done = invoke(*command, "--from-file", "-", *trees, stdin="a/1\ngone\n../b\n")

    assert done.exit_code == 1
    assert "gone" in done.stderr
    assert "../b" in done.stderr
    assert tree(target) == ({"other": b""} if command == ["check"] else {"a/1": b"one", "other": b""})


def test_byte_order_marks(source: Path, store: Path, tmp_path: Path) -> None:
    """
    Some editors begin files with one; it is no part of the first name or glob.
    """
    (tmp_path / "names").write_text("\ufeffa/1\nb\n", "utf-8")
    (tmp_path / "globs").write_text("\ufeff# one\nb\n", "utf-8")
    (tmp_path / "more").write_text("\ufeff*.log\n", "utf-8")
    globs = ["--exclude-from", tmp_path / "globs", "--exclude-from", tmp_path / "more"]

    assert invoke("cp", "-r", *globs, "--from-file", tmp_path / "names", source, f"file://{store}/").exit_code == 0
    assert tree(store) == {"a/1": b"one"}
    assert invoke("cp", "-r", *globs, source, f"file://{tmp_path}/other/").exit_code == 0
    assert sorted(tree(tmp_path / "other")) == [".hidden/x", "a/1"]


@pytest.mark.parametrize("command", [["cp", "-r"], ["sync"]])
def test_names_of_find(source: Path, store: Path, tmp_path: Path, command: list[str]) -> None:
    uri = f"file://{store}/"

    assert invoke(*command, "--from-file", "-", source, uri, stdin="./a/1\n././b\n").exit_code == 0
    assert tree(store) == {"a/1": b"one", "b": b"two"}
    assert invoke(*command, "--from-file", "-", uri, tmp_path / "copy", stdin="./b\n").exit_code == 0
    assert tree(tmp_path / "copy") == {"b": b"two"}
    assert invoke("rm", "-r", "--yes", "--from-file", "-", uri, stdin="./a/1\n").exit_code == 0
    assert tree(store) == {"b": b"two"}


@pytest.mark.parametrize("command", [["cp", "-r"], ["sync"], ["sync", "--delete"]])
def test_directory_that_failed_is_taken_up_whole(source: Path, store: Path, tmp_path: Path, command: list[str]) -> None:
    """
    A directory that could not be read is one record, and has files once it can be.
    """
    make(source, {"a/deep/2": b"two", "a-b": b"no"})
    failure = {"type": "item", "status": "failed", "source": str(source / "a"), "target": None}
    (tmp_path / "failed").write_text(json.dumps(failure))

    done = invoke(*command, "--from-file", tmp_path / "failed", source, f"file://{store}/")

    assert done.exit_code == 0, done.stderr
    assert tree(store) == {"a/1": b"one", "a/2.log": b"log", "a/deep/2": b"two"}
    assert "a is a directory" in invoke(*command, "--from-file", "-", source, f"file://{store}/", stdin="a\n").stderr
    (source / "c").mkdir()
    assert invoke(*command, "--from-file", "-", source, f"file://{store}/", stdin="c/\n").exit_code == 0


def test_any_failed_look_is_of_its_name_only(source: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A name that may not be looked at fails, and the rehearsal goes on with the next one.
    """
    uri = f"file://{store}/"
    invoke("cp", "-r", source, uri)
    look = Storage.stat

    async def stat(storage: Storage, key: ObjectURI) -> Metadata:
        if key.key.endswith("a/1"):
            raise PermissionDeniedError("for this test")
        return await look(storage, key)

    monkeypatch.setattr(Storage, "stat", stat)
    done = invoke("rm", "-r", "--dry-run", "--json", "--from-file", "-", uri, stdin="a/1\nb\n")

    items = [item["status"] for item in records(done.stdout) if item["type"] == "item"]
    assert sorted(items) == ["failed", "planned"]


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_names_to_delete_that_do_not_exist(source: Path, store: Path, dry_run: list[str]) -> None:
    """
    They fail as with a plain rm, also in a dry run; --force ignores them.
    """
    uri = f"file://{store}/"
    invoke("cp", "-r", source, uri)
    plain = invoke("rm", f"{uri}gone")
    remove = ["rm", "-r", "--yes", *dry_run, "--from-file", "-", uri]

    alone = invoke(*remove, stdin="gone\n")
    some = invoke(*remove, "--json", stdin="gone\nb\n")
    forced = invoke(*remove, "--force", stdin="gone\na/1\n")

    assert (alone.exit_code, some.exit_code, forced.exit_code) == (
        plain.exit_code,
        plain.exit_code if dry_run else 1,
        0,
    )
    assert records(some.stdout)[-1]["failed"] == 1
    assert ("b" in tree(store), "a/1" in tree(store)) == (bool(dry_run), bool(dry_run))


@pytest.mark.parametrize("option", ["--no-overwrite", "--update"])
@pytest.mark.parametrize("way", ["up", "down", "across"])
def test_dry_run_skips_what_the_run_skips(source: Path, store: Path, tmp_path: Path, option: str, way: str) -> None:
    uri = f"file://{store}/"
    (source / "empty").mkdir()
    invoke("cp", "-r", "--empty-folders", source, uri)
    trees = {
        "up": (source, uri),
        "down": (uri, tmp_path / "copy"),
        "across": (uri, f"file://{tmp_path}/other/"),
    }[way]
    invoke("cp", "-r", *trees)
    make(source, {"new": b"new"})
    make(store, {"new": b"new"} if way != "up" else {})
    if option == "--update":
        for path in [*source.rglob("*"), *store.rglob("*")] if way != "up" else source.rglob("*"):
            os.utime(path, (1, 1))

    planned = invoke("cp", "-r", option, "--dry-run", "--json", *trees)
    done = invoke("cp", "-r", option, "--json", *trees)

    sources = [
        sorted(item["source"] for item in records(run.stdout) if item["type"] == "item" and item["status"] == status)
        for run, status in ((planned, "planned"), (done, "done"))
    ]
    assert sources[0] == sources[1] == [str(source / "new") if way == "up" else f"{uri}new"]


def test_dry_run_is_a_list_too(source: Path, store: Path, tmp_path: Path) -> None:
    """
    The records of a dry run, perhaps without some lines, are what the next run does.
    """
    planned = invoke("sync", "--dry-run", "--json", source, f"file://{store}/").stdout
    (tmp_path / "names").write_text("".join(f"{line}\n" for line in planned.splitlines() if "a/" in line))

    assert invoke("sync", "--from-file", tmp_path / "names", source, f"file://{store}/").exit_code == 0
    assert tree(store) == {"a/1": b"one", "a/2.log": b"log"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from-file", "{tmp}/nothing"], "--from-file: cannot read"),
        (["--from-file", "{tmp}/binary"], "is not UTF-8"),
        (["--from-file", "{tmp}/foreign"], "line 1 of .*foreign is of '/elsewhere/x', which is not below"),
        (["--failures", "{tmp}/nothing/report"], "--failures: cannot write"),
        (["--failures", "{tmp}"], "--failures: cannot write"),
    ],
)
def test_lists_that_are_wrong(source: Path, store: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    """
    Before anything is sent.
    """
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "foreign").write_text('{"type": "item", "status": "failed", "source": "/elsewhere/x"}\n')
    for command in (["cp", "-r"], ["sync"]):
        given = [argument.format(tmp=tmp_path) for argument in arguments]
        done = invoke(*command, *given, source, f"file://{store}/")

        assert done.exit_code == 2
        assert re.search(message, done.stderr)
    assert not store.exists()


def test_names_of_several_sources(source: Path, store: Path, tmp_path: Path) -> None:
    done = invoke("cp", "-r", "--from-file", "-", source, tmp_path, f"file://{store}/", stdin="b\n")

    assert done.exit_code == 2
    assert "below one SOURCE" in done.stderr


@pytest.mark.parametrize("command", [["cp", "-r"], ["sync"]])
def test_verification(source: Path, store: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """
    A copy that differs is a failure, with exit code 1.
    """
    assert invoke(*command, "--verify", source, f"file://{store}/").exit_code == 0

    async def wrong(*_: object) -> None:
        raise IntegrityError("the copy differs from its source")

    monkeypatch.setattr("asyncstore.storage.tree_work.check_same", wrong)
    (source / "b").write_bytes(b"other bytes")
    done = invoke(*command, "--verify", source, f"file://{store}/")

    assert done.exit_code == 1
    assert "the copy differs from its source" in done.stderr
    assert invoke("cp", "--verify", "-", f"file://{store}/x", stdin="x").exit_code == 2


def test_update(source: Path, store: Path) -> None:
    """
    What is newer at the target is skipped, also with a list of names, whose times are asked for.
    """
    uri = f"file://{store}/"
    os.utime(source / "b", (1, 1))
    assert invoke("cp", "-r", "-u", source, uri).exit_code == 0

    again = invoke("cp", "-r", "--update", source, uri)
    assert "cp: 0 done, 4 skipped" in again.stderr
    (source / "b").write_bytes(b"new")
    os.utime(source / "b", (4_000_000_000, 4_000_000_000))
    assert "1 done" in invoke("cp", "-u", source / "b", f"{uri}b").stderr
    assert tree(store)["b"] == b"new"
    down = invoke("cp", "-r", "-u", "--from-file", "-", uri, source, stdin="b\n")
    assert "0 done, 1 skipped" in down.stderr


def test_layout(source: Path, store: Path, tmp_path: Path) -> None:
    """
    ``--layout`` chooses the names below the target, in a rehearsal too.
    """
    assert invoke("cp", "-r", "--layout", "flat", "--no-hidden", source, f"file://{store}/m").exit_code == 0
    assert tree(store) == {"m/1": b"one", "m/2.log": b"log", "m/b": b"two"}

    overlapping = ["cp", "-r", "--layout", "overlap", f"file://{store}/m", tmp_path / store.name / "m"]
    assert invoke(*overlapping, "--dry-run").exit_code == 2
    done = invoke("cp", "-r", "--layout", "flat", f"file://{store}/", tmp_path / "flat")
    assert done.exit_code == 0, done.stderr
    assert tree(tmp_path / "flat") == {"1": b"one", "2.log": b"log", "b": b"two"}

    for options, hint in ([], "use -r"), (["-r", "--empty-folders"], "leave --empty-folders out"):
        done = invoke("cp", "--layout", "flat", *options, source, f"file://{store}/n")
        assert (done.exit_code, hint in done.stderr) == (2, True)

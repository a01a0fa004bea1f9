"""
``asyncstore mv``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import invoke, make, records, tree

FILES = {"config.json": b"{}", "sub/a.bin": b"a" * 5000, "sub/b.txt": b"b", "z": b""}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source", FILES)


def test_trees_there_and_back(source: Path, tmp_path: Path) -> None:
    """
    With -r everything is moved, and no directory is left behind.
    """
    memory = [f"--set=shared={tmp_path.name}"]
    (source / "empty").mkdir()

    up = invoke("mv", "-r", source, "memory://b/x", *memory)
    inside = invoke("mv", "-r", "memory://b/x", "memory://b/y", *memory)
    down = invoke("mv", "-r", "memory://b/y", tmp_path / "back", *memory, "--json")

    assert [up.exit_code, inside.exit_code, down.exit_code] == [0, 0, 0], up.output + inside.output + down.output
    assert "mv: 4 done" in up.stderr
    assert records(down.stdout)[-1]["command"] == "mv"
    assert not source.exists()
    assert invoke("ls", "-r", "memory://b", *memory).stdout == ""
    assert tree(tmp_path / "back") == FILES


def test_one_file_and_one_object(source: Path, tmp_path: Path) -> None:
    """
    Names are chosen as by cp, and the directory of a file stays.
    """
    store = tmp_path / "store"
    store.mkdir()

    assert invoke("mv", source / "sub/a.bin", source / "sub/b.txt", f"{store.as_uri()}/").exit_code == 0
    assert invoke("mv", f"{store.as_uri()}/b.txt", f"{store.as_uri()}/c.txt").exit_code == 0
    assert invoke("mv", f"{store.as_uri()}/a.bin", source / "new.bin").exit_code == 0

    assert tree(store) == {"c.txt": b"b"}
    assert tree(source) == {"config.json": b"{}", "new.bin": FILES["sub/a.bin"], "z": b""}
    assert (source / "sub").is_dir()


def test_dry_run(source: Path, tmp_path: Path) -> None:
    """
    Nothing is moved, and the plan says that it would be.
    """
    result = invoke("mv", "-r", "--dry-run", source, (tmp_path / "store").as_uri())

    assert result.exit_code == 0
    assert result.stdout.count("would move ") == len(FILES)
    assert tree(source) == FILES
    assert not (tmp_path / "store").exists()


def test_no_overwrite(source: Path, tmp_path: Path) -> None:
    """
    What exists at the target stays there, and its source too.
    """
    store = make(tmp_path / "store", {"z": b"old"})

    result = invoke("mv", "-r", "--no-overwrite", source, store.as_uri(), "--json")

    assert result.exit_code == 0, result.output
    assert (records(result.stdout)[-1]["done"], records(result.stdout)[-1]["skipped"]) == (3, 1)
    assert tree(source) == {"z": b""}
    assert tree(store) == {**FILES, "z": b"old"}


def test_selected_names(source: Path, tmp_path: Path) -> None:
    """
    What is not selected stays, and so do all directories.
    """
    (source / "empty").mkdir()

    result = invoke("mv", "-r", "--include", "sub/*", source, (tmp_path / "store").as_uri())

    assert result.exit_code == 0
    assert set(tree(source)) == {"config.json", "z"}
    assert (source / "sub").is_dir()
    assert (source / "empty").is_dir()


def test_failure_keeps_its_source(source: Path, tmp_path: Path) -> None:
    """
    The others are moved, the exit code is 1, and no directory is removed.
    """
    target = make(tmp_path / "target", {"sub": b"in the way"})

    result = invoke("mv", "-r", source.as_uri(), target)

    assert result.exit_code == 1
    assert "mv: 2 done, 2 failed" in result.stderr
    assert set(tree(source)) == {"sub/a.bin", "sub/b.txt"}


def test_links_stay(source: Path, tmp_path: Path) -> None:
    """
    Links are left out, with their directories.
    """
    (source / "sub/link").symlink_to(source / "z")

    result = invoke("mv", "-r", source, (tmp_path / "store").as_uri())

    assert result.exit_code == 0
    assert "left out" in result.stderr
    assert tree(tmp_path / "store") == FILES
    assert [path.relative_to(source).as_posix() for path in source.rglob("*")] == ["sub", "sub/link"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-", "memory://b/x"], 2, "use cp for standard input and output"),
        (["memory://b/x", "-"], 2, "use cp for standard input and output"),
        (["-r", "--symlinks", "follow", "{source}", "memory://b"], 2, "--symlinks takes skip or error"),
        (["{source}", "memory://b/x"], 2, "use -r"),
        (["-r", "{source}", "{uri}/sub"], 2, "is inside"),
        (["-r", "{uri}/sub", "{uri}"], 2, "is inside"),
        (["-r", "{uri}/sub/", "{uri}/sub/"], 2, "are the same"),
        (["-r", "{uri}/sub", "{uri}/other", "{uri}"], 2, "are the same"),
        (["{uri}/z", "{uri}/"], 1, "source and target are the same"),
        (["{source}/z", "{uri}/"], 1, "source and target are the same"),
        (["{uri}/z", "{source}"], 1, "source and target are the same"),
        (["memory://b/x/1", "memory://b/x/"], 1, "source and target are the same"),
    ],
)
def test_refused(source: Path, arguments: list[str], code: int, message: str) -> None:
    """
    What would lose something is refused, and nothing is touched.
    """
    given = [text.format(source=source, uri=source.as_uri()) for text in arguments]

    result = invoke("mv", *given)

    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert tree(source) == FILES

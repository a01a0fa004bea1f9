"""
``asyncstore sync`` and ``asyncstore check``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import invoke, make, records, tree
from tests.cli.test_s3 import environment
from tests.servers.s3 import S3Server, fresh_bucket

FILES = {"index": b"{}", "a/shard-1": b"0123456789", "a.txt": b"dot", "a-b": b"dash"}


def test_pull_again(tmp_path: Path) -> None:
    """
    A file that was cut short is mended, and nothing else moves.
    """
    store, node = make(tmp_path / "store", FILES), tmp_path / "node"
    first = invoke("sync", f"file://{store}/", node)
    (node / "a/shard-1").write_bytes(b"012")
    checked = invoke("check", f"file://{store}/", node)
    second = invoke("sync", "--json", f"file://{store}/", node)
    third = invoke("check", f"file://{store}/", node)

    assert (first.exit_code, checked.exit_code, second.exit_code, third.exit_code) == (0, 1, 0, 0)
    assert "sync: 4 done" in first.stderr
    assert checked.stdout == "size        a/shard-1\n"
    assert [record["status"] for record in records(second.stdout) if record["type"] == "item"] == ["done"]
    assert tree(node) == FILES


def test_deletions(tmp_path: Path) -> None:
    """
    Nothing is deleted without ``--delete``, in a dry run, or beyond ``--max-delete``.
    """
    store, node = make(tmp_path / "store", FILES), make(tmp_path / "node", {**FILES, "b/old": b"", "c": b""})
    uri = f"file://{store}/"

    assert invoke("sync", uri, node).exit_code == 0
    rehearsed = invoke("sync", "--delete", "--dry-run", uri, node)
    refused_rehearsal = invoke("sync", "--delete", "--max-delete", "1", "--dry-run", uri, node)
    refused = invoke("sync", "--delete", "--max-delete", "1", uri, node)
    assert tree(node) == {**FILES, "b/old": b"", "c": b""}
    done = invoke("sync", "--delete", "--max-delete", "2", uri, node)

    assert f"would delete {node}/b/old" in rehearsed.stdout
    for run in (refused_rehearsal, refused):
        assert run.exit_code == 2
        assert "2 items would be deleted, and max_delete is 1" in run.stderr
        assert "would delete" not in run.stdout
    assert done.exit_code == 0
    assert tree(node) == FILES


def test_dry_run_with_a_failure(tmp_path: Path) -> None:
    """
    Nothing would be deleted, as nothing is; what is left out protects its name.
    """
    source, store = make(tmp_path / "source", FILES), tmp_path / "store"
    (source / "link").symlink_to(make(tmp_path / "elsewhere", {"x": b"x"}))
    uri = f"file://{store}/"
    invoke("sync", "--symlinks", "follow", source, uri)
    (source / "index").unlink()
    (source / "new").write_bytes(b"new")

    failed = invoke("sync", "--delete", "--dry-run", "--symlinks", "error", source, uri)
    left_out = invoke("sync", "--delete", "--dry-run", source, uri)

    assert (failed.exit_code, left_out.exit_code) == (1, 0)
    assert failed.stdout == f"would copy {source}/new to {uri}new\n"
    assert left_out.stdout == f"{failed.stdout}would delete {uri}index\n"


def test_usage(tmp_path: Path) -> None:
    both = invoke("sync", "--checksum", "--size-only", tmp_path, "memory://b")
    local = invoke("sync", tmp_path, tmp_path)

    assert (both.exit_code, local.exit_code) == (2, 2)
    assert "--checksum or --size-only, not both" in both.stderr
    assert "both local" in local.stderr


@pytest.mark.parametrize("command", [["sync", "--delete"], ["sync", "--dry-run"], ["cp", "-r"]])
def test_target_inside_the_source(tmp_path: Path, command: list[str]) -> None:
    """
    It is refused, also by another path to the same directory.
    """
    source = make(tmp_path / "source", FILES)
    (tmp_path / "link").symlink_to(source)
    for target in (f"file://{source}/backup", f"file://{tmp_path}/link/backup"):
        done = invoke(*command, source, target)
        assert done.exit_code == 2, done.stderr
        assert "is inside" in done.stderr
    assert tree(source) == FILES


def test_copy_down_into_the_source(tmp_path: Path) -> None:
    """
    A copy from a ``file://`` storage into one of its own directories is refused, too.
    """
    source = make(tmp_path / "source", FILES)

    done = invoke("cp", "-r", source.as_uri(), source / "backup")

    assert (done.exit_code, tree(source)) == (2, FILES)
    assert "is inside" in done.stderr


@pytest.mark.parametrize("there", [{"sub": b"mine"}, {"z/1": b"", "z/2": b""}])
def test_files_and_directories_in_the_way(tmp_path: Path, there: dict[str, bytes]) -> None:
    """
    They are named, or deleted with --delete; a dry run says what the run then does.
    """
    source, target = make(tmp_path / "source", {**FILES, "sub/1": b"", "sub/2": b"", "z": b""}), tmp_path / "target"
    make(target, there)
    command = ["sync", source.as_uri(), target]

    refused = invoke(*command)
    planned = invoke(*command, "--delete", "--dry-run", "--json")
    assert refused.exit_code == 1
    assert "let the sync delete" in refused.stderr
    done = invoke(*command, "--delete", "--json")

    assert done.exit_code == 0, done.output
    assert tree(target) == tree(source)
    items = [
        {(record["source"], record["target"]) for record in records(text) if record["type"] == "item"}
        for text in (planned.stdout, done.stdout)
    ]
    assert {item for item in items[0] if item[1]} == {item for item in items[1] if item[1]}
    assert len(items[0]) == len(items[1])


def test_server_that_lists_directories_first(seaweed: S3Server, tmp_path: Path) -> None:
    """
    A real S3 server whose listing is not in the order of keys: nothing is sent twice, or taken for extraneous.
    """
    source, env = make(tmp_path / "source", FILES), environment(seaweed)
    uri = f"s3://{fresh_bucket(seaweed)}/tree"

    first = invoke("sync", source, uri, env=env)
    again = invoke("sync", "--delete", "--json", source, uri, env=env)
    down = invoke("sync", uri, tmp_path / "copy", env=env)
    checked = invoke("check", "--checksum", uri, tmp_path / "copy", env=env)

    assert [first.exit_code, again.exit_code, down.exit_code, checked.exit_code] == [0, 0, 0, 0], first.stderr
    assert [record for record in records(again.stdout) if record["type"] == "item"] == []
    assert tree(tmp_path / "copy") == FILES


@pytest.mark.parametrize("slash", ["", "/"])
def test_directory_below_the_root_of_a_storage_of_files(tmp_path: Path, slash: str) -> None:
    """
    The tree is the directory that is named, not the storage that it is in.
    """
    mine = make(tmp_path / "mine", {"a": b"1"})
    others = {"precious": b"p", "keep/k": b"k"}
    storage, uri = tmp_path / "storage", f"file://{tmp_path}/storage"
    invoke("cp", "-r", make(tmp_path / "others", others), uri)
    assert (storage / ".asyncstore").is_dir()

    for _ in range(2):
        done = invoke("sync", "--delete", mine, f"{uri}/backup{slash}")
        assert done.exit_code == 0, done.stderr
        assert tree(storage) == {**others, "backup/a": b"1"}
        assert invoke("check", mine, f"{uri}/backup{slash}").exit_code == 0

    assert invoke("sync", f"{uri}/keep{slash}", tmp_path / "copy").exit_code == 0
    assert tree(tmp_path / "copy") == {"k": b"k"}
    assert invoke("sync", f"{uri}/keep{slash}", f"{uri}/backup{slash}").exit_code == 0
    assert tree(storage) == {**others, "backup/a": b"1", "backup/k": b"k"}

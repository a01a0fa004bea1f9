"""
``ls``, ``cat``, ``stat``, ``rm``, ``presign`` and ``doctor``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncstore import __version__
from tests.cli.shell import invoke, make, records, run, tree

FILES = {"a.txt": b"0123456789", "logs/1": b"x" * 2048, "logs/2": b"", "logs-old/1": b"y"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "store", FILES)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["{store}"], ["a.txt", "logs-old/", "logs/"]),
        (["{store}/"], ["a.txt", "logs-old/", "logs/"]),
        (["{store}/lo"], ["logs-old/", "logs/"]),
        (["{store}/logs/"], ["1", "2"]),
        (["-r", "{store}"], ["a.txt", "logs-old/1", "logs/1", "logs/2"]),
    ],
    ids=str,
)
def test_ls(store: Path, arguments: list[str], lines: list[str]) -> None:
    """
    One level or all levels, under prefixes that are plain text.
    """
    result = invoke("ls", *(argument.format(store=store.as_uri()) for argument in arguments))

    assert result.exit_code == 0
    assert result.stdout.splitlines() == lines


def test_long_listing_and_sum(store: Path) -> None:
    """
    Sizes are readable, and the summary goes to stderr.
    """
    result = invoke("ls", "-l", "-r", store.as_uri())

    assert "2.0 KiB" in result.stdout.splitlines()[2]
    assert result.stderr == "4 objects, 2.0 KiB\n"


def test_listing_as_json(store: Path) -> None:
    """
    Records of objects, prefixes, and a summary.
    """
    *entries, summary = records(invoke("ls", store.as_uri(), "--json").stdout)

    assert [entry["type"] for entry in entries] == ["object", "prefix", "prefix"]
    assert set(entries[0]) == {"type", "uri", "key", "size", "etag", "last_modified", "storage_class", "version_id"}
    assert entries[0]["uri"] == f"{store.as_uri()}/a.txt"
    assert summary == {"type": "summary", "command": "ls", "objects": 1, "prefixes": 2, "bytes": 10}


def test_nothing_under_a_prefix(store: Path) -> None:
    """
    An empty listing under a prefix has its own exit code.
    """
    assert invoke("ls", f"{store.as_uri()}/nothing").exit_code == 3


def test_keys_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """
    Control characters are escaped.
    """
    make(tmp_path / "store", {"a\x1b[31mred\nline": b""})

    assert invoke("ls", (tmp_path / "store").as_uri()).stdout == "a\\x1b[31mred\\nline\n"


@pytest.mark.parametrize(
    ("range_", "expected"), [("0:3", b"012"), ("8:", b"89"), (":2", b"01"), ("-4:", b"6789"), ("3:3", b"")]
)
def test_cat_range(store: Path, range_: str, expected: bytes) -> None:
    """
    Ranges work like Python slices.
    """
    result = run("cat", f"{store.as_uri()}/a.txt", f"--range={range_}")

    assert (result.returncode, result.stdout) == (0, expected)


@pytest.mark.parametrize(("range_", "code"), [("5", 2), ("x:y", 2), ("5:2", 2), ("10:", 1)])
def test_cat_bad_range(store: Path, range_: str, code: int) -> None:
    """
    An invalid range is a usage error; one past the end is an error about the object.
    """
    assert invoke("cat", f"{store.as_uri()}/a.txt", f"--range={range_}").exit_code == code


def test_cat_into_a_closed_pipe(tmp_path: Path) -> None:
    """
    A closed pipe is not an error.
    """
    store = make(tmp_path / "store", {"big": b"x" * 5_000_000}).as_uri()
    from subprocess import PIPE, Popen

    from tests.cli.shell import COMMAND, clean_environment

    with Popen([*COMMAND, "cat", f"{store}/big"], stdout=PIPE, stderr=PIPE, env=clean_environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        errors = process.stderr.read()

    assert errors == b""
    assert process.returncode == 141


def test_stat(store: Path) -> None:
    """
    All metadata, as text and as JSON.
    """
    uri = f"{store.as_uri()}/a.txt"
    plain, (record,) = invoke("stat", uri), records(invoke("stat", uri, "--json").stdout)

    assert "size                 10" in plain.stdout
    assert (record["size"], record["metadata"], record["content_type"]) == (10, {}, None)


def test_rm_named_objects(store: Path) -> None:
    """
    A missing object is a failure, and the others are deleted.
    """
    result = invoke("rm", f"{store.as_uri()}/a.txt", f"{store.as_uri()}/nothing")

    assert result.exit_code == 1
    assert "a.txt" not in tree(store)


def test_rm_of_no_uri() -> None:
    """
    An invalid URI is reported in one line, as in the other commands.
    """
    result = invoke("rm", "s3://")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "needs a bucket" in result.stderr


def test_rm_forced(store: Path) -> None:
    """
    With -f a missing object counts as deleted.
    """
    assert invoke("rm", "-f", f"{store.as_uri()}/a.txt", f"{store.as_uri()}/nothing").exit_code == 0


def test_rm_recursive(store: Path) -> None:
    """
    With -r a prefix is a directory: names that only start with it stay.
    """
    *items, summary = records(invoke("rm", "-r", f"{store.as_uri()}/logs", "--json").stdout)

    assert [item["source"] for item in items] == [f"{store.as_uri()}/logs/{name}" for name in "12"]
    assert summary["done"] == 2
    assert set(tree(store)) == {"a.txt", "logs-old/1"}


def test_rm_dry_run(store: Path) -> None:
    """
    --dry-run shows what would be deleted.
    """
    result = invoke("rm", "-r", "--dry-run", store.as_uri(), "--exclude", "logs*")

    assert result.stdout == f"would delete {store.as_uri()}/a.txt\n"
    assert tree(store) == FILES


@pytest.mark.parametrize("answer", ["n\n", "", "y\n"])
def test_rm_asks_on_a_terminal(store: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """
    Only a confirmation deletes.
    """
    monkeypatch.setattr("asyncstore.cli.rm._on_terminal", lambda: True)

    result = invoke("rm", "-r", store.as_uri(), stdin=answer)

    assert result.exit_code == (0 if answer == "y\n" else 2)
    assert tree(store) == ({} if answer == "y\n" else FILES)


def test_presign_without_support(store: Path) -> None:
    """
    An unsupported operation is a usage error.
    """
    result = invoke("presign", f"{store.as_uri()}/a.txt")

    assert result.exit_code == 2
    assert "signed URLs" in result.stderr


def test_doctor(store: Path) -> None:
    """
    doctor shows the resolved settings and the capabilities.
    """
    result = invoke("doctor", store.as_uri())
    resolved, capabilities, summary = records(invoke("doctor", store.as_uri(), "--json").stdout)

    assert result.exit_code == 0
    assert "provider               file" in result.stdout
    assert "ok: listed one entry in" in result.stdout
    assert resolved["type"] == "resolved"
    assert resolved["requests"] == "up to 128 at a time"
    assert capabilities["multipart"] is True
    assert summary["ok"] is True


def test_doctor_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A report has versions, the names of variables and the log of the request, and no secret.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFAKEFAKEFAKEFAKE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    # No server listens here.
    there = ["s3://bucket", "--endpoint-url", "http://127.0.0.1:9", "--region", "us-east-1", "--set", "attempts=2"]
    result = invoke("doctor", "--report", *there)
    environment, *_, log, error = records(invoke("doctor", "--report", "--json", *there).stdout)

    assert result.exit_code == 5
    assert f"asyncstore             {__version__}" in result.stdout
    assert "AWS_SECRET_ACCESS_KEY" in environment["variables"]
    assert any(package.startswith("aiohttp ") for package in environment["packages"])
    assert any("retry" in line for line in log["lines"])
    assert "\n  asyncstore.engine.observer: " in result.stdout
    assert error["error"]["kind"] == "UnavailableError"
    assert "very-secret" not in result.output + str(environment) + str(log)


def test_doctor_explains(tmp_path: Path) -> None:
    """
    An error is reported with advice, after the resolved settings.
    """
    result = invoke("doctor", f"{tmp_path.as_uri()}/nothing", "--json")

    *_, error = records(result.stdout)
    assert result.exit_code == 3
    assert (error["type"], error["error"]["kind"]) == ("error", "NotFoundError")
    assert "advice: check the bucket's name" in result.stderr

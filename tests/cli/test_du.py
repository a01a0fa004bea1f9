"""
``du``, ``find`` and ``tree``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.shell import invoke, make, records

FILES = {"a.txt": b"0123456789", "logs/2026/1.gz": b"x" * 2048, "logs/2.txt": b"y", "logs-old/1.gz": b"z" * 5}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make(tmp_path / "store", FILES)


def rows(text: str) -> list[list[str]]:
    return [line.split(maxsplit=2) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("below", "depth", "expected"),
    [
        ("", "0", [("2064", "4", "")]),
        ("", "1", [("5", "1", "logs-old/"), ("2049", "2", "logs/"), ("2064", "4", "")]),
        ("", "5", [("5", "1", "logs-old/"), ("2049", "2", "logs/"), ("2048", "1", "logs/2026/"), ("2064", "4", "")]),
        ("/logs", "1", [("2048", "1", "2026/"), ("2049", "2", "")]),
    ],
)
def test_du(store: Path, below: str, depth: str, expected: list[tuple[str, str, str]]) -> None:
    """
    The sums of each prefix down to a depth, and of everything last.
    """
    uri = f"{store.as_uri()}{below}"
    result = invoke("du", "-b", "--max-depth", depth, uri)

    assert result.exit_code == 0
    assert rows(result.stdout) == [[size, count, name or uri] for size, count, name in expected]


def test_du_in_other_forms(store: Path) -> None:
    """
    Readable sizes, and JSON with whole keys.
    """
    assert "2.0 KiB" in invoke("du", store.as_uri()).stdout
    *usage, summary = records(invoke("du", "--json", f"{store.as_uri()}/logs").stdout)
    assert [(one["type"], one["bytes"], one["objects"]) for one in usage] == [("usage", 2048, 1), ("usage", 2049, 2)]
    assert usage[-1]["uri"] == f"{store.as_uri()}/logs/"
    assert summary == {"type": "summary", "command": "du", "objects": 2, "bytes": 2049}
    assert invoke("du", f"{store.as_uri()}/nothing").exit_code == 3


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ([], ["a.txt", "logs-old/1.gz", "logs/2.txt", "logs/2026/1.gz"]),
        (["--name", "*.gz"], ["logs-old/1.gz", "logs/2026/1.gz"]),
        (["--name", "*.gz", "--larger", "1K"], ["logs/2026/1.gz"]),
        (["--smaller", "5"], ["logs/2.txt"]),
        (["--path", "logs/*.txt"], ["logs/2.txt"]),
        (["--path", "**/1.gz", "--smaller", "1K"], ["logs-old/1.gz"]),
        (["--newer", "1h"], ["a.txt", "logs-old/1.gz", "logs/2026/1.gz"]),
        (["--older", "1h"], ["logs/2.txt"]),
    ],
    ids=str,
)
def test_find(store: Path, conditions: list[str], found: list[str]) -> None:
    """
    All conditions hold for each URI that is printed.
    """
    os.utime(store / "logs/2.txt", (1e9, 1e9))
    result = invoke("find", store.as_uri(), *conditions)

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [f"{store.as_uri()}/{name}" for name in found]


def test_find_below_a_prefix(store: Path) -> None:
    """
    A path is relative to the prefix, whose own name is no pattern.
    """
    make(store, {"x[1]/deep/a": b"1", "x1/deep/b": b"2"})
    result = invoke("find", "--json", f"{store.as_uri()}/x[1]", "--path", "*/a")

    assert [record["type"] for record in records(result.stdout)] == ["object", "summary"]
    assert records(result.stdout)[0]["key"].endswith("/x[1]/deep/a")


@pytest.mark.parametrize("condition", [["--larger", "much"], ["--newer", "soon"], ["--path", "a**"]], ids=str)
def test_conditions_that_mean_nothing(store: Path, condition: list[str]) -> None:
    """
    They are refused.
    """
    assert invoke("find", store.as_uri(), *condition).exit_code in (1, 2)


def test_tree(store: Path) -> None:
    """
    Each folder once, its objects indented below it.
    """
    shown = invoke("tree", store.as_uri()).stdout.splitlines()

    assert shown == [
        store.as_uri(),
        "  a.txt",
        "  logs-old/",
        "    1.gz",
        "  logs/",
        "    2.txt",
        "    2026/",
        "      1.gz",
    ]
    assert invoke("tree", "-d", "1", store.as_uri()).stdout.splitlines() == [*shown[:3], "  logs/"]

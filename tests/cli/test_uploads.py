"""
``asyncstore uploads``: list and abort what others left.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asyncstore import open_storage
from tests.cli.shell import invoke, records


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """
    A store with three unfinished uploads.
    """

    async def prepare() -> None:
        async with open_storage((tmp_path / "store").as_uri()) as storage:
            for key in ("logs/a", "logs-old/a", "b"):
                upload_id = await storage.initiate_multipart_upload(key)
                await storage.upload_part(key, upload_id, 1, b"data")

    (tmp_path / "store").mkdir()
    asyncio.run(prepare())
    return tmp_path / "store"


def test_list(store: Path) -> None:
    """
    Time, id and URI of each; a prefix is a directory.
    """
    everything = invoke("uploads", "ls", store.as_uri())
    below = invoke("uploads", "ls", "--json", f"{store.as_uri()}/logs")
    (record,) = records(below.stdout)

    assert [f"{store.as_uri()}/{key}" for key in ("b", "logs-old/a", "logs/a")] == sorted(
        line.split()[-1] for line in everything.stdout.splitlines()
    )
    assert everything.stderr == "3 unfinished uploads\n"
    assert {"type", "uri", "upload_id", "initiated"} == set(record)
    assert record["uri"] == f"{store.as_uri()}/logs/a"


def test_abort(store: Path) -> None:
    """
    By default nothing that is younger than a week.
    """
    young = invoke("uploads", "abort", store.as_uri())
    some = invoke("uploads", "abort", f"{store.as_uri()}/logs", "--older-than", "0s", "--json")
    rest = invoke("uploads", "abort", store.as_uri(), "--older-than", "0s")
    left = invoke("uploads", "ls", store.as_uri())

    assert [0, 0, 0] == [result.exit_code for result in (young, some, rest)]
    assert young.stderr == "uploads abort: 0 done, 3 skipped\n"
    assert [("item", "done"), ("summary", None)] == [
        (record["type"], record.get("status")) for record in records(some.stdout)
    ]
    assert sorted(rest.stdout.splitlines()) == [f"aborted {store.as_uri()}/{key}" for key in ("b", "logs-old/a")]
    assert left.stdout == ""


@pytest.mark.parametrize("verb", ["ls", "abort"])
def test_provider_without_uploads(verb: str) -> None:
    """
    It says so, before any request.
    """
    result = invoke("uploads", verb, "github://owner/repository")

    assert result.exit_code == 2
    assert "does not support multipart uploads" in result.stderr


def test_wrong_age(store: Path) -> None:
    result = invoke("uploads", "abort", store.as_uri(), "--older-than", "soon")

    assert result.exit_code == 2
    assert "'soon' is not a duration" in result.stderr

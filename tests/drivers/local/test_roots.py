"""
A directory below a root shows the objects of that root, with their metadata.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from asyncstore import InvalidURIError, Storage, open_storage
from asyncstore.drivers.local.roots import outer_root

_METADATA: Final = {"owner": "me"}

_FIRST: Final[dict[str, Callable[[Storage], Awaitable[Any]]]] = {
    "stat": lambda storage: storage.stat("z"),
    "read": lambda storage: storage.read("z"),
    "put": lambda storage: storage.put("new", b"data"),
    "delete": lambda storage: storage.delete("z"),
    "delete-many": lambda storage: storage.bulk_delete(["z"]),
    "copy": lambda storage: storage.copy("z", "new"),
    "upload-id": lambda storage: storage.initiate_multipart_upload("new"),
    "list": lambda storage: storage.list_page(""),
}


@pytest.fixture
async def outer(tmp_path: Path) -> AsyncIterator[Storage]:
    """A root with one object, in a subfolder."""
    async with open_storage(f"file://{tmp_path}/st", sync=False) as storage:
        await storage.put("keep/z", b"data", metadata=_METADATA, content_type="text/plain")
        yield storage


async def test_metadata_is_that_of_the_outer_root(outer: Storage, tmp_path: Path) -> None:
    """
    Names are relative to what was opened, and both storages see what either has written.
    """
    async with open_storage(f"file://{tmp_path}/st/keep", sync=False) as inner:
        info = await inner.stat("z")
        await inner.put("deep/y", b"more", metadata={"by": "inner"})

        assert (info.name, info.metadata, info.content_type) == ("z", _METADATA, "text/plain")
        assert str(inner.root) == f"file://{tmp_path}/st/keep"
        assert [entry.name async for entry in inner.list()] == ["deep/y", "z"]
        assert [entry.name async for entry in inner.list(start_after="deep/y")] == ["z"]
        assert [entry.name async for entry in inner.list(page_size=1)] == ["deep/y", "z"]
        with pytest.raises(InvalidURIError):
            await inner.read(outer.root / "other")

    assert (await outer.stat("keep/deep/y")).metadata == {"by": "inner"}
    assert not (tmp_path / "st/keep/.asyncstore").exists()


@pytest.mark.parametrize("first", _FIRST.values(), ids=_FIRST)
async def test_first_request_finds_it(
    outer: Storage, tmp_path: Path, first: Callable[[Storage], Awaitable[Any]]
) -> None:
    """
    Whatever the first request is, and whatever runs beside it, nothing is left in the directory itself.
    """
    storage = open_storage(f"file://{tmp_path}/st/keep", sync=False)
    await asyncio.gather(first(storage), storage.exists("other"))
    await storage.aclose()

    assert not (tmp_path / "st/keep/.asyncstore").exists()
    if first is _FIRST["copy"]:
        assert (await outer.stat("keep/new")).metadata == _METADATA


async def test_unfinished_uploads_are_shared(outer: Storage, tmp_path: Path) -> None:
    async with open_storage(f"file://{tmp_path}/st/keep/", sync=False) as inner:
        upload_id = await inner.initiate_multipart_upload("big")

        assert [upload.uri.name async for upload in inner.list_multipart_uploads()] == ["big"]
        assert [upload.upload_id async for upload in outer.list_multipart_uploads()] == [upload_id]
        await inner.abort_multipart_upload("big", upload_id)

    assert [upload async for upload in outer.list_multipart_uploads()] == []


def test_which_directory_is_the_outer_root(tmp_path: Path) -> None:
    """
    The nearest one with metadata; none beyond a link, a reserved name or a directory that all can write to.
    """

    def made(path: str, *, root: bool = False) -> Path:
        (tmp_path / path / (".asyncstore" if root else "")).mkdir(parents=True)
        return tmp_path / path

    top = made("top", root=True)
    inner = made("top/a/b/inner", root=True)
    (top / "link").symlink_to(top / "a")
    (tmp_path / "to-top").symlink_to(top)
    shared = made("shared", root=True)
    shared.chmod(0o1777)

    assert outer_root(top) == outer_root(top / "a/b") == outer_root(top / "not/there/yet") == top
    assert outer_root(inner) == outer_root(inner / "c") == inner
    assert outer_root(tmp_path / "to-top/a") == tmp_path / "to-top"
    for apart in (
        tmp_path,
        top / "link",
        top / "link/b",
        top / ".asyncstore/meta",
        shared / "mine",
    ):
        assert outer_root(apart) == apart
    assert outer_root(shared) == shared

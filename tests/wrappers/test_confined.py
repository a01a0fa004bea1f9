"""
A storage under a prefix names nothing outside of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from asyncstore import (
    InvalidURIError,
    ListOptions,
    NotSupportedError,
    ObjectURI,
    Storage,
    copy_between,
    copy_tree,
    open_storage,
    under,
)
from asyncstore.driver import ForwardingDriver
from asyncstore.storage.copy_between import one_service
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ListPage

_OUT: Final = "memory://bucket/logs-old/a"


async def _list(storage: Storage, prefix: str) -> list[str]:
    return [info.name async for info in storage.list(prefix)]


async def _uploads(storage: Storage, prefix: str) -> list[str]:
    return [upload.uri.key async for upload in storage.list_multipart_uploads(prefix)]


async def _versions(storage: Storage, prefix: str) -> list[str]:
    return [info.key async for info in storage.list_versions(prefix)]


_CALLS: Final[dict[str, Callable[[Storage, str], Awaitable[Any]]]] = {
    "read": lambda storage, uri: storage.read(uri),
    "stat": lambda storage, uri: storage.stat(uri),
    "exists": lambda storage, uri: storage.exists(uri),
    "put": lambda storage, uri: storage.put(uri, b"data"),
    "upload": lambda storage, uri: storage.upload(Path(__file__), uri),
    "delete": lambda storage, uri: storage.delete(uri),
    "copy-from": lambda storage, uri: storage.copy(uri, "copy"),
    "copy-to": lambda storage, uri: storage.copy("in", uri),
    "list": _list,
    "list-page": lambda storage, uri: storage.list_page(uri),
    "list-versions": _versions,
    "list-uploads": _uploads,
    "get-tags": lambda storage, uri: storage.get_tags(uri),
    "set-tags": lambda storage, uri: storage.set_tags(uri, {"a": "1"}),
    "presign": lambda storage, uri: storage.presign(uri),
    "initiate": lambda storage, uri: storage.initiate_multipart_upload(uri),
    "upload-part": lambda storage, uri: storage.upload_part(uri, "id", 1, b"data"),
    "complete": lambda storage, uri: storage.complete_multipart_upload(uri, "id", []),
    "abort": lambda storage, uri: storage.abort_multipart_upload(uri, "id"),
}


@pytest.fixture
async def view(storage: Storage, faults: FaultyDriver) -> Storage:
    for key in ("logs-old/a", "logs/in", "logs/b/c", "top"):
        await storage.put(key, key.encode())
    faults.calls.clear()
    return under(storage, "logs")


@pytest.mark.parametrize("uri", [_OUT, "memory://other/logs/in", "memory://bucket", "memory://bucket/logs"])
@pytest.mark.parametrize("call", _CALLS.values(), ids=_CALLS)
async def test_outside_is_refused_before_anything_is_sent(
    view: Storage, faults: FaultyDriver, call: Callable[[Storage, str], Awaitable[Any]], uri: str
) -> None:
    with pytest.raises(InvalidURIError):
        await call(view, uri)

    assert not faults.calls


async def test_names_are_relative(view: Storage, storage: Storage) -> None:
    """
    Names are relative to the prefix; URIs are those of the objects.
    """
    written = await view.put("new", b"data")

    assert await _list(view, "") == ["b/c", "in", "new"]
    assert [info.name async for info in view.list(delimiter="/")] == ["b/", "in", "new"]
    assert (written.name, str(written.uri)) == ("new", "memory://bucket/logs/new")
    assert await view.read("memory://bucket/logs/in") == await view.read(view.root / "in") == b"logs/in"
    assert await storage.read("logs/new") == b"data"


@pytest.mark.parametrize("key", ["../top", "/top", "..", "../logs-old/a", "./in"])
async def test_dots_and_slashes_are_ordinary(view: Storage, storage: Storage, key: str) -> None:
    """
    No spelling of a key leads out.
    """
    await view.put(key, b"mine")

    assert await storage.read(f"logs/{key}") == b"mine"
    assert await storage.read("top") == b"top"


@pytest.mark.parametrize("key", ["../top", "..", "../../top", "/top"])
async def test_dots_and_slashes_are_ordinary_in_files(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    """
    Local files neither.
    """
    folder = tmp_path_factory.mktemp("root")
    async with open_storage(folder.as_uri()) as storage:
        await storage.put("top", b"top")
        view = under(storage, "logs")

        await view.put(key, b"mine")

        assert await view.read(key) == b"mine"
        assert await storage.read("top") == b"top"
        assert all(info.key.startswith(view.root.key) for info in [info async for info in view.list()])


async def test_views_nest(view: Storage) -> None:
    """
    A view of a view is confined to both.
    """
    inner = under(view, "b/")

    assert await _list(inner, "") == ["c"]
    with pytest.raises(InvalidURIError, match="confined"):
        await inner.read("memory://bucket/logs/in")


async def test_an_empty_prefix_confines_to_the_root(storage: Storage, view: Storage) -> None:
    assert await _list(under(view, ""), "") == ["b/c", "in"]
    with pytest.raises(InvalidURIError, match="memory://bucket, to which"):
        await under(storage, "").read("memory://other/key")


async def test_bulk_items_fail_one_by_one(view: Storage, faults: FaultyDriver) -> None:
    result = await view.bulk_delete(["in", _OUT])

    assert [type(outcome.error) for outcome in result.failures] == [InvalidURIError]
    assert faults.calls == {"delete_batch": 1}


async def test_tokens_of_other_listings_lead_nowhere(view: Storage, storage: Storage) -> None:
    """
    A token from a listing of everything shows nothing outside.
    """
    page = await storage.list_page("", options=ListOptions(page_size=1))
    assert page.next_token is not None

    found = await view.list_page("", token=page.next_token)

    assert [info.name for info in found.objects] == ["b/c", "in"]


async def test_pages_have_nothing_from_outside(storage: Storage) -> None:
    """
    A driver that ignores the prefix shows nothing else.
    """

    class Careless(ForwardingDriver):
        async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
            return await super().list_page(prefix.with_key(""), options, token)

    for key in ("out", "logs/in"):
        await storage.put(key, b"data")

    assert await _list(under(storage.wrapped(Careless), "logs"), "") == ["in"]


async def test_copies_from_outside_are_streamed(view: Storage, storage: Storage) -> None:
    """
    The storage outside reads, the view writes: both do only what they may.
    """
    assert not one_service(storage, view)

    await copy_between(storage, "top", view, "copied")
    await copy_tree(storage, view, source_prefix="logs-old", target_prefix="tree")

    assert await storage.read("logs/copied") == b"top"
    assert await storage.read("logs/tree/a") == b"logs-old/a"


async def test_what_it_tells(view: Storage) -> None:
    assert view.describe()["confined_to"] == "memory://bucket/logs/"
    assert view.describe()["root"] == "memory://bucket/logs/"
    with pytest.raises(NotSupportedError, match="confined"):
        view.native()


async def test_prefix_is_text(storage: Storage) -> None:
    with pytest.raises(TypeError, match="prefix takes text, not PosixPath"):
        under(storage, Path("logs"))  # type: ignore[arg-type]

"""
Every verb takes the fields of its options as keywords.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_overloads, get_type_hints

import pytest

from asyncstore.errors import AlreadyExistsError, PreconditionFailedError
from asyncstore.options import ByteRange, UploadOptions
from asyncstore.storage import Storage
from asyncstore.storage.copy_between import copy_between
from asyncstore.types import Download, Upload


def verbs() -> Iterator[Callable[..., Any]]:
    """
    Yield the verbs that take ``options`` of a whole operation.
    """
    steps = ("upload_part", "complete_multipart_upload")
    for name, verb in inspect.getmembers(Storage, inspect.isfunction):
        if not name.startswith("_") and name not in steps and "options" in inspect.signature(verb).parameters:
            yield verb


@pytest.mark.parametrize("verb", [*verbs()], ids=lambda verb: verb.__name__)
def test_every_verb_declares_them(verb: Callable[..., Any]) -> None:
    """
    Keywords are typed, with the fields of the verb's record, in each of its overloads.
    """
    for function in get_overloads(verb) or [verb]:
        parameters = inspect.signature(function).parameters
        (name,) = (item.name for item in parameters.values() if item.kind == item.VAR_KEYWORD)

        assert name == "fields"
        assert str(parameters[name].annotation).startswith("Unpack[")


async def test_reading(storage: Storage) -> None:
    """
    Ranges and conditions of reads.
    """
    info = await storage.put("key", b"0123456789")

    assert await storage.read("key", range=(2, 5)) == b"234"
    assert await storage.read("key", range="bytes=-3", if_match=info.etag) == b"789"
    async with storage.get("key", range=slice(4)) as stream:
        assert await stream.read() == b"0123"
    buffer = bytearray(3)
    assert await storage.read_into("key", buffer, range=(0, 3)) == 3
    with pytest.raises(PreconditionFailedError):
        await storage.stat("key", if_match='"other"')
    with pytest.raises(PreconditionFailedError):
        await storage.open("key", if_match='"other"')
    with pytest.raises(PreconditionFailedError):
        await storage.read_ranges("key", [ByteRange(0, 1)], if_match='"other"')


async def test_writing(storage: Storage, tmp_path: Path) -> None:
    """
    Headers, metadata and conditions of writes; keywords replace the fields of ``options``.
    """
    plain = UploadOptions(content_type="text/plain", metadata={"a": "1"})
    await storage.put("key", b"data", options=plain, content_type="text/html")
    info = await storage.stat("key")
    assert (info.content_type, info.metadata) == ("text/html", {"a": "1"})

    with pytest.raises(AlreadyExistsError):
        await storage.put("key", b"data", if_none_match="*")
    async with storage.open("opened", "wb", options=plain, content_type="text/css") as file:
        await file.write(b"data")
    assert (await storage.stat("opened")).content_type == "text/css"
    (tmp_path / "file").write_bytes(b"file")
    with pytest.raises(AlreadyExistsError):
        await storage.upload(tmp_path / "file", "key", if_none_match="*")
    with pytest.raises(AlreadyExistsError):
        await storage.copy("key", "key", storage_class="STANDARD", if_none_match="*")
    with pytest.raises(AlreadyExistsError):
        await copy_between(storage, "key", storage, "key", if_none_match="*")
    with pytest.raises(AlreadyExistsError):
        await storage.download("key", tmp_path / "file", overwrite=False)
    with pytest.raises(PreconditionFailedError):
        await storage.delete("key", if_match='"other"')


async def test_listing(storage: Storage) -> None:
    """
    Delimiter and page size of listings.
    """
    for name in ("a/1", "a/2", "b"):
        await storage.put(name, b"")

    assert [info.name async for info in storage.list(delimiter="/")] == ["a/", "b"]
    assert len((await storage.list_page(storage.root, page_size=2)).objects) == 2


async def test_many(storage: Storage, tmp_path: Path) -> None:
    """
    Fields of bulk operations.
    """
    (tmp_path / "file").write_bytes(b"file")
    with pytest.raises(PreconditionFailedError):
        await storage.bulk_upload(
            [Upload(tmp_path / "file", "key")],
            stop_on_error=True,
            upload=UploadOptions(if_match='"other"'),
        )
    await storage.put("key", b"data")
    result = await storage.bulk_download([Download("key", tmp_path / "copy")], keep="failures")
    assert not result.outcomes
    result = await storage.bulk_delete(["key"], keep="failures")
    assert (result.done, len(result.outcomes)) == (1, 0)


def test_hints_can_be_resolved() -> None:
    """
    Tools that read annotations find the typed dictionaries.
    """
    assert get_type_hints(Storage.put)["fields"]


async def test_misspelt_name(storage: Storage) -> None:
    """
    The error says what was probably meant, before anything is sent.
    """
    put: Any = storage.put
    with pytest.raises(TypeError, match=r"UploadOptions has no field 'content_typ'\. Did you mean 'content_type'\?"):
        await put("key", b"data", content_typ="text/plain")
    assert not await storage.exists("key")

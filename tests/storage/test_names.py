"""
Names relative to the root: the same program names the same things on every provider.
"""

import pickle
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncstore import (
    Download,
    InvalidRequestError,
    ListOptions,
    Storage,
    Upload,
    UploadOptions,
    copy_between,
    open_storage,
    parse_uri,
    safe_path,
)

ROOTS = ["memory://bucket", "memory://bucket/some/prefix", "memory://bucket/some/prefix/", "file://{}", "file://{}/in/"]


@pytest.fixture(params=ROOTS)
async def rooted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    async with open_storage(request.param.format(tmp_path / "store")) as storage:
        yield storage


async def test_every_verb_takes_keys(rooted: Storage, tmp_path: Path) -> None:
    """
    Text without a scheme is a key below the root, in every operation.
    """
    (tmp_path / "file").write_bytes(b"data")
    infos = [
        await rooted.put("a", b"data"),
        await rooted.upload(tmp_path / "file", "b/c"),
        await rooted.copy("a", "b/d"),
        await rooted.download("b/c", tmp_path / "copy"),
        await rooted.stat("b/c"),
        await copy_between(rooted, "a", rooted, "e"),
    ]
    upload_id = await rooted.initiate_multipart_upload("parts")
    part = await rooted.upload_part("parts", upload_id, 1, b"data")
    assert [upload.uri.name async for upload in rooted.list_multipart_uploads("pa")] == ["parts"]
    infos.append(await rooted.complete_multipart_upload("parts", upload_id, [part]))
    await rooted.bulk_upload([Upload(tmp_path / "file", "bulk/1")])
    await rooted.bulk_download([Download("bulk/1", tmp_path / "bulk")])

    assert [info.name for info in infos] == ["a", "b/c", "b/d", "b/c", "b/c", "e", "parts"]
    assert all(rooted.root / info.name == info.uri for info in infos)
    assert [info.name async for info in rooted.list()] == ["a", "b/c", "b/d", "bulk/1", "e", "parts"]
    assert [info.name async for info in rooted.list("b/")] == ["b/c", "b/d"]
    level = [info.name async for info in rooted.list("", options=ListOptions(delimiter="/"))]
    assert level == ["a", "b/", "bulk/", "e", "parts"]
    assert (tmp_path / "bulk").read_bytes() == b"data"
    result = await rooted.bulk_delete(["a", "b/c", "b/d", "bulk/1", "e", "parts"])
    assert (result.done, [info async for info in rooted.list()]) == (6, [])


async def test_names_of_uris_from_elsewhere(rooted: Storage) -> None:
    """
    A URI that was parsed from text gets the same name as one that was joined.
    """
    await rooted.put("a", b"data")
    text = str(rooted.root / "a")

    assert parse_uri(text) == rooted.root / "a"
    assert (await rooted.stat(text)).name == "a"
    assert (await rooted.stat(parse_uri(text))).name == "a"
    assert [info.name async for info in rooted.list(str(rooted.root))] == ["a"]
    assert pickle.loads(pickle.dumps(await rooted.stat("a"))).name == "a"


async def test_storages_that_share_objects_have_names_of_their_own() -> None:
    async with (
        open_storage("memory://bucket", shared="names") as outer,
        open_storage("memory://bucket/a/b", shared="names") as inner,
    ):
        await outer.put("a/b/c", b"data")

        assert [info.name async for info in outer.list()] == ["a/b/c"]
        assert [info.name async for info in inner.list()] == ["c"]
        assert (await inner.stat("c")).name == "c"
        async with inner.get("c") as stream:
            assert stream.info.name == "c"


HOSTILE = ["../up", "a/../../up", "b/..", "{}/absolute"]


@pytest.mark.parametrize("key", HOSTILE)
@pytest.mark.parametrize("root", ["memory://bucket", "memory://bucket/prefix"])
async def test_a_key_joined_to_a_directory_never_leads_out(tmp_path: Path, root: str, key: str) -> None:
    """
    A download whose target repeats an unsafe key is refused, and the others of the bulk arrive.
    """
    key = key.format(tmp_path)
    copy = tmp_path / "work/copy"
    async with open_storage(root) as storage:
        await storage.put(key, b"evil")
        await storage.put("good", b"good")
        infos = [info async for info in storage.list()]
        # Below a prefix, a key as a whole is not absolute.
        for name in ("name",) if key.startswith("/") else ("key", "name"):
            result = await storage.bulk_download([Download(info.uri, copy / getattr(info, name)) for info in infos])
            assert (result.done, result.failed) == (1, 1)
            assert isinstance(result.failures[0].error, InvalidRequestError)
        with pytest.raises(InvalidRequestError, match="safe_path"):
            await storage.download(key, copy / key)
        with pytest.raises(InvalidRequestError):
            safe_path(copy, key)

    assert not (tmp_path / "absolute").exists()
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"good"}


async def test_targets_that_the_caller_chose_are_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A target may be absolute or have .. in it, whatever the key is.
    """
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    async with open_storage("memory://bucket") as storage:
        for key in ("../up", "/absolute", "plain", "a..b"):
            await storage.put(key, b"data")
            await storage.download(key, Path("../other") / "file")
            await storage.download(key, tmp_path / "file")

    assert (tmp_path / "other/file").read_bytes() == b"data"


NAMES = {
    "index.html": "text/html",
    "a/b/STYLE.CSS": "text/css",
    "app.js": "text/javascript",
    "photo.jpeg": "image/jpeg",
    "data.json": "application/json",
    "archive.tar.gz": "application/gzip",
    "archive.tgz": "application/gzip",
    "font.woff2": "font/woff2",
    "noise": None,
    ".profile": None,
    "model.safetensors": None,
    "page.html.br": None,
}


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
@pytest.mark.parametrize("size", [0, 10, 3_000_000])
async def test_the_content_type_of_a_file(
    rooted: Storage, tmp_path: Path, name: str, expected: str | None, size: int
) -> None:
    """
    It is guessed from the key, unless it is given or the guess is off.
    """
    (tmp_path / "source").write_bytes(bytes(size))
    parts = UploadOptions(part_size=1_000_000, multipart_threshold=1_000_000)
    await rooted.upload(tmp_path / "source", name, options=parts)
    await rooted.bulk_upload([Upload(tmp_path / "source", f"bulk/{name}")])
    await rooted.upload(tmp_path / "source", f"given/{name}", options=UploadOptions(content_type="text/x-given"))
    await rooted.upload(tmp_path / "source", f"off/{name}", options=UploadOptions(guess_content_type=False))

    found = [(await rooted.stat(folder + name)).content_type for folder in ("", "bulk/", "given/", "off/")]
    assert found == [expected, expected, "text/x-given", None]


async def test_the_content_type_of_the_source(rooted: Storage, tmp_path: Path) -> None:
    """
    A key without a known suffix leaves it to the name of the file.
    """
    (tmp_path / "page.html").write_bytes(b"<p>")
    await rooted.upload(tmp_path / "page.html", "page")

    assert (await rooted.stat("page")).content_type == "text/html"

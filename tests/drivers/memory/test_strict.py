"""
Memory refuses what S3, GCS or OCI refuses, presigns URLs that any client can use, and keeps versions if asked to.
"""

from datetime import timedelta
from io import BytesIO
from typing import Any

import aiohttp
import pytest

from asyncstore import (
    ConfigurationError,
    DeleteOptions,
    InvalidRequestError,
    InvalidURIError,
    NotFoundError,
    NotSupportedError,
    ReadOptions,
    StorageError,
    UploadOptions,
    open_storage,
)


@pytest.mark.parametrize("key", [".", "..", "a\nb", "a\rb", ".well-known/acme-challenge/x"])
async def test_keys_that_a_cloud_refuses(key: str) -> None:
    async with open_storage("memory://bucket") as storage:
        await storage.put("source", b"data")
        for write in (
            storage.put(key, b"data"),
            storage.copy("source", key),
            storage.initiate_multipart_upload(key),
        ):
            with pytest.raises(InvalidURIError):
                await write
        assert [info.name async for info in storage.list()] == ["source"]


@pytest.mark.parametrize("key", ["../victim", "a/../b", "a\\b", "/abs", "a//b", "?", "a/."])
async def test_keys_that_only_look_wrong(key: str) -> None:
    """
    Keys with which a program has to cope, since some cloud takes them.
    """
    async with open_storage("memory://bucket") as storage:
        await storage.put(key, b"data")
        assert await storage.read(key) == b"data"


@pytest.mark.parametrize("metadata", [{"my key": "v"}, {"ü": "v"}, {"a:b": "v"}, {"k": " v"}, {"k": "v\t"}])
async def test_metadata_that_a_cloud_refuses(metadata: dict[str, str]) -> None:
    async with open_storage("memory://bucket") as storage:
        with pytest.raises(ConfigurationError):
            await storage.put("key", b"data", options=UploadOptions(metadata=metadata))
        assert not await storage.exists("key")


async def test_small_parts() -> None:
    """
    Parts but the last have 5 MiB at least, unless the storage is opened with another minimum.
    """
    strict: dict[str, Any] = {}
    for settings, fine in ((strict, False), ({"min_part_size": 1}, True)):
        async with open_storage("memory://bucket", **settings) as storage:
            upload_id = await storage.initiate_multipart_upload("key")
            parts = [await storage.upload_part("key", upload_id, number, b"x") for number in (1, 2)]
            if fine:
                await storage.complete_multipart_upload("key", upload_id, parts)
                assert await storage.read("key") == b"xx"
            else:
                with pytest.raises(InvalidRequestError, match="smaller than"):
                    await storage.complete_multipart_upload("key", upload_id, parts)
                assert not await storage.exists("key")


async def test_presigned_urls() -> None:
    """
    Any HTTP client can use them; headers, ranges, errors and the method are those of a cloud.
    """
    async with open_storage("memory://bucket") as storage, aiohttp.ClientSession() as session:
        page = UploadOptions(content_type="text/html", cache_control="max-age=1")
        await storage.put("a b/ü?.html", b"0123456789", options=page)
        url = await storage.presign("a b/ü?.html")
        async with session.get(url) as reply:
            assert (reply.status, await reply.read()) == (200, b"0123456789")
            assert (reply.content_type, reply.headers["Cache-Control"]) == ("text/html", "max-age=1")
        async with session.head(url) as reply:
            assert (reply.status, reply.content_length) == (200, 10)
        for wanted, status, data in (("bytes=2-4", 206, b"234"), ("bytes=-3", 206, b"789"), ("bytes=8-", 206, b"89")):
            async with session.get(url, headers={"Range": wanted}) as reply:
                assert (reply.status, await reply.read()) == (status, data)
        async with session.get(url, headers={"Range": "bytes=10-"}) as reply:
            assert reply.status == 416
        for other in (url.replace("html", "txt"), url[:-1] + ("0" if url[-1] != "0" else "1"), url.split("?")[0]):
            async with session.get(other) as reply:
                assert reply.status == 403
        async with session.get(await storage.presign("missing")) as reply:
            assert reply.status == 404
        async with session.put(
            await storage.presign("new", method="PUT"), data=b"put", headers={"Content-Type": "a/b"}
        ):
            assert (await storage.stat("new")).content_type == "a/b"
        async with session.delete(await storage.presign("new", method="DELETE")) as reply:
            assert (reply.status, await storage.exists("new")) == (204, False)


async def test_a_url_expires_and_ends_with_its_storage() -> None:
    async with aiohttp.ClientSession() as session:
        async with open_storage("memory://bucket") as storage:
            await storage.put("key", b"data")
            lasting = await storage.presign("key")
            async with session.get(await storage.presign("key", expires=timedelta(microseconds=1))) as reply:
                assert reply.status == 403
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(lasting)
    async with open_storage("memory://bucket", sign=False) as storage:
        with pytest.raises(NotSupportedError):
            await storage.presign("key")


async def test_versions_are_kept_if_asked_to() -> None:
    text: dict[str, Any] = {"versioning": "true"}
    async with open_storage("memory://bucket", **text) as storage:
        first = await storage.put("key", b"first", options=UploadOptions(metadata={"n": "1"}))
        await storage.put("key", b"second")
        await storage.set_tags("key", {"a": "b"})
        await storage.delete("key")
        with pytest.raises(NotFoundError):
            await storage.read("key")

        found = [info async for info in storage.list_versions("key")]
        assert [(info.is_deleted, info.is_current) for info in found] == [(True, True), (False, False), (False, False)]
        old = ReadOptions(version_id=first.version_id)
        assert (await storage.stat("key", options=old)).metadata == {"n": "1"}
        with pytest.raises(NotFoundError):
            await storage.read("key", options=ReadOptions(version_id=found[0].version_id))
        # Without the marker, the version before is current again.
        await storage.delete("key", options=DeleteOptions(version_id=found[0].version_id))
        assert await storage.read("key") == b"second"


async def test_each_object_is_its_only_version() -> None:
    async with open_storage("memory://bucket") as storage:
        for data in (b"1", b"22"):
            await storage.put("key", data)
        found = [info async for info in storage.list_versions()]
        assert [(info.name, info.size, info.version_id, info.is_current) for info in found] == [("key", 2, None, True)]
        await storage.delete("key")
        assert [info async for info in storage.list_versions()] == []
        with pytest.raises(StorageError):
            await storage.read("key", options=ReadOptions(version_id="1"))


FORMS: dict[str, tuple[dict[str, str], int, str]] = {
    "another policy": ({"policy": "e30="}, 403, "signature"),
    "another signature": ({"signature": "ü"}, 403, "signature"),
    "another field": ({"acl": "public"}, 403, "fields acl"),
    "another key": ({"key": "other"}, 403, "this key"),
    "an empty key below the prefix": ({"key": "in/"}, 204, ""),
}


@pytest.mark.parametrize("name", FORMS)
async def test_forms(name: str) -> None:
    """
    A form takes what its policy says, with files of any size; the reason is told otherwise.
    """
    changed, status, text = FORMS[name]
    async with open_storage("memory://bucket") as storage, aiohttp.ClientSession() as session:
        form = await storage.presign_post("in/", prefix=True)
        sent = aiohttp.FormData({**form.fields, **changed})
        sent.add_field("file", BytesIO(bytes(2**21)), filename="f")
        async with session.post(form.url, data=sent) as reply:
            assert (reply.status, text in await reply.text()) == (status, True)


async def test_invalid_forms() -> None:
    """
    A request that is no form, one without a file, and one that came too late are refused.
    """
    async with open_storage("memory://bucket") as storage, aiohttp.ClientSession() as session:
        form = await storage.presign_post("key")
        late = await storage.presign_post("key", expires=timedelta(microseconds=1))
        async with session.post(form.url, data=b"data") as reply:
            assert reply.status == 400
        without = aiohttp.FormData(form.fields)
        without.add_field("other", b"data", filename="f")
        async with session.post(form.url, data=without) as reply:
            assert (reply.status, await reply.text()) == (400, "the form has no file")
        sent = aiohttp.FormData(late.fields)
        sent.add_field("file", b"data", filename="f")
        async with session.post(late.url, data=sent) as reply:
            assert (reply.status, await reply.text()) == (403, "the form has expired")
        assert not await storage.exists("key")

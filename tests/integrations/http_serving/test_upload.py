"""
Request bodies as objects: conditions, limits, and clients that vanish.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator, Mapping

import pytest

from asyncstore import NotFoundError, Storage
from asyncstore.options import MiB
from asyncstore.testing.faults import FaultyDriver
from tests.build import at_rest
from tests.integrations.web import MAX_SIZE, both, client, serving, until

BEFORE = "Wed, 01 Jan 2020 00:00:00 GMT"
LATER = "Fri, 01 Jan 2100 00:00:00 GMT"


@both
async def test_body_becomes_an_object(framework: str, storage: Storage, faults: FaultyDriver) -> None:
    """
    With its media type, in parts if it is long.
    """
    data = random.randbytes(20 * MiB)
    async with serving(framework, storage) as url, client() as session:
        reply = await session.put(f"{url}/objects/a/ä", data=io.BytesIO(data), headers={"Content-Type": "text/csv"})
        assert (reply.status, await reply.json()) == (201, {"size": len(data)})

    same = await storage.read("a/ä") == data
    assert same
    assert (await storage.stat("a/ä")).content_type == "text/csv"
    assert faults.calls["upload_part"] == 3
    at_rest(storage, faults)


@both
@pytest.mark.parametrize(
    ("headers", "of_an_object", "of_none"),
    [
        ({"If-None-Match": "*"}, 412, 201),
        ({"If-None-Match": "="}, 412, 201),
        ({"If-None-Match": '"other"'}, 201, 201),
        ({"If-Match": "="}, 201, 412),
        ({"If-Match": "*"}, 201, 412),
        ({"If-Match": '"other"'}, 412, 412),
        ({"If-Match": "W="}, 412, 412),
        ({"If-Match": '"other", ='}, 201, 412),
        ({"If-Match": "=", "If-Unmodified-Since": BEFORE}, 201, 412),
        ({"If-Unmodified-Since": BEFORE}, 412, 201),
        ({"If-Unmodified-Since": LATER}, 201, 201),
    ],
    ids=str,
)
async def test_condition_of_a_write(
    framework: str, storage: Storage, headers: Mapping[str, str], of_an_object: int, of_none: int
) -> None:
    """
    https://www.rfc-editor.org/rfc/rfc9110#section-13: what fails changes nothing.
    """
    info = await storage.put("there", b"old")
    headers = {
        name: value.replace("=", f'/"{info.etag}"' if value == "W=" else f'"{info.etag}"')
        for name, value in headers.items()
    }
    async with serving(framework, storage) as url, client() as session:
        for key, status in {"there": of_an_object, "none": of_none}.items():
            async with session.put(f"{url}/objects/{key}", data=b"new", headers=headers) as reply:
                assert reply.status == status

    assert await storage.read("there") == (b"new" if of_an_object == 201 else b"old")
    assert await storage.exists("none") == (of_none == 201)


@both
async def test_condition_is_pinned(framework: str, storage: Storage, faults: FaultyDriver) -> None:
    """
    An object that is replaced after it was compared is not overwritten.
    """
    info = await storage.put("key", b"old")
    hang = faults.hang("put")
    async with serving(framework, storage) as url, client() as session:
        headers = {"If-Match": f'"other", "{info.etag}"'}
        task = asyncio.ensure_future(session.put(f"{url}/objects/key", data=b"mine", headers=headers))
        await hang.reached()
        await storage.put("key", b"theirs")
        hang.release()
        async with await task as reply:
            assert reply.status == 412

    assert await storage.read("key") == b"theirs"


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // MiB):
        yield bytes(MiB)


@both
async def test_body_that_is_too_large(framework: str, storage: Storage, faults: FaultyDriver) -> None:
    """
    Refused by its announced length before it is read, or as soon as there is too much; no upload is left.
    """
    async with serving(framework, storage) as url, client() as session:
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"PUT /objects/key HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX_SIZE + 1}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.transport.abort()
        assert not faults.calls
        async with session.put(f"{url}/objects/chunked", data=chunks(MAX_SIZE + MiB)) as reply:
            assert reply.status == 413
            assert f"larger than {MAX_SIZE} bytes" in (await reply.json(content_type=None))["detail"]

    # Of the client, which is still sending.
    await until(lambda: len(asyncio.all_tasks()) == 1)
    await nothing_stored(storage)
    at_rest(storage, faults)


@both
@pytest.mark.parametrize(
    ("headers", "status"), [({"Content-Encoding": "gzip"}, 415), ({"Content-Range": "bytes 0-3/8"}, 400)], ids=str
)
async def test_body_that_cannot_be_stored(
    framework: str, storage: Storage, headers: Mapping[str, str], status: int
) -> None:
    """
    Not what is compressed for the transfer, nor a part of an object: neither is what the object is to be.
    """
    async with serving(framework, storage) as url, client() as session:
        reply = await session.put(f"{url}/objects/key", data=b"data", headers=headers)
        assert reply.status == status
        reply.release()

    await nothing_stored(storage)


@both
@pytest.mark.parametrize("sent", [0, 1000, 20 * MiB])
async def test_client_that_vanishes(framework: str, storage: Storage, faults: FaultyDriver, sent: int) -> None:
    """
    Nothing is published, and no upload is left.
    """
    async with serving(framework, storage) as url:
        await vanishing_put(url, "key", sent, announced=sent + 1)
        await until(lambda: not faults.in_flight["all"])

    if sent > MiB:
        assert faults.calls["abort_multipart_upload"] == 1
    await nothing_stored(storage)
    at_rest(storage, faults)


async def vanishing_put(url: str, key: str, sent: int, *, announced: int) -> None:
    """
    Send a part of a body, and vanish once the server has taken it.
    """
    host, _, port = url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"PUT /objects/{key} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\n\r\n"
    writer.write(head.encode() + bytes(sent))
    writer.transport.set_write_buffer_limits(0)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def nothing_stored(storage: Storage) -> None:
    assert [info.name async for info in storage.list()] == []
    assert [upload async for upload in storage.list_multipart_uploads()] == []
    with pytest.raises(NotFoundError):
        await storage.read("key")

"""
Multipart forms as they arrive: any cut into chunks, names, malformed bodies, clients that vanish.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator
from contextlib import aclosing

import aiohttp
import pytest

from asyncstore import Storage
from asyncstore.integrations.http_serving import forms
from asyncstore.integrations.http_serving.forms import FormPart, form_parts
from asyncstore.integrations.http_serving.problems import RequestBodyError
from asyncstore.options import MiB
from asyncstore.testing.faults import FaultyDriver
from tests.build import at_rest
from tests.integrations.http_serving.test_upload import nothing_stored
from tests.integrations.web import both, client, serving, until

HEADERS = {"content-type": "multipart/form-data; boundary=XX"}
DATA = b"0123\r\n--X\r\n--XY\r\n456"
BODY = (
    b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\ntext \xc3\xa4\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="f"; filename="C:\\dir\\a;%22b%22.txt"\r\n'
    b"Content-Type: text/csv\r\n\r\n" + DATA + b"\r\n"
    b'--XX\r\nContent-Disposition: form-data; name="g"; filename=""\r\n\r\n\r\n'
    b"--XX--\r\n"
)


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [*range(1, 40), len(BODY)])
async def test_any_cut(size: int) -> None:
    """
    The same parts, wherever the body is cut into chunks.
    """
    found = []
    async with aclosing(form_parts(HEADERS, cut(BODY, size), max_size=len(BODY))) as parts:
        async for part in parts:
            data = b"".join([chunk async for chunk in part])
            found.append((part.name, part.is_file, part.filename, part.content_type, data))

    assert found == [
        ("a", False, None, None, "text ä".encode()),
        ("f", True, 'a;"b".txt', "text/csv", DATA),
        ("g", True, None, None, b""),
    ]


@pytest.mark.parametrize("read", ["nothing", "a chunk", "a chunk, then closed"])
async def test_what_is_not_read_is_skipped(read: str) -> None:
    names = []
    async with aclosing(form_parts(HEADERS, cut(BODY, 7), max_size=len(BODY))) as parts:
        async for part in parts:
            names.append(part.name)
            if read != "nothing":
                async for _ in part:
                    break
            if read.endswith("closed"):
                await part.__aiter__().aclose()  # type: ignore[attr-defined]  # as a storage does

    assert names == ["a", "f", "g"]


@pytest.mark.parametrize("end", [1, 30, 60, 150, len(BODY) - 8])
async def test_form_that_ends_too_early(end: int) -> None:
    """
    Never taken for a complete one.
    """
    with pytest.raises(RequestBodyError, match="ends before its last boundary"):
        await read_all(BODY[:end])


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"no boundary", HEADERS["content-type"], "malformed"),
        (b"--XX\r\nContent-Disposition: form-data\r\n\r\n\r\n--XX--", HEADERS["content-type"], "with a name"),
        (b"--XX\r\nName: a\r\n\r\n\r\n--XX--", HEADERS["content-type"], "with a name"),
        (b"--XX\r\n" + b"A" * 100_000, HEADERS["content-type"], "malformed"),
        (BODY, "multipart/form-data", "not a form"),
        (BODY, "text/plain", "not a form"),
        (BODY, f"multipart/form-data; boundary={'b' * 1000}", "boundary"),
    ],
)
async def test_malformed_form(body: bytes, content_type: str, message: str) -> None:
    with pytest.raises(RequestBodyError, match=message):
        await read_all(body, content_type)


async def test_too_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MAX_PARTS", 2)

    with pytest.raises(RequestBodyError, match="more than 2 parts"):
        await read_all(BODY)


async def test_field_that_is_too_long() -> None:
    async with aclosing(form_parts(HEADERS, cut(BODY, 7), max_size=len(BODY))) as parts:
        part = await anext(parts)
        with pytest.raises(RequestBodyError, match="larger than 3 bytes"):
            await part.text(3)


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("a/b\\c", "c"),
        ("..", "unnamed"),
        ("dir/", "unnamed"),
        ("a\tb", "ab"),
        ("ä.txt", "ä.txt"),
    ],
)
async def test_file_names_have_no_folders(filename: str, name: str) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield

    part = FormPart({"content-disposition": f'form-data; name="f"; filename="{filename}"'}, nothing())  # type: ignore[arg-type]  # any iterator

    assert part.filename == name


async def read_all(body: bytes, content_type: str = HEADERS["content-type"]) -> None:
    headers = {"content-type": content_type}
    async with aclosing(form_parts(headers, cut(body, 1000), max_size=len(body) + 1)) as parts:
        async for part in parts:
            async for _ in part:
                pass


@both
async def test_form_becomes_objects(framework: str, storage: Storage, faults: FaultyDriver) -> None:
    """
    Files of any size, without a temporary file; other fields are returned.
    """
    large = random.randbytes(20 * MiB)
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("title", "ä")
    form.add_field("file", io.BytesIO(large), filename="dir/große.bin", content_type="image/png")
    form.add_field("title", "b")
    form.add_field("file", b"small", filename="small")
    async with serving(framework, storage) as url, client() as session:
        reply = await session.post(f"{url}/forms", data=form)
        assert await reply.json() == {
            "files": [["file", "große.bin", len(large)], ["file", "small", 5]],
            "fields": {"title": ["ä", "b"]},
        }

    same = await storage.read("forms/große.bin") == large
    assert same
    assert (await storage.stat("forms/große.bin")).content_type == "image/png"
    at_rest(storage, faults)


@both
async def test_client_that_vanishes(framework: str, storage: Storage, faults: FaultyDriver) -> None:
    """
    In the middle of a large file: nothing is published, and no upload is left.
    """
    head = b'--XX\r\nContent-Disposition: form-data; name="f"; filename="large"\r\n\r\n'
    async with serving(framework, storage) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /forms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n"
            b"Content-Type: multipart/form-data; boundary=XX\r\n\r\n" + head + bytes(20 * MiB)
        )
        await until(lambda: faults.calls["upload_part"])
        writer.transport.abort()
        await until(lambda: faults.calls["abort_multipart_upload"] and not faults.in_flight["all"])

    await nothing_stored(storage)
    at_rest(storage, faults)

"""
Replies to reads that enclose another part of the object than was requested, all of it, or an unknown length.

https://www.rfc-editor.org/rfc/rfc9110#name-206-partial-content and https://www.rfc-editor.org/rfc/rfc9110#section-14.2
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from asyncstore import (
    ByteRange,
    DownloadOptions,
    IntegrityError,
    MiB,
    ReadOptions,
    Storage,
    StorageError,
    UnavailableError,
)
from asyncstore.types import UNKNOWN
from tests.deviations.good_replies import Asked, Content, Said
from tests.deviations.hostile import Sending
from tests.deviations.server import CONTENTS, STORAGES, Answer, Server, opened, serving

DATA: Final = CONTENTS[0].data


async def _read(storage: Storage, folder: Path) -> bytes:
    return await storage.read(storage.root / "t" / "k")


async def _stream(storage: Storage, folder: Path) -> bytes:
    async with storage.get(storage.root / "t" / "k") as stream:
        return b"".join([chunk async for chunk in stream])


async def _download(storage: Storage, folder: Path) -> bytes:
    await storage.download(
        storage.root / "t" / "k", folder / "file", options=DownloadOptions(part_size=1 * MiB, sync=False)
    )
    return (folder / "file").read_bytes()


READS: Final[dict[str, Callable[[Storage, Path], Awaitable[bytes]]]] = {
    "read": _read,
    "get": _stream,
    "download": _download,
}

every_provider = pytest.mark.parametrize("provider", STORAGES)
every_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


def _changed(server: Server, change: Callable[[Asked, Said, Sending], None]) -> Answer:
    """
    Return an answer with *change* to each reply that has the object's bytes.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        said, sending = server.good(asked), Sending()
        if said.status in (200, 206) and "Last-Modified" in said.headers and asked.method in ("GET", "HEAD"):
            change(asked, said, sending)
        return said, sending

    return answer


@every_provider
@every_read
async def test_part_for_the_whole(
    provider: str, read: Callable[[Storage, Path], Awaitable[bytes]], tmp_path: Path
) -> None:
    """
    A part of the object in reply to a read of all of it is never taken for all of it.
    """

    def half(asked: Asked, said: Said, sending: Sending) -> None:
        if asked.method == "GET":
            said.status, said.body = 206, DATA[:100]
            said.headers |= {"Content-Range": f"bytes 0-99/{len(DATA)}", "Content-Length": "100"}

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = _changed(server, half)
        with pytest.raises(StorageError):
            await read(storage, tmp_path)


@every_provider
async def test_other_part_than_requested(provider: str) -> None:
    """
    Another part of the object than the requested one is an error.
    """

    def later(asked: Asked, said: Said, sending: Sending) -> None:
        said.body = DATA[200:300]
        said.headers["Content-Range"] = f"bytes 200-299/{len(DATA)}"

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = _changed(server, later)
        with pytest.raises(UnavailableError):
            await storage.read(storage.root / "t" / "k", options=ReadOptions(range=ByteRange(100, 200)))


def _ignore_range(asked: Asked, said: Said, sending: Sending) -> None:
    said.status, said.body = 200, DATA
    said.headers.pop("Content-Range", None)
    said.headers.pop("Content-Length", None)


#: Large enough to be downloaded in parts.
LARGE: Final = Content(bytes(range(256)) * (6 * MiB // 256), "33")


@every_provider
async def test_download_from_a_server_without_ranges(provider: str, tmp_path: Path) -> None:
    """
    A server that sends the whole object in reply to a range is noticed at once, and then sends it once.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        said = server.good(asked, LARGE)
        if said.status == 206:
            said.status, said.body = 200, LARGE.data
            said.headers.pop("Content-Range")
        return said, Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        assert LARGE.data == await _download(storage, tmp_path)
        assert 1 == sum(1 for asked in server.asked if asked.range_of(1))
        assert "ranges" in storage.describe()["narrowed"]
        assert not storage.capabilities.ranges

        server.asked.clear()
        assert LARGE.data == await _download(storage, tmp_path)
        assert not [asked for asked in server.asked if asked.range_of(1)]

        server.asked.clear()
        ranges = [ByteRange(0, 10), ByteRange(2 * MiB, 2 * MiB + 10), ByteRange(-10)]
        expected = [LARGE.data[:10], LARGE.data[2 * MiB : 2 * MiB + 10], LARGE.data[-10:]]
        assert expected == await storage.read_ranges(storage.root / "t" / "k", ranges)
        assert sum(1 for asked in server.asked if asked.range_of(1)) <= 2


def _chunk(asked: Asked, said: Said, sending: Sending) -> None:
    sending.framing = "chunked"


@every_provider
@every_read
@pytest.mark.parametrize("cut", [None, 100])
async def test_ranges_without_a_length(
    provider: str, read: Callable[[Storage, Path], Awaitable[bytes]], tmp_path: Path, cut: int | None
) -> None:
    """
    Chunked parts of an object are read by their Content-Range; one that is cut is never taken for whole.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        said, sending = server.good(asked, LARGE), Sending()
        if said.status == 206:
            sending.framing, sending.cut = "chunked", cut
        return said, sending

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        if cut is None or read is not _download:
            assert LARGE.data == await read(storage, tmp_path)
        else:
            with pytest.raises(StorageError):
                await read(storage, tmp_path)
        part = ReadOptions(range=ByteRange(5, 50))
        if cut is None:
            assert LARGE.data[5:50] == await storage.read(storage.root / "t" / "k", options=part)
        else:
            with pytest.raises(UnavailableError):
                await storage.read(storage.root / "t" / "k", options=part)


def _open_size(asked: Asked, said: Said, sending: Sending) -> None:
    if "Content-Range" in said.headers:
        said.headers["Content-Range"] = said.headers["Content-Range"].rpartition("/")[0] + "/*"


@every_provider
@every_read
async def test_ranges_of_an_object_whose_size_is_left_open(
    provider: str, read: Callable[[Storage, Path], Awaitable[bytes]], tmp_path: Path
) -> None:
    """
    A reply to a range need not say how long the object is: https://www.rfc-editor.org/rfc/rfc9110#section-14.4.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        said, sending = server.good(asked, LARGE), Sending()
        _open_size(asked, said, sending)
        return said, sending

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        key = storage.root / "t" / "k"
        assert LARGE.data == await read(storage, tmp_path)
        assert LARGE.data[5:50] == await storage.read(key, range=(5, 50))
        ranges = [ByteRange(0, 10), ByteRange(2 * MiB, 2 * MiB + 10)]
        assert [LARGE.data[part.start : part.end] for part in ranges] == await storage.read_ranges(key, ranges)


@pytest.mark.parametrize(
    "wanted", [ByteRange(-5), ByteRange(5), ByteRange(5, 10 * MiB)], ids=["suffix", "open", "long"]
)
async def test_end_that_is_left_open(wanted: ByteRange) -> None:
    """
    Without the size, nothing tells whether a range without an end is complete, nor one that is shorter than requested.
    """
    async with serving("s3") as server, opened("s3", server.url) as storage:
        server.answer = _changed(server, _open_size)
        with pytest.raises(UnavailableError, match="whose length it does not say"):
            await storage.read(storage.root / "t" / "k", range=wanted)

    assert 1 == len(server.asked)


# GitHub states the size of an asset beside it.
sized_elsewhere = pytest.mark.parametrize("provider", [name for name in STORAGES if name != "github"])


@sized_elsewhere
@every_read
async def test_unknown_length(provider: str, read: Callable[[Storage, Path], Awaitable[bytes]], tmp_path: Path) -> None:
    """
    An object whose reply is chunked, without a length, is read to its end.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = _changed(server, _chunk)
        assert DATA == await read(storage, tmp_path)


@sized_elsewhere
@every_read
async def test_unknown_length_cut_short(
    provider: str, read: Callable[[Storage, Path], Awaitable[bytes]], tmp_path: Path
) -> None:
    """
    A chunked reply without its end is an error.
    """

    def cut(asked: Asked, said: Said, sending: Sending) -> None:
        sending.framing, sending.cut = "chunked", 0

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = _changed(server, cut)
        with pytest.raises(UnavailableError):
            await read(storage, tmp_path)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("provider", ["s3", "gcs", "oci"])
@every_read
async def test_unknown_length_is_verified(
    provider: str, read: Callable[[Storage, Path], Awaitable[bytes]], tmp_path: Path
) -> None:
    """
    A chunked reply with the checksum of other bytes is an error.
    """

    def corrupt(asked: Asked, said: Said, sending: Sending) -> None:
        sending.framing = "chunked"
        said.body = b"x" + said.body[1:]

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = _changed(server, corrupt)
        with pytest.raises(IntegrityError):
            await read(storage, tmp_path)


@pytest.mark.parametrize("provider", ["s3", "azure", "oci"])
async def test_metadata_without_a_length(provider: str) -> None:
    """
    A stat whose reply names no length returns the rest of the metadata.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = _changed(server, _chunk)
        info = await storage.stat(storage.root / "t" / "k")

    assert UNKNOWN == info.size
    assert CONTENTS[0].etag == info.etag


@every_provider
async def test_read_goes_on_where_it_broke(provider: str) -> None:
    """
    A connection that breaks again and again delivers the object as long as bytes arrive, each of them once.
    """

    def stop(asked: Asked, said: Said, sending: Sending) -> None:
        sending.cut = min(200, len(said.body))

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = _changed(server, stop)
        assert DATA == await _read(storage, Path())
        starts = [part[0] for asked in server.asked if (part := asked.range_of(len(DATA))) is not None]

    assert list(range(200, len(DATA), 200)) == starts


@pytest.mark.parametrize("provider", ["s3", "azure"])
async def test_weak_etag(provider: str, tmp_path: Path) -> None:
    """
    A weak ETag pins the parts of a download by comparison, and is never sent in If-Match.
    """

    def answer(asked: Asked) -> tuple[Said, Sending]:
        said = server.good(asked, LARGE)
        said.headers["ETag"] = f'W/"{LARGE.etag}"'
        return said, Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = answer
        assert LARGE.data == await _download(storage, tmp_path)
        info = await storage.stat(storage.root / "t" / "k")

    assert f'W/"{LARGE.etag}"' == info.etag
    assert [asked for asked in server.asked if asked.range_of(len(LARGE.data))]
    assert not [asked for asked in server.asked if "if-match" in asked.headers]


@every_provider
async def test_write_to_what_is_no_store(provider: str) -> None:
    """
    A web page in reply to a write is no success, and nor is one in reply to a read.
    """

    def page(asked: Asked) -> tuple[Said, Sending]:
        body = b"" if asked.method == "HEAD" else b"<html>Welcome</html>"
        return Said(200, {"Content-Type": "text/html"}, body), Sending()

    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = page
        key = storage.root / "t" / "k"
        for verb in (storage.put(key, b"data"), storage.read(key), storage.stat(key), storage.delete(key)):
            with pytest.raises(StorageError):
                await verb


NEWER: Final = Content(LARGE.data[::-1], "44")


def _versions(asked: Asked) -> Content:
    return NEWER if asked.range_of(10) else LARGE


# The bytes of a GitHub asset never change: another version has another id.
@sized_elsewhere
async def test_other_version_behind_the_same_key(provider: str, tmp_path: Path) -> None:
    """
    Parts of two versions are never put together.
    """
    async with serving(provider) as server, opened(provider, server.url) as storage:
        server.answer = lambda asked: (server.good(asked, _versions(asked)), Sending())
        try:
            data = await _download(storage, tmp_path)
        except StorageError:
            return
    assert data in (LARGE.data, NEWER.data)

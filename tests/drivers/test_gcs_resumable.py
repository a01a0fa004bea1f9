"""
Resumable uploads: wherever one is interrupted, the next attempt goes on from what the server has.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncstore import MiB, UploadOptions, open_storage
from asyncstore.auth.tokens import Secret
from asyncstore.body import Body, BytesBody, BytesLike
from asyncstore.checksum import compute
from asyncstore.drivers.gcs.resumable import ResumableUpload, ResumableUploads
from asyncstore.errors import (
    AlreadyExistsError,
    IntegrityError,
    NotFoundError,
    PreconditionFailedError,
    UnavailableError,
)
from asyncstore.options import ReadOptions, WriteOptions
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.servers.faults import Fault
from asyncstore.types import Checksum, ChecksumAlgorithm, ObjectInfo
from asyncstore.uri import parse_uri
from tests.drivers.gcs_places import Cut, opened, serving

URI = parse_uri("gs://bucket/some key")
SIZE = 2 * MiB + 77
QUANTUM = 256 * 1024
PLAIN = WriteOptions()
READ = ReadOptions()
SINGLE = UploadOptions(multipart_threshold=1 << 40)
SMALL: dict[str, Any] = {"resumable_threshold": 1}


class Chunked(Body):
    """Bytes that come in chunks, as those of a file do, and count how often they were read."""

    def __init__(self, data: bytes) -> None:
        self._bytes = data
        self.size = len(data)
        self.readings = 0

    async def chunks(self) -> AsyncIterator[BytesLike]:
        self.readings += 1
        for start in range(0, self.size, 100_000):
            yield self._bytes[start : start + 100_000]

    def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum:
        return compute(algorithm, self._bytes)


async def stored(driver: Any) -> bytes:
    body = await driver.open_read(URI, READ)
    try:
        return bytes(await body.read())
    finally:
        await body.aclose()


@pytest.mark.parametrize("kind", [BytesBody, Chunked])
@pytest.mark.parametrize(
    "after", [0, 1, QUANTUM - 1, QUANTUM, QUANTUM + 1, MiB, 2 * MiB, SIZE - 1], ids=lambda size: f"after-{size}"
)
async def test_goes_on_where_it_broke(after: int, kind: type[BytesBody | Chunked]) -> None:
    """
    Another attempt with the same body sends what the server does not have, and nothing else.
    """
    data = payload(SIZE)
    body = kind(data)
    async with serving() as (server, _), Cut(server.port, [after]) as cut, opened(cut.url, **SMALL) as driver:
        with pytest.raises(UnavailableError) as failure:
            await driver.put(URI, body, PLAIN)
        info = await driver.put(URI, body, PLAIN)

        assert failure.value.retryable
        assert await stored(driver) == data
        assert info.checksum == compute(ChecksumAlgorithm.CRC32C, data)
    starts = [
        request for request in server.requests if "uploadType=resumable" in request.path and request.method == "POST"
    ]
    kept = after // QUANTUM * QUANTUM
    assert len(starts) == 1
    assert cut.sent == [after, SIZE - kept]


async def test_engine_goes_on_again_and_again() -> None:
    """
    A storage's own retries use the session: of many interruptions, none sends what has arrived.
    """
    data = payload(4 * MiB + 5)
    after = [MiB, 3, 700_000, 0, MiB + 1]
    async with serving() as (server, _), Cut(server.port, after) as cut:
        storage = open_storage(
            "gs://bucket", endpoint_url=cut.url, anonymous=True, resumable_threshold=MiB, initial_backoff=0.001
        )
        async with storage:
            await storage.put(storage.root / "key", data, options=SINGLE)

            assert await storage.read(storage.root / "key") == data
    assert sum(cut.sent) < len(data) + len(after) * QUANTUM
    assert len(cut.sent) == len(after) + 1


async def test_lost_reply_to_the_last_byte() -> None:
    """
    If all had arrived and only the answer was lost, the object is found and nothing is sent again.
    """
    async with serving(**SMALL) as (server, driver):
        lost = server.inject(Fault(method="PUT", status=None, after_work=True))
        body = BytesBody(payload(SIZE))
        with pytest.raises(UnavailableError):
            await driver.put(URI, body, WriteOptions(if_none_match="*"))

        info = await driver.put(URI, body, WriteOptions(if_none_match="*"))

        assert lost.met == 1
        assert info.etag == (await driver.stat(URI, READ)).etag
        queries = [request for request in server.requests if request.headers.get("content-range") == f"bytes */{SIZE}"]
        assert len(queries) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_refused_for_the_moment(status: int) -> None:
    """
    A server in trouble keeps the session too.
    """
    async with serving(**SMALL) as (server, driver):
        server.inject(Fault(method="PUT", status=status, times=2))
        body = BytesBody(payload(SIZE))
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await driver.put(URI, body, PLAIN)

        await driver.put(URI, body, PLAIN)

        assert await stored(driver) == payload(SIZE)
        assert sum(request.method == "POST" for request in server.requests) == 1


async def test_session_that_ended_is_begun_anew() -> None:
    """
    Where the server has given up the session, a later attempt starts from the beginning.
    """
    async with serving(**SMALL) as (server, driver):
        body = BytesBody(payload(SIZE))
        server.inject(Fault(method="PUT", status=503))
        with pytest.raises(UnavailableError):
            await driver.put(URI, body, PLAIN)
        server.inject(Fault(method="PUT", status=410))
        with pytest.raises(UnavailableError) as failure:
            await driver.put(URI, body, PLAIN)

        await driver.put(URI, body, PLAIN)

        assert failure.value.retryable
        assert await stored(driver) == payload(SIZE)


async def test_other_body_has_its_own_session() -> None:
    """
    What another body left behind is not gone on with.
    """
    async with serving(**SMALL) as (server, driver):
        server.inject(Fault(method="PUT", status=503))
        with pytest.raises(UnavailableError):
            await driver.put(URI, BytesBody(b"a" * SIZE), PLAIN)

        await driver.put(URI, BytesBody(b"b" * SIZE), PLAIN)

        assert await stored(driver) == b"b" * SIZE


async def test_sessions_are_forgotten_with_their_bodies() -> None:
    """
    An upload that nobody will try again is not remembered.
    """
    async with serving(**SMALL) as (server, driver):
        server.inject(Fault(method="PUT", status=503))
        with pytest.raises(UnavailableError):
            await driver.put(URI, BytesBody(payload(SIZE)), PLAIN)
        gc.collect()

        assert isinstance(driver._resumable, ResumableUploads)
        assert len(driver._resumable._sessions) == 0


async def test_cancelled_upload_shows_nothing() -> None:
    """
    Cancelled in the middle, there is no object and no connection under way.
    """
    async with serving() as (server, plain), opened(server.url, **SMALL) as driver:
        server.inject(Fault(method="PUT", delay=30))
        task = asyncio.ensure_future(driver.put(URI, BytesBody(payload(SIZE)), PLAIN))
        while not any(request.method == "PUT" for request in server.requests):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        with pytest.raises(NotFoundError):
            await plain.stat(URI, READ)


async def test_conditions_hold_at_the_end() -> None:
    """
    A session is under the conditions of its start.
    """
    async with serving(**SMALL) as (_, driver):
        first = await driver.put(URI, BytesBody(b"one"), WriteOptions(if_none_match="*"))
        with pytest.raises(AlreadyExistsError):
            await driver.put(URI, BytesBody(b"two"), WriteOptions(if_none_match="*"))
        await driver.put(URI, BytesBody(b"two"), WriteOptions(if_match=first.etag))
        with pytest.raises(PreconditionFailedError):
            await driver.put(URI, BytesBody(b"three"), WriteOptions(if_match=first.etag))

        assert await stored(driver) == b"two"


async def test_changed_bytes_are_refused() -> None:
    """
    GCS compares the checksum that was given at the start.
    """

    class Changed(Chunked):
        def checksum(self, algorithm: ChecksumAlgorithm) -> Checksum:
            return compute(algorithm, b"something else")

    async with serving(**SMALL) as (_, driver):
        with pytest.raises(IntegrityError):
            await driver.put(URI, Changed(payload(SIZE)), PLAIN)

        with pytest.raises(NotFoundError):
            await driver.stat(URI, READ)


async def test_empty_object() -> None:
    """
    A session can bring nothing at all.
    """
    async with serving(resumable_threshold=1) as (_, driver):
        upload = await ResumableUpload.begin(driver._wire, driver._settings, URI, BytesBody(b""), PLAIN)

        info = await upload.send(BytesBody(b""), 0)

        assert info.size == 0
        assert await stored(driver) == b""


async def test_status_and_cancel() -> None:
    """
    A session tells how much has arrived, and ends when it is told to, twice if need be.
    """
    async with serving(**SMALL) as (server, plain):
        body = BytesBody(payload(SIZE))
        async with Cut(server.port, [MiB]) as cut, opened(cut.url) as driver:
            upload = await ResumableUpload.begin(driver._wire, driver._settings, URI, body, PLAIN)
            assert await upload.status() == 0
            with pytest.raises(UnavailableError):
                await upload.send(body, 0)
            assert await upload.status() == MiB
            await upload.cancel()
            await upload.cancel()
            with pytest.raises(NotFoundError):
                await upload.status()

        with pytest.raises(NotFoundError):
            await plain.stat(URI, READ)


async def test_session_address_is_a_secret() -> None:
    """
    Whoever has the address can write; it is in no text that people read.
    """
    async with serving(**SMALL) as (server, driver):
        upload = await ResumableUpload.begin(driver._wire, driver._settings, URI, BytesBody(b"data"), PLAIN)
        server.inject(Fault(method="PUT", status=None))
        with pytest.raises(UnavailableError) as failure:
            await upload.send(BytesBody(b"data"), 0)

        address = next(iter(server.world.sessions))
        assert isinstance(upload._session, Secret)
        assert address in upload._session.reveal()
        assert address not in f"{upload!r}{vars(upload)}{failure.value!r}{failure.value}"


async def test_answer_cannot_redirect_the_bytes() -> None:
    """
    Of the address in the reply only the path is taken: bytes and token go to the storage's own server.
    """
    async with serving(**SMALL) as (server, driver), serving() as (other, _):
        location = {"Location": f"{other.url}/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id=x"}
        server.inject(Fault(method="POST", status=200, headers=location))
        with pytest.raises((UnavailableError, NotFoundError)):
            await driver.put(URI, BytesBody(b"data"), PLAIN)

        assert other.requests == []


async def test_info_of_a_resumed_upload() -> None:
    """
    The record that comes back is the object's.
    """
    async with serving(**SMALL) as (_, driver):
        info = await driver.put(URI, BytesBody(payload(SIZE)), WriteOptions(metadata={"a": "é"}, content_type="x/y"))
        found = await driver.stat(URI, READ)

        assert isinstance(info, ObjectInfo)
        assert (info.etag, info.size, info.version_id) == (found.etag, SIZE, found.version_id)
        assert (found.metadata, found.content_type) == ({"a": "é"}, "x/y")

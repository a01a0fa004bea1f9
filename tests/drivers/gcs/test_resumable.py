"""
Resumable uploads: wherever one is interrupted, the next attempt sends only what the server does not have.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncstore import MiB, UploadOptions, open_storage
from asyncstore.auth.tokens import Secret
from asyncstore.checksum import compute
from asyncstore.driver.body import Body, BytesBody, BytesLike
from asyncstore.drivers.gcs.writing import ResumableUpload, Writes
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
from tests.drivers.gcs.places import Cut, opened, serving

URI = parse_uri("gs://bucket/some key")
SIZE = 2 * MiB + 77
QUANTUM = 256 * 1024
PLAIN = WriteOptions()
READ = ReadOptions()
SINGLE = UploadOptions(multipart_threshold=1 << 40)
SMALL: dict[str, Any] = {"resumable_threshold": 1}


class Chunked(Body):
    """Bytes in chunks, like those of a file; counts how often they were read."""

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
async def test_resumes_where_it_broke(after: int, kind: type[BytesBody | Chunked]) -> None:
    """
    Another attempt with the same body sends the bytes that the server does not have, and no others.
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


async def test_engine_resumes_after_every_interruption() -> None:
    """
    Retries of a storage use the session: after each interruption only missing bytes are sent.
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
    If only the reply was lost, the next attempt finds the object and sends no bytes again.
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
async def test_passing_fault_keeps_the_session(status: int) -> None:
    """
    A session survives 429 and 5xx replies.
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


async def test_ended_session_is_replaced() -> None:
    """
    After the server ended the session, the next attempt starts a new one from the first byte.
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
    A body does not resume the session of another one.
    """
    async with serving(**SMALL) as (server, driver):
        server.inject(Fault(method="PUT", status=503))
        with pytest.raises(UnavailableError):
            await driver.put(URI, BytesBody(b"a" * SIZE), PLAIN)

        await driver.put(URI, BytesBody(b"b" * SIZE), PLAIN)

        assert await stored(driver) == b"b" * SIZE


async def test_sessions_are_forgotten_with_their_bodies() -> None:
    """
    The session of an upload is forgotten when its body no longer exists.
    """
    async with serving(**SMALL) as (server, driver):
        server.inject(Fault(method="PUT", status=503))
        with pytest.raises(UnavailableError):
            await driver.put(URI, BytesBody(payload(SIZE)), PLAIN)
        gc.collect()

        assert isinstance(driver, Writes)
        assert len(driver._sessions) == 0


async def test_cancelled_upload_creates_no_object() -> None:
    """
    An upload that is cancelled in the middle leaves no object.
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
    The conditions from the start of a session apply to the finished object.
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
    GCS verifies the checksum that was sent at the start.
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
    A session can write an empty object.
    """
    async with serving(resumable_threshold=1) as (_, driver):
        upload = await ResumableUpload.begin(driver._wire, driver._settings, URI, BytesBody(b""), PLAIN)

        info = await upload.send(BytesBody(b""), 0)

        assert info.size == 0
        assert await stored(driver) == b""


async def test_status_and_cancel() -> None:
    """
    A session reports how many bytes have arrived; cancelling it twice is not an error.
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


async def test_session_url_is_a_secret() -> None:
    """
    The URL of a session allows writing without a token, so no repr and no error shows it.
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


async def test_reply_cannot_redirect_the_bytes() -> None:
    """
    Only the path of the session URL is used: bytes and token go to the storage's own endpoint.
    """
    async with serving(**SMALL) as (server, driver), serving() as (other, _):
        location = {"Location": f"{other.url}/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id=x"}
        server.inject(Fault(method="POST", status=200, headers=location))
        with pytest.raises((UnavailableError, NotFoundError)):
            await driver.put(URI, BytesBody(b"data"), PLAIN)

        assert other.requests == []


async def test_info_of_a_resumed_upload() -> None:
    """
    The upload returns the record of the stored object.
    """
    async with serving(**SMALL) as (_, driver):
        info = await driver.put(URI, BytesBody(payload(SIZE)), WriteOptions(metadata={"a": "é"}, content_type="x/y"))
        found = await driver.stat(URI, READ)

        assert isinstance(info, ObjectInfo)
        assert (info.etag, info.size, info.version_id) == (found.etag, SIZE, found.version_id)
        assert (found.metadata, found.content_type) == ({"a": "é"}, "x/y")

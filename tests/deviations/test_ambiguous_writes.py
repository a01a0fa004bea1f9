"""
Replies to writes that do not tell whether the write was carried out.

https://www.rfc-editor.org/rfc/rfc9110#section-15.6, and of Azure's 500 OperationTimedOut: "may or may not have
succeeded on the server side", https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncstore import AlreadyExistsError, StorageError, UploadOptions
from asyncstore.errors import UnavailableError
from asyncstore.options import MiB
from tests.deviations.one_object import PROVIDERS, Service, opened, serving
from tests.servers.scripted import Exchange, reply, scripted

CREATE: Final = UploadOptions(if_none_match="*")
DATA: Final = b"held by nobody in particular"

#: A broken connection, and what services and gateways answer.
UNKNOWN: Final[Mapping[str, tuple[int, str] | None]] = {
    "none": None,
    "500": (500, ""),
    "502": (502, ""),
    "503": (503, ""),
    "504": (504, ""),
}
_OUTCOMES = pytest.mark.parametrize("outcome", UNKNOWN.values(), ids=UNKNOWN)
_EVERYWHERE = pytest.mark.parametrize("provider", PROVIDERS)


@_EVERYWHERE
@_OUTCOMES
async def test_creation_that_was_carried_out(provider: str, outcome: tuple[int, str] | None) -> None:
    """
    The object is found to be our own, and the write succeeds.
    """
    service = Service(provider, [outcome])
    async with serving(service) as storage:
        info = await storage.put(storage.root / "key", DATA, options=CREATE)

    assert (len(DATA), 2, 1) == (info.size, service.writes, service.looks)


@_EVERYWHERE
@_OUTCOMES
@pytest.mark.parametrize("age", [5, 120])
async def test_object_of_another_program(provider: str, outcome: tuple[int, str] | None, age: float) -> None:
    """
    An object of the same bytes that is older than our write is not ours: only one program holds the lock.
    """
    service = Service(provider, [outcome], carried_out=False, data=DATA, written=time.time() - age)
    async with serving(service) as storage:
        with pytest.raises(AlreadyExistsError):
            await storage.put(storage.root / "key", DATA, options=CREATE)


@_EVERYWHERE
@pytest.mark.parametrize("skew", [-600, 600])
async def test_clock_of_the_service(provider: str, skew: float) -> None:
    """
    Ages are taken by the service's clock, which may differ from ours.
    """
    ours = Service(provider, [None], skew=skew)
    async with serving(ours) as storage:
        await storage.put(storage.root / "key", DATA, options=CREATE)
    theirs = Service(provider, [None], carried_out=False, data=DATA, written=time.time() - 10, skew=skew)
    async with serving(theirs) as storage:
        with pytest.raises(AlreadyExistsError):
            await storage.put(storage.root / "key", DATA, options=CREATE)


@_EVERYWHERE
async def test_other_bytes_are_not_ours(provider: str) -> None:
    """
    An object written at the same time with other bytes is another program's.
    """
    service = Service(provider, [None], carried_out=False, data=DATA[::-1], written=time.time() + 1)
    async with serving(service) as storage:
        with pytest.raises(AlreadyExistsError):
            await storage.put(storage.root / "key", DATA, options=CREATE)


@_EVERYWHERE
@_OUTCOMES
async def test_last_attempt(provider: str, outcome: tuple[int, str] | None) -> None:
    """
    One look follows the last attempt of all; without our object, the error of the attempt is raised.
    """
    service = Service(provider, [outcome])
    async with serving(service, attempts=1) as storage:
        assert len(DATA) == (await storage.put(storage.root / "key", DATA, options=CREATE)).size
    nothing = Service(provider, [outcome], carried_out=False)
    async with serving(nothing, attempts=1) as storage:
        with pytest.raises(UnavailableError):
            await storage.put(storage.root / "key", DATA, options=CREATE)

    assert [1, 1] == [service.looks, nothing.looks]


async def test_throttling_is_not_ambiguous() -> None:
    """
    A request that the service turned away was not carried out, so a refusal that follows is final.
    """
    service = Service("s3", [(503, "SlowDown")], carried_out=False, data=DATA, written=time.time() + 1)
    async with serving(service) as storage:
        with pytest.raises(AlreadyExistsError):
            await storage.put(storage.root / "key", DATA, options=CREATE)

    assert 0 == service.looks


@pytest.mark.parametrize("provider", [*PROVIDERS, "github"])
async def test_connection_that_is_refused(provider: str) -> None:
    """
    What could not be sent was not carried out.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with opened(provider, f"http://127.0.0.1:{port}", attempts=1) as storage:
        with pytest.raises(UnavailableError) as failure:
            await storage.put(storage.root / "tag/key", DATA)

    assert (False, False) == (failure.value.sent, failure.value.ambiguous)


class Completions:
    """
    S3, which carries out every completion and answers the first ones with *answers*.
    """

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.parts: dict[int, bytes] = {}
        self.data: bytes | None = None
        self.aborted = 0

    async def answer(self, exchange: Exchange) -> None:
        body = await exchange.body()
        query = parse_qs(urlsplit(exchange.target).query, keep_blank_values=True)
        if "uploads" in query:
            started = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
            await exchange.send(reply(200, started))
        elif exchange.method == "PUT":
            self.parts[int(query["partNumber"][0])] = body
            await exchange.send(reply(200, ETag='"part"'))
        elif exchange.method == "POST":
            await self._complete(exchange)
        elif exchange.method == "DELETE":
            self.aborted += 1
            await exchange.send(reply(204))
        elif "uploadId" in query:
            await exchange.send(_error(404, "NoSuchUpload"))
        elif self.data is None:
            await exchange.send(reply(404))
        else:
            now = formatdate(usegmt=True)
            found = reply(200, ETag='"object-2"', Last_Modified=now, Date=now)
            await exchange.send(found.replace(b"Content-Length: 0", f"Content-Length: {len(self.data)}".encode(), 1))

    async def _complete(self, exchange: Exchange) -> None:
        if self.data is None:
            self.data = b"".join(self.parts[number] for number in sorted(self.parts))
        answer = self.answers.pop(0) if self.answers else _error(404, "NoSuchUpload")
        if answer is None:
            exchange.writer.close()
            raise EOFError
        await exchange.send(answer)


def _error(status: int, code: str) -> bytes:
    return reply(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


@pytest.mark.parametrize(
    "answer",
    [None, reply(504, b"<html>"), _error(500, "InternalError"), _error(200, "InternalError"), reply(200, b"<html>")],
    ids=["none", "504", "500", "200 with an error", "200 with something else"],
)
@pytest.mark.parametrize("attempts", [1, 6])
async def test_completion_that_was_carried_out(answer: bytes | None, attempts: int) -> None:
    """
    The upload is gone and the object is there: it was completed, and nothing is aborted.

    S3 may answer a completion with 200 and an error in it:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    service = Completions(answer)
    data = bytes(5 * MiB + 1)
    options = UploadOptions(part_size=5 * MiB, multipart_threshold=5 * MiB)
    async with scripted(service.answer) as server, opened("s3", server.url, attempts=attempts) as storage:
        info = await storage.put(storage.root / "key", data, options=options)

    assert (len(data), True, 0) == (info.size, service.data == data, service.aborted)


async def test_upload_that_another_program_aborted() -> None:
    """
    Without an object, an upload that is gone was not completed.
    """
    service = Completions(_error(404, "NoSuchUpload"))
    async with scripted(service.answer) as server, opened("s3", server.url) as storage:
        target = storage.root / "key"
        upload = await storage.initiate_multipart_upload(target)
        part = await storage.upload_part(target, upload, 1, DATA)
        with pytest.raises(StorageError) as failure:
            await storage.complete_multipart_upload(target, upload, [part])

    assert "NoSuchUpload" == failure.value.code


@pytest.mark.parametrize("status", [404, 410])
async def test_session_that_ends_while_bytes_are_sent(status: int) -> None:
    """
    GCS has lost the session, so the next attempt begins a new one.

    https://cloud.google.com/storage/docs/performing-resumable-uploads
    """
    sessions = 0

    async def answer(exchange: Exchange) -> None:
        nonlocal sessions
        body = await exchange.body()
        if exchange.method == "POST":
            sessions += 1
            place = f"{server.url}/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id={sessions}"
            await exchange.send(reply(200, Location=place))
        elif sessions == 1:
            lost = b'{"error": {"code": 503, "errors": [{"reason": "backendError"}]}}'
            await exchange.send(reply(status, lost if status == 410 else b""))
        else:
            found = f'{{"name": "key", "bucket": "bucket", "generation": "1", "size": "{len(body)}"}}'
            await exchange.send(reply(200, found.encode()))

    settings = {"resumable_threshold": 1, "checksum": None}
    async with scripted(answer) as server, opened("gcs", server.url, **settings) as storage:
        info = await storage.put(storage.root / "key", DATA)

    assert (len(DATA), 2) == (info.size, sessions)

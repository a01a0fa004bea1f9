"""
Replies to batch deletions whose parts do not all say which request they answer.

Azure omits the Content-ID of some errors (pgbackrest/pgbackrest#2786), and answers a batch that it refuses as a whole
with one part (Azure/azure-sdk-for-net#20196, pgbackrest/pgbackrest#2849).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from asyncstore import Storage, open_storage
from asyncstore.types import BulkResult
from tests.servers.scripted import Exchange, reply, scripted

KEYS: Final = ("a", "b", "c")


@dataclass(frozen=True)
class Part:
    """
    One part of a reply.

    Attributes:
        number: That of the request it answers, in its Content-ID; ``None`` for no Content-ID.
    """

    status: int
    number: int | None = None
    code: str = ""


DENIED: Final = Part(409, code="BlobImmutableDueToPolicy")
MALFORMED: Final = Part(400, code="InvalidInput")


def azure_body(parts: Sequence[Part]) -> bytes:
    text = ""
    for part in parts:
        content_id = "" if part.number is None else f"Content-ID: {part.number}\r\n"
        xml = f"<Error><Code>{part.code}</Code><Message>no</Message></Error>" if part.code else ""
        head = f"--limit\r\nContent-Type: application/http\r\n{content_id}\r\n"
        text += f"{head}HTTP/1.1 {part.status} Said\r\n\r\n{xml}\r\n"
    return f"{text}--limit--\r\n".encode()


def gcs_body(parts: Sequence[Part]) -> bytes:
    text = ""
    for part in parts:
        content_id = "" if part.number is None else f"Content-ID: <response-item{part.number}>\r\n"
        status = 403 if part.code else 204
        text += f"--limit\r\nContent-Type: application/http\r\n{content_id}\r\nHTTP/1.1 {status} Said\r\n\r\n\r\n"
    return f"{text}--limit--\r\n".encode()


class Service:
    """
    Answers batches with *parts*, and deletions of single objects with success.

    Attributes:
        batches: Batches received.
        deleted: Keys that were deleted by a request of their own.
    """

    def __init__(self, provider: str, parts: Sequence[Part]) -> None:
        self.batches = 0
        self.deleted: list[str] = []
        self._body = (azure_body if provider == "azure" else gcs_body)(parts)

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.body()
        if exchange.method == "DELETE":
            self.deleted.append(exchange.target.partition("?")[0][-1])
            await exchange.send(reply(202))
        else:
            self.batches += 1
            await exchange.send(reply(202, self._body, Content_Type="multipart/mixed; boundary=limit"))


def opened(provider: str, url: str) -> Storage:
    if provider == "azure":
        return open_storage("azure://container", endpoint_url=f"{url}/acct", account_key="ZmFrZS1rZXk=")
    return open_storage("gs://bucket", endpoint_url=url, anonymous=True)


async def outcomes(provider: str, parts: Sequence[Part]) -> tuple[list[bool], Service, BulkResult]:
    service = Service(provider, parts)
    async with scripted(service) as server, opened(provider, server.url) as storage:
        result = await storage.bulk_delete([storage.root / key for key in KEYS])
    by_key = {outcome.source.key: outcome.error is None for outcome in result.outcomes}  # type: ignore[union-attr]
    return [by_key[key] for key in KEYS], service, result


@pytest.mark.parametrize("provider", ["azure", "gcs"])
async def test_no_part_says_which(provider: str) -> None:
    """
    Where there is a part for each request, and none says which it answers, they are in order.
    """
    done, service, _ = await outcomes(provider, [Part(202), DENIED, Part(202)])

    assert (done, service.batches, service.deleted) == ([True, False, True], 1, [])


@pytest.mark.parametrize(
    ("parts", "done"),
    [
        ([Part(202, 0), DENIED, Part(202, 2)], [True, False, True]),
        ([DENIED, DENIED, Part(202, 2)], [False, False, True]),
        ([Part(202, 2), Part(202, 0), DENIED], [True, False, True]),
    ],
    ids=["one", "two in their places", "the one that is left"],
)
async def test_some_parts_do_not_say_which(parts: list[Part], done: list[bool]) -> None:
    """
    A part without a Content-ID answers the request of its place, or the only one that is left.
    """
    found, service, result = await outcomes("azure", parts)

    assert (found, service.batches, service.deleted) == (done, 1, [])
    assert {outcome.error.code for outcome in result.outcomes if outcome.error} == {"BlobImmutableDueToPolicy"}


@pytest.mark.parametrize("provider", ["azure", "gcs"])
@pytest.mark.parametrize(
    ("parts", "alone"),
    [
        ([Part(202, 0), Part(202, 1)], ["c"]),
        ([Part(202, 0), DENIED], ["b", "c"]),
        ([Part(202, 2), DENIED, Part(202)], ["a", "b"]),
        ([Part(202)], ["a", "b", "c"]),
        ([], ["a", "b", "c"]),
    ],
    ids=["left out", "one of two", "out of order", "one success", "none"],
)
async def test_what_the_reply_does_not_prove(provider: str, parts: list[Part], alone: list[str]) -> None:
    """
    An object of which the reply does not say what became of it is deleted by a request of its own.
    """
    done, service, _ = await outcomes(provider, parts)

    assert (done, service.batches, service.deleted) == ([True, True, True], 1, alone)


async def test_batch_is_refused_as_a_whole() -> None:
    """
    One error for the whole batch is that of each object.
    """
    done, service, result = await outcomes("azure", [DENIED])

    assert (done, service.batches, service.deleted) == ([False] * 3, 1, [])
    assert [outcome.error and outcome.error.code for outcome in result.outcomes] == ["BlobImmutableDueToPolicy"] * 3


async def test_batch_cannot_be_parsed() -> None:
    """
    If the service cannot parse a batch, which one request can cause, the others are still deleted.
    """
    done, service, _ = await outcomes("azure", [MALFORMED])

    assert (done, service.batches, service.deleted) == ([True] * 3, 1, list(KEYS))

"""
Copies whose size is not that of their source: the source of a move is not deleted.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from asyncstore import IntegrityError, Storage, open_storage
from tests.deviations.server import STORAGES
from tests.servers.scripted import Exchange, Scripted, reply, scripted

_HEADERS: Final = {"ETag": '"opaque-1"', "Last-Modified": "Mon, 02 Jan 2023 03:04:05 GMT"}
_SOURCE: Final = 5


class Copier:
    """
    A service of one provider, all objects of which are named "source" or "target".

    Attributes:
        told: The size that it says of the copy in its reply to the copy, or in the look that belongs to a copy.
        found: The size that a later look finds.
        deleted: How many deletions arrived.
        looks: How many looks at the copy arrived.
    """

    def __init__(self, provider: str, told: int | None, found: int | None = None) -> None:
        self.provider = provider
        self.told = told
        self.found = found
        self.deleted = 0
        self.looks = 0

    async def answer(self, exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(self._reply(exchange))

    def _reply(self, exchange: Exchange) -> bytes:
        method, target = exchange.method, exchange.target
        if method == "DELETE":
            self.deleted += 1
            return reply(204)
        if self._is_copy(exchange):
            return self._copied()
        if "workRequests" in target:
            return reply(200, b'{"status": "COMPLETED"}')
        size: int | None = _SOURCE
        if "target" in target:
            size = self.told if self.looks == 0 and self.provider != "gcs" else self.found
            self.looks += 1
        return self._described(size)

    def _is_copy(self, exchange: Exchange) -> bool:
        copy_headers = {"x-amz-copy-source", "x-ms-copy-source"}
        return (
            "copyObject" in exchange.target
            or "rewriteTo" in exchange.target
            or bool(copy_headers & {*exchange.headers})
        )

    def _copied(self) -> bytes:
        if self.provider == "s3":
            return reply(200, b"<CopyObjectResult><ETag>&quot;opaque-2&quot;</ETag></CopyObjectResult>")
        if self.provider == "gcs":
            return reply(200, json.dumps({"done": True, "resource": _resource(self.told)}).encode())
        if self.provider == "azure":
            return reply(202, b"", **_HEADERS, **{"x-ms-copy-status": "pending", "x-ms-copy-id": "c1"})
        return reply(202, b"", **{"opc-work-request-id": "w1"})

    def _described(self, size: int | None) -> bytes:
        if self.provider == "gcs":
            return reply(200, json.dumps(_resource(size)).encode())
        # An append blob is copied by a copy that is polled.
        own = {"x-ms-blob-type": "AppendBlob", "x-ms-copy-id": "c1", "x-ms-copy-status": "success"}
        said = reply(200, b"", **_HEADERS, **(own if self.provider == "azure" else {}))
        length = b"" if size is None else b"Content-Length: %d\r\n" % size
        return said.replace(b"Content-Length: 0\r\n", length, 1)


def _resource(size: int | None) -> dict[str, Any]:
    found = {"name": "k", "bucket": "bucket", "generation": "1", "updated": "2023-01-02T03:04:05Z"}
    return found if size is None else {**found, "size": str(size)}


def opened(provider: str, server: Scripted) -> Storage:
    uri, settings = STORAGES[provider]
    path = "/account" if provider == "azure" else ""
    return open_storage(uri, endpoint_url=server.url + path, initial_backoff=0.001, **settings)


@pytest.mark.parametrize("provider", ["s3", "gcs", "azure", "oci"])
@pytest.mark.parametrize("verb", ["copy", "move"])
async def test_copy_of_another_size(provider: str, verb: str) -> None:
    """
    It is not taken for a copy, even where ETags say nothing and there is no checksum.
    """
    service = Copier(provider, _SOURCE - 1)
    async with scripted(service.answer) as server, opened(provider, server) as storage:
        with pytest.raises(IntegrityError, match="another size than its source: expected 5 bytes, got 4 bytes"):
            await getattr(storage, verb)("source", "target")

    assert 0 == service.deleted


@pytest.mark.parametrize("provider", ["s3", "gcs", "oci"])
@pytest.mark.parametrize(("found", "deleted"), [(_SOURCE, 1), (_SOURCE + 1, 0), (None, 0)])
async def test_size_that_is_not_told(provider: str, found: int | None, deleted: int) -> None:
    """
    Before the source is deleted, one look at the copy tells its size.
    """
    service = Copier(provider, None, found)
    async with scripted(service.answer) as server, opened(provider, server) as storage:
        if deleted:
            await storage.move("source", "target")
        else:
            with pytest.raises(IntegrityError):
                await storage.move("source", "target")

    assert deleted == service.deleted


async def test_size_that_is_told_is_not_looked_at() -> None:
    """
    A reply that says the size costs no look.
    """
    service = Copier("gcs", _SOURCE)
    async with scripted(service.answer) as server, opened("gcs", server) as storage:
        await storage.move("source", "target")

    assert (1, 0) == (service.deleted, service.looks)

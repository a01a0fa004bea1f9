"""
Conditional writes after a lost reply, of objects whose ETags and replies say nothing about their bytes.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncstore import AlreadyExistsError, PreconditionFailedError
from asyncstore.driver.body import Body, BytesLike
from asyncstore.engine import lost_replies
from asyncstore.errors import UnavailableError
from asyncstore.options import WriteOptions
from tests.deviations.one_object import PROVIDERS, REFUSAL, Service, serving
from tests.servers.scripted import Exchange, reply

#: What a failed If-Match is called.
_MISMATCH: Final = {
    "s3": "PreconditionFailed",
    "gcs": "conditionNotMet",
    "azure": "ConditionNotMet",
    "oci": "IfMatchFailed",
}

_GATEWAY: Final = (504, "")
_EVERYWHERE = pytest.mark.parametrize("provider", PROVIDERS)


@dataclass
class Opaque(Service):
    """
    A service without checksums, each version of whose object has an ETag of its own.

    Attributes:
        version: The number of the present version.
        rivals: What another program makes of the object before our second write arrives; ``None`` deletes it.
        readable: Whether the object may be read.
        dated: Whether replies have a Last-Modified.
    """

    version: int = 1
    rivals: list[bytes | None] = field(default_factory=list)
    readable: bool = True
    dated: bool = True
    reads: int = 0

    async def answer(self, exchange: Exchange) -> None:
        if exchange.method == "GET" and not exchange.target.startswith("/storage/v1/"):
            self.reads += 1
            if not self.readable:
                await exchange.send(reply(403))
                return
            found = reply(200, self.data, **self._headers()) if self.data is not None else reply(404)
            await exchange.send(found)
            return
        await super().answer(exchange)

    async def _write(self, exchange: Exchange, body: bytes) -> None:
        number, self.writes = self.writes, self.writes + 1
        if number and self.rivals:
            self._store(self.rivals.pop())
        if not self._holds(exchange):
            creates = exchange.headers.get("if-none-match") == "*"
            refusal = REFUSAL[self.provider] if creates else (412, _MISMATCH[self.provider])
            await exchange.send(self.refusal(*refusal))
            return
        if number >= len(self.outcomes) or self.carried_out:
            self._store(self._content(body))
        outcome = self.outcomes[number] if number < len(self.outcomes) else None
        await exchange.send(self._created() if outcome is None else self.refusal(*outcome))

    def _store(self, data: bytes | None) -> None:
        self.data, self.written, self.version = data, time.time(), self.version + 1

    def _holds(self, exchange: Exchange) -> bool:
        query = {name: values[0] for name, values in parse_qs(urlsplit(exchange.target).query).items()}
        wanted = query.get("ifGenerationMatch") or exchange.headers.get("if-match", "").strip('"')
        if wanted == "0" or exchange.headers.get("if-none-match") == "*":
            return self.data is None
        return not wanted or (self.data is not None and wanted == str(self.version))

    def _headers(self) -> dict[str, Any]:
        headers = {"Date": self._date(time.time()), "ETag": f'"{self.version}"', "x-goog-generation": str(self.version)}
        dated = {"Last-Modified": self._date(self.written)} if self.dated else {}
        return {**headers, **dated, "x-ms-blob-type": "BlockBlob"}

    def _resource(self) -> bytes:
        found = json.loads(super()._resource())
        return json.dumps({**found, "generation": str(self.version), "md5Hash": None}).encode()


def plus_one(data: bytes | None) -> bytes:
    return str(int(data or 0) + 1).encode()


@_EVERYWHERE
@pytest.mark.parametrize("before", [None, b"41"])
async def test_update_that_was_carried_out(provider: str, before: bytes | None) -> None:
    """
    The bytes of the object are compared with those written, and the change is not applied twice.
    """
    service = Opaque(provider, [_GATEWAY], data=before, written=time.time() - 60)
    async with serving(service) as storage:
        info = await storage.update("key", plus_one)

    assert (str(int(before or 0) + 1).encode(), 2) == (service.data, service.writes)
    assert (len(service.data or b""), service.version) == (info.size, 2)


@_EVERYWHERE
@pytest.mark.parametrize("rival", [b"7", None], ids=["written", "deleted"])
async def test_update_that_may_have_been_carried_out(provider: str, rival: bytes | None) -> None:
    """
    Another program has written or deleted the object since: it may have made that of ours, so no more is written.
    """
    service = Opaque(provider, [_GATEWAY], data=b"41", written=time.time() - 60, rivals=[rival])
    async with serving(service) as storage:
        with pytest.raises(UnavailableError, match="it may have been carried out") as failure:
            await storage.update("key", plus_one)

    assert (True, "update", False) == (failure.value.ambiguous, failure.value.op, failure.value.retryable)
    assert (rival, 2) == (service.data, service.writes)


@_EVERYWHERE
async def test_update_of_an_object_that_is_older(provider: str) -> None:
    """
    What was written before the lost attempt began cannot have followed it: the change is applied to it.
    """

    class Late(Opaque):
        def _store(self, data: bytes | None) -> None:
            super()._store(data)
            if data == b"7":
                self.written -= 60

    service = Late(provider, [_GATEWAY], carried_out=False, data=b"41", rivals=[b"7"])
    async with serving(service) as storage:
        await storage.update("key", plus_one)

    assert (b"8", 3) == (service.data, service.writes)


@_EVERYWHERE
@pytest.mark.parametrize("outcomes", [[], [(429, "")]])
async def test_refusals_without_a_lost_reply(provider: str, outcomes: list[tuple[int, str] | None]) -> None:
    """
    An update that another program was ahead of is applied to what that one wrote, as often as needed.
    """
    service = Opaque(provider, outcomes, carried_out=False, data=b"41", written=time.time())
    calls = 0

    async def change(data: bytes | None) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            service._store(b"100")
        return plus_one(data)

    async with serving(service) as storage:
        await storage.update("key", change)

    assert (b"101", 2) == (service.data, calls)


@_EVERYWHERE
async def test_creation_is_compared_by_reading(provider: str) -> None:
    """
    A create-only write of bytes in memory is found to be our own, by one read of as many bytes.
    """
    service = Opaque(provider, [_GATEWAY])
    async with serving(service) as storage:
        info = await storage.put("key", b"mine", if_none_match="*")
    assert (4, 2, 1) == (info.size, service.writes, service.reads)

    other = Opaque(provider, [_GATEWAY], carried_out=False, rivals=[b"your"])
    async with serving(other) as storage:
        with pytest.raises(PreconditionFailedError) as failure:
            await storage.put("key", b"mine", if_none_match="*")
    assert (True, 1) == (failure.value.ambiguous, other.reads)


@_EVERYWHERE
@pytest.mark.parametrize("change", [{"readable": False}, {"dated": False}])
async def test_object_that_cannot_be_compared(provider: str, change: dict[str, bool]) -> None:
    """
    The error says that the write may have been carried out, not that the object is another program's.
    """
    if provider == "gcs" and "dated" in change:
        pytest.skip("a resource always has a time")
    service = Opaque(provider, [_GATEWAY], **change)  # type: ignore[arg-type]
    async with serving(service) as storage:
        with pytest.raises(UnavailableError, match=r"cannot be compared .*: it may have been carried out") as failure:
            await storage.put("key", b"mine", if_none_match="*")

    assert (True, AlreadyExistsError) == (failure.value.ambiguous, type(failure.value.__cause__))


@_EVERYWHERE
async def test_bytes_that_are_not_in_memory(provider: str) -> None:
    """
    They are not read again for a comparison.
    """

    class Streamed(Body):
        size = 4
        replayable = True

        async def chunks(self) -> AsyncIterator[BytesLike]:
            yield b"mine"

    service = Opaque(provider, [_GATEWAY])
    async with serving(service) as storage:
        with pytest.raises(UnavailableError, match="cannot be compared"):
            await lost_replies.put(storage._requests, storage.root / "key", Streamed(), WriteOptions(if_none_match="*"))
    assert 0 == service.reads


async def test_refusal_that_is_pickled() -> None:
    """
    The mark of an ambiguous refusal survives, and has no effect on others.
    """
    error = PreconditionFailedError()
    assert not error.ambiguous
    error.after_lost_reply = True
    rebuilt, arguments = error.__reduce__()[:2]
    assert rebuilt(*arguments).ambiguous

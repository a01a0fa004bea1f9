"""
Observers receive every attempt once, and storages without observers pay nothing.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import pytest

from asyncstore.auth.credentials import Refresh
from asyncstore.auth.tokens import Grant, TokenSource
from asyncstore.driver import Narrowing
from asyncstore.drivers.memory import MemoryDriver
from asyncstore.engine import observer, requests
from asyncstore.engine.observer import Attempt
from asyncstore.errors import (
    NotFoundError,
    NotSupportedError,
    PreconditionFailedError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.options import UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from tests.build import KEY, patterned

LOG = "asyncstore.engine.observer"


class Notes:
    """
    An observer that records everything.
    """

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.refreshes: list[Refresh] = []
        self.narrowings: list[Narrowing] = []

    def attempted(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def refreshed(self, refresh: Refresh) -> None:
        self.refreshes.append(refresh)

    def narrowed(self, narrowing: Narrowing) -> None:
        self.narrowings.append(narrowing)


@pytest.fixture
def notes(storage: Storage) -> Notes:
    kept = Notes()
    storage.observe(kept)
    return kept


def outline(notes: Notes) -> list[tuple[str, int, type[BaseException] | None]]:
    return [(one.op, one.number, type(one.error) if one.error else None) for one in notes.attempts]


async def test_success_is_one_attempt(storage: Storage, notes: Notes) -> None:
    await storage.put(KEY, b"data")
    await storage.read(KEY)

    assert [("put", 1, None), ("read", 1, None)] == outline(notes)
    assert [(4, None), (None, 4)] == [(one.sent, one.received) for one in notes.attempts]
    assert {KEY} == {one.uri for one in notes.attempts}
    assert all(one.seconds >= 0 for one in notes.attempts)


async def test_each_retry_is_an_attempt(storage: Storage, faults: FaultyDriver, notes: Notes) -> None:
    faults.fail("put", ThrottledError("slow down", status=503))
    faults.fail("put", UnavailableError("reset"))
    await storage.put(KEY, b"data")

    assert [("put", 1, ThrottledError), ("put", 2, UnavailableError), ("put", 3, None)] == outline(notes)
    assert storage.statistics().requests == len(notes.attempts)
    first = notes.attempts[0].error
    assert isinstance(first, StorageError)
    assert ("put", str(KEY), "memory") == (first.op, first.uri, first.provider)


async def test_a_refusal_is_an_attempt(storage: Storage, faults: FaultyDriver, notes: Notes) -> None:
    with pytest.raises(NotFoundError):
        await storage.read(KEY)
    faults.fail("put", PreconditionFailedError("other"))
    with pytest.raises(PreconditionFailedError):
        await storage.put(KEY, b"data")

    assert [("read", 1, NotFoundError), ("put", 1, PreconditionFailedError)] == outline(notes)


async def test_an_error_of_the_transport_is_reported_as_raised(storage: Storage, notes: Notes) -> None:
    class Odd(MemoryDriver):
        def classify(self, error: Exception) -> StorageError | None:
            return UnauthenticatedError(str(error)) if isinstance(error, OSError) else None

    storage._requests.driver = Odd()

    async def send(error: Exception) -> None:
        raise error

    with pytest.raises(UnauthenticatedError) as caught:
        await storage._requests("stat", KEY, send, OSError("broken"))
    with pytest.raises(RuntimeError) as other:
        await storage._requests("stat", KEY, send, RuntimeError())

    assert [caught.value, other.value] == [one.error for one in notes.attempts]
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_cancelled_attempt_is_reported(storage: Storage, faults: FaultyDriver, notes: Notes) -> None:
    stop = faults.hang("put")
    task = asyncio.ensure_future(storage.put(KEY, b"data"))
    await stop.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [("put", 1, asyncio.CancelledError)] == outline(notes)


async def test_a_multipart_upload_is_reported_part_by_part(storage: Storage, notes: Notes) -> None:
    await storage.put(KEY, patterned(2500), options=UploadOptions(part_size=1000, multipart_threshold=1000))

    assert ["initiate_multipart_upload", *3 * ["upload_part"], "complete_multipart_upload"] == [
        one.op for one in notes.attempts
    ]
    assert [500, 1000, 1000] == sorted(one.sent or 0 for one in notes.attempts if one.op == "upload_part")


async def test_a_broken_stream_is_reported(storage: Storage, faults: FaultyDriver, notes: Notes) -> None:
    """
    The attempt that resumes a stream counts as the second, and receives the rest.
    """
    await storage.put(KEY, patterned(3000))
    notes.attempts.clear()
    faults.truncate(after=1000)
    async with storage.get(KEY) as stream:
        await stream.read()

    assert [("get", 1, None), ("get", 2, None)] == outline(notes)
    assert [3000, 2000] == [one.received for one in notes.attempts]


async def test_waiting_in_the_budget_is_not_counted(faults: FaultyDriver) -> None:
    storage = faults.storage(KEY, max_requests=1)
    kept = Notes()
    storage.observe(kept)
    now = 0.0
    storage._requests.retry.now = lambda: now
    stop = faults.hang("put")
    first, second = (asyncio.ensure_future(storage.put(KEY, b"data")) for _ in range(2))
    await stop.reached()
    now = 5.0
    stop.release()
    await first
    await second

    assert [5.0, 0.0] == [one.seconds for one in kept.attempts]


async def test_narrowing_is_reported_once(storage: Storage, faults: FaultyDriver, notes: Notes) -> None:
    faults.narrow("batch deletion", "405", delete_batch_size=0)
    faults.narrow("batch deletion", "405 again", delete_batch_size=0)

    assert [Narrowing("batch deletion", "405", {"delete_batch_size": 0})] == notes.narrowings
    assert 0 == storage.capabilities.delete_batch_size
    assert "batch deletion (405)" == storage.describe()["narrowed"]


async def test_narrowing_by_the_wrapped_driver(storage: Storage, memory: MemoryDriver, notes: Notes) -> None:
    memory.narrow("versions", "400", versions=False)

    assert ["versions"] == [one.feature for one in notes.narrowings]
    assert not storage.capabilities.versions


async def test_nothing_is_narrowed_at_first(storage: Storage) -> None:
    assert "narrowed" not in storage.describe()


async def test_an_endpoint_without_batches_is_narrowed(storage: Storage, faults: FaultyDriver, notes: Notes) -> None:
    faults.fail("delete_batch", NotSupportedError("the endpoint has no batches"))
    await storage.bulk_delete([KEY, storage.root / "other"])

    assert [("batch deletion", {"delete_batch_size": 0})] == [(one.feature, one.changes) for one in notes.narrowings]
    assert "batch deletion" in storage.describe()["narrowed"]


class TestRefreshes:
    """
    Refreshes of credentials are reported to the storage's observers.
    """

    @staticmethod
    def source(notes: Notes, fetch: Callable[[], Awaitable[Grant[str]]]) -> TokenSource[str]:
        observers = observer.Observers()
        observers.listening.append(notes)
        tokens = TokenSource(fetch, name="test credentials")
        tokens.on_refresh = observers.refreshed
        return tokens

    async def test_success(self, caplog: pytest.LogCaptureFixture) -> None:
        async def fetch() -> Grant[str]:
            return Grant("very secret", ttl=100)

        notes = Notes()
        with caplog.at_level(logging.DEBUG, LOG):
            await self.source(notes, fetch).get()

        assert [("test credentials", None)] == [(one.name, one.error) for one in notes.refreshes]
        assert ["refresh of test credentials after 0.00 s succeeded"] == caplog.messages

    async def test_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        async def fetch() -> Grant[str]:
            raise UnauthenticatedError("refused: Bearer abcdef")

        notes = Notes()
        with caplog.at_level(logging.DEBUG, LOG), pytest.raises(UnauthenticatedError):
            await self.source(notes, fetch).get()

        assert [UnauthenticatedError] == [type(one.error) for one in notes.refreshes]
        assert ["refresh of test credentials after 0.00 s failed: refused: Bearer ***"] == caplog.messages


class TestLog:
    """
    Retries and narrowings are logged at DEBUG without an observer, and without secrets.
    """

    async def test_retry(self, storage: Storage, faults: FaultyDriver, caplog: pytest.LogCaptureFixture) -> None:
        faults.fail("put", UnavailableError("GET https://h/?X-Amz-Signature=abcdef", status=503, retry_after=0.5))
        with caplog.at_level(logging.DEBUG, LOG):
            await storage.put(KEY, b"data")

        (line,) = caplog.messages
        assert line.startswith(f"put {KEY}: attempt 1 failed, retry in 0.50 s: ")
        assert "503" in line
        assert "abcdef" not in line

    async def test_narrowing(self, storage: Storage, faults: FaultyDriver, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, LOG):
            faults.narrow("batch deletion", "/?token=abcdef is refused", delete_batch_size=0)

        assert ["the endpoint does not support batch deletion: /?token=*** is refused"] == caplog.messages

    async def test_success_is_silent(self, storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, LOG):
            await storage.put(KEY, b"data")

        assert [] == caplog.messages


async def test_an_observer_that_fails_does_not_fail_the_request(
    storage: Storage, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Notes):
        def attempted(self, attempt: Attempt) -> None:
            raise ZeroDivisionError

    storage._requests.observers.listening.insert(0, Broken())
    await storage.put(KEY, b"data")

    assert b"data" == await storage.read(KEY)
    assert ["put", "read"] == [one.op for one in notes.attempts]
    assert "ZeroDivisionError" in caplog.text


async def test_without_an_observer_its_code_is_not_called(memory: MemoryDriver) -> None:
    """
    A warm read calls the same functions as if there were no observers.
    """
    storage = FaultyDriver(memory).storage(KEY)
    await storage.put(KEY, b"data")
    await storage.read(KEY)
    called: list[tuple[str, str]] = []

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            called.append((frame.f_code.co_filename, frame.f_code.co_qualname))

    sys.setprofile(profile)
    try:
        await storage.read(KEY)
    finally:
        sys.setprofile(None)

    assert observer.__file__ not in [file for file, _ in called]
    assert {"Requests.__call__", "Requests._once"} == {name for file, name in called if file == requests.__file__}

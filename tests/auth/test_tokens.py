"""
All callers share one refresh, and no caller affects another.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from asyncstore.auth.tokens import Grant, Lease, Secret, TokenSource, lease_of
from asyncstore.errors import ConfigurationError, StorageError, ThrottledError, UnauthenticatedError, UnavailableError
from tests.auth.conftest import FAKE_SECRET

Outcome = Grant[str] | Exception


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Provider:
    """
    Issues ``token-1``, ``token-2``, ... or what it is told to; waits while it is held.
    """

    def __init__(self, ttl: float | None = 3600) -> None:
        self.calls = 0
        self.ttl = ttl
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Grant[str]:
        self.calls += 1
        number = self.calls
        await self.open.wait()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return Grant(f"token-{number}", self.ttl)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def source_of(provider: Provider, clock: Callable[[], float]) -> TokenSource[str]:
    return TokenSource(provider, name="test", clock=clock)


@pytest.mark.parametrize(
    ("ttl", "early", "expected"),
    [
        (None, None, (None, None)),
        (3600, None, (3540, 3300)),
        (900, None, (840, 600)),
        (400, None, (340, 200)),
        (100, None, (50, 50)),
        (3600, 225, (3540, 3375)),
    ],
)
def test_windows(ttl: float | None, early: float | None, expected: tuple[float | None, float | None]) -> None:
    """
    A lease expires a minute early, and is refreshed five minutes before or at half of a short lifetime.
    """
    lease = lease_of(Grant("x", ttl, early), 0.0)

    assert expected == (lease.expires_at, lease.refresh_at)


async def test_cold_start_fetches_once(clock: Clock) -> None:
    """
    Fifty first callers share one fetch and one lease.
    """
    provider = Provider()
    source = source_of(provider, clock)

    leases = await asyncio.gather(*(source.get() for _ in range(50)))

    assert provider.calls == 1
    assert {"token-1"} == {lease.value for lease in leases}
    assert leases[0] is source.current()


@pytest.mark.parametrize("cancelled", [0, 3])
async def test_cancelling_one_waiter(clock: Clock, cancelled: int) -> None:
    """
    Cancelling one waiter, even the first caller, does not affect the others: they get the lease of the same fetch.
    """
    provider = Provider()
    provider.open.clear()
    source = source_of(provider, clock)
    waiters = [asyncio.create_task(source.get()) for _ in range(5)]
    await asyncio.sleep(0)

    waiters[cancelled].cancel()
    await asyncio.sleep(0)
    provider.open.set()
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)

    assert provider.calls == 1
    assert isinstance(outcomes.pop(cancelled), asyncio.CancelledError)
    assert [lease.value for lease in outcomes if isinstance(lease, Lease)] == ["token-1"] * 4


async def test_refresh_continues_when_all_are_cancelled(clock: Clock) -> None:
    """
    The next caller gets the result of a refresh whose waiters were all cancelled.
    """
    provider = Provider()
    provider.open.clear()
    source = source_of(provider, clock)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await source.get()
    provider.open.set()

    assert (await source.get()).value == "token-1"
    assert provider.calls == 1


async def test_failure_is_shared_and_then_kept(clock: Clock) -> None:
    """
    Forty callers of a provider that fails cause one attempt; the next one follows after the back-off.
    """
    provider = Provider()
    provider.error = UnavailableError("down")
    source = source_of(provider, clock)

    first = await asyncio.gather(*(source.get() for _ in range(20)), return_exceptions=True)
    second = await asyncio.gather(*(source.get() for _ in range(20)), return_exceptions=True)

    assert provider.calls == 1
    assert all(isinstance(error, UnavailableError) for error in [*first, *second])
    assert [error.retry_after for error in second if isinstance(error, StorageError)] == [1.0] * 20
    assert len({id(error) for error in [*first, *second]}) == 40


async def test_back_off_grows_to_thirty_seconds_and_ends_with_success(clock: Clock) -> None:
    """
    A provider that stays down is asked after 1, 2, 4, 8, 16, 30 and 30 seconds.
    """
    provider = Provider()
    provider.error = UnavailableError("down")
    source = source_of(provider, clock)

    waits = []
    for _ in range(7):
        with pytest.raises(UnavailableError):
            await source.get()
        with pytest.raises(UnavailableError) as caught:
            await source.get()
        waits.append(caught.value.retry_after)
        clock.now += waits[-1] or 0
    provider.error = None

    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert provider.calls == 7
    assert (await source.get()).value == "token-8"


@pytest.mark.parametrize(("asked", "waited"), [(17.0, 17.0), (0.2, 1.0), (1e9, 3600.0)])
async def test_retry_after(clock: Clock, asked: float, waited: float) -> None:
    """
    A provider's ``Retry-After`` extends a shorter back-off, up to an hour.
    """
    provider = Provider()
    provider.error = ThrottledError("slow down", retry_after=asked)
    source = source_of(provider, clock)
    for _ in range(2):
        with pytest.raises(ThrottledError) as caught:
            await source.get()

    assert caught.value.retry_after == waited
    assert provider.calls == 1


async def test_permanent_error_comes_at_once_and_unchanged(clock: Clock) -> None:
    """
    A configuration error is neither retried nor changed.
    """
    provider = Provider()
    provider.error = ConfigurationError("no such profile")

    with pytest.raises(ConfigurationError, match="no such profile") as caught:
        await source_of(provider, clock).get()

    assert provider.calls == 1
    assert not caught.value.retryable


async def test_foreign_error_shows_no_secret(clock: Clock) -> None:
    """
    An unexpected error becomes one of ours, without the request that it may contain.
    """
    provider = Provider()
    provider.error = LookupError(f"headers: Authorization: Bearer {FAKE_SECRET}")

    with pytest.raises(UnavailableError, match="LookupError") as caught:
        await source_of(provider, clock).get()

    assert FAKE_SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_soft_window_renews_in_the_background(clock: Clock) -> None:
    """
    Near its end the old lease is still returned at once, while one fetch replaces it.
    """
    provider = Provider()
    source = source_of(provider, clock)
    old = await source.get()
    clock.now += 3400
    provider.open.clear()

    served = await asyncio.gather(*(source.get() for _ in range(10)))
    provider.open.set()
    while source.current() is None:
        await asyncio.sleep(0)

    assert {old} == set(served)
    assert (await source.get()).value == "token-2"
    assert provider.calls == 2


async def test_failed_renewal_in_the_soft_window_is_logged_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """
    While the old lease is valid a failure is logged, once per outage.
    """
    caplog.set_level(logging.DEBUG)
    provider = Provider()
    source = source_of(provider, clock)
    old = await source.get()
    clock.now += 3400
    provider.error = UnavailableError("down")

    for _ in range(4):
        assert old is await source.get()
        await asyncio.sleep(0.001)
        clock.now += 10

    assert provider.calls == 5
    assert len([record for record in caplog.records if record.name.startswith("asyncstore")]) == 1


async def test_hard_window_waits_for_a_new_lease(clock: Clock) -> None:
    """
    An expired lease is never returned.
    """
    provider = Provider()
    source = source_of(provider, clock)
    await source.get()
    clock.now += 3540

    assert source.current() is None
    assert (await source.get()).value == "token-2"


async def test_refused_lease_is_renewed_once(clock: Clock) -> None:
    """
    Twenty callers whose lease was rejected cause one fetch; a late one causes none.
    """
    provider = Provider()
    source = source_of(provider, clock)
    stale = await source.get()

    renewed = await asyncio.gather(*(source.refresh(stale) for _ in range(20)))
    late = await source.refresh(stale)

    assert {"token-2"} == {lease.value for lease in [*renewed, late]}
    assert provider.calls == 2


async def test_provider_that_refuses_its_own_is_not_asked_over_and_over(clock: Clock) -> None:
    """
    A rejected lease that was issued by a refresh within the last second is returned again.
    """
    provider = Provider()
    source = source_of(provider, clock)
    renewed = await source.refresh(await source.get())

    assert renewed is await source.refresh(renewed)
    clock.now += 2
    assert renewed is not await source.refresh(renewed)


async def test_credentials_that_have_expired_already_are_an_error(clock: Clock) -> None:
    """
    Credentials that have already expired are not accepted.
    """
    with pytest.raises(UnauthenticatedError, match="already expired"):
        await source_of(Provider(ttl=-5), clock).get()


async def test_slow_provider_times_out() -> None:
    """
    A fetch has a timeout.
    """
    provider = Provider()
    provider.open.clear()

    with pytest.raises(UnavailableError, match=r"within 0\.01 s"):
        await TokenSource(provider, name="test", timeout=0.01).get()


async def test_closing_stops_the_renewal_and_tells_who_waits(clock: Clock) -> None:
    """
    A waiter gets an error that the source was closed, not a cancellation; no task is left.
    """
    provider = Provider()
    provider.open.clear()
    source = source_of(provider, clock)
    waiter = asyncio.create_task(source.get())
    await asyncio.sleep(0)
    before = len(asyncio.all_tasks())

    await source.aclose()
    await source.aclose()

    with pytest.raises(UnauthenticatedError, match="closed"):
        await waiter
    with pytest.raises(RuntimeError, match="closed"):
        await source.get()
    assert before - 2 == len(asyncio.all_tasks())


async def test_another_event_loop_is_refused(clock: Clock) -> None:
    """
    A source that is used from another loop raises an error.
    """
    source = source_of(Provider(), clock)
    await source.get()
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(source.refresh())
        except RuntimeError as exc:
            caught.append(exc)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)

    assert "another event loop" in str(caught[0])


def test_secret_shows_nothing() -> None:
    """
    Neither a secret nor an object that holds one prints it.
    """
    secret = Secret(FAKE_SECRET)

    shown = f"{secret} {secret!r} {[secret]} {Grant(FAKE_SECRET)} {Lease(FAKE_SECRET)!r}"

    assert FAKE_SECRET not in shown
    assert secret.reveal() == FAKE_SECRET
    assert Secret(FAKE_SECRET) == secret

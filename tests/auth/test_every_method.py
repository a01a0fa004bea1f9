"""
What every method of every provider must do, tested with its local service.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final

import anyio.to_thread
import pytest

from asyncstore.auth.factories import ALIASES, BUILT_IN
from asyncstore.auth.renewed import RenewedCredentials
from asyncstore.config import HTTPOptions
from asyncstore.errors import StorageError
from tests.auth.blocking import longest_callback
from tests.auth.cases import Case
from tests.auth.every_method import (
    TABLES,
    Tables,
    credentials_of,
    every,
    failure,
    harmed,
    refreshing,
    with_a_server,
)
from tests.auth.harm import ENDLESS, listening, never_ends, proxied, sends_to

#: Seconds that one callback may keep the loop.
LIMIT: Final = 0.005


class TestTables:
    """The declarations are complete."""

    def test_every_provider_is_here(self) -> None:
        """
        Every provider with a factory has declarations and cases.
        """
        assert {tables.provider for tables in TABLES} == set(BUILT_IN)

    @pytest.mark.parametrize("tables", TABLES, ids=lambda tables: tables.stem)
    def test_every_method_has_a_case(self, tables: Tables) -> None:
        """
        Every declared method has a test case, and every case a declared method.
        """
        declared = {method.auth_type for method in tables.methods}

        assert {case.auth_type for case in tables.cases.values()} == declared

    @pytest.mark.parametrize("tables", TABLES, ids=lambda tables: tables.stem)
    def test_cases_match_the_declarations(self, tables: Tables) -> None:
        """
        Each case has the provider, name and refresh behavior of its declaration.
        """
        refreshes = {method.auth_type: method.refreshes for method in tables.methods}

        for name, case in tables.cases.items():
            assert ALIASES.get(case.provider, case.provider) == tables.provider
            assert name.startswith(case.auth_type)
            assert case.refreshes == refreshes[case.auth_type], name

    @pytest.mark.parametrize("tables", TABLES, ids=lambda tables: tables.stem)
    def test_builders_and_aliases(self, tables: Tables) -> None:
        """
        Every declared method can be built, and the provider's aliases are those of its factory.
        """
        table = import_module(f"asyncstore.auth.{tables.stem}.methods").TABLE

        assert set(table.builders) == set(table.auth_types)
        assert set(table.aliases) == {alias for alias, name in ALIASES.items() if name == tables.provider}

    @pytest.mark.parametrize("tables", TABLES, ids=lambda tables: tables.stem)
    def test_settings_with_secret_names_are_declared_secret(self, tables: Tables) -> None:
        """
        Every setting named like a password, key or token is declared secret.
        """
        for method in tables.methods:
            for setting in method.settings:
                words = setting.name.split("_")
                if words[-1] in ("secret", "password", "passphrase", "token", "key") and "public" not in words:
                    assert setting.secret, f"{method.auth_type}: {setting.name}"


class TestServices:
    """Services that issue credentials are asked with care."""

    @every
    @pytest.mark.parametrize("by", ["variables", "setting"])
    async def test_never_through_a_proxy(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str
    ) -> None:
        """
        Proxy variables are ignored, and services of this machine are never asked through the proxy of the settings.
        """
        connections: list[bytes] = []
        async with listening(connections) as proxy, case.start(monkeypatch, tmp_path) as running:
            http = running.http or HTTPOptions()
            if by == "variables":
                proxied(monkeypatch, proxy)
            else:
                http = replace(http, proxy=proxy)
            async with credentials_of(running, http) as credentials:
                await credentials.get()

        assert connections == []

    @with_a_server
    @pytest.mark.parametrize("status", [302, 307])
    async def test_redirects_are_refused(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
    ) -> None:
        """
        The target of a redirect receives no request.
        """
        connections: list[bytes] = []
        async with (
            listening(connections) as elsewhere,
            harmed(case, monkeypatch, tmp_path, sends_to(elsewhere, status)) as running,
        ):
            error = await failure(running)

        assert connections == []
        assert isinstance(error, StorageError)

    @with_a_server
    async def test_bodies_are_bounded(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        Of an endless answer no more is read than the kernel buffers.
        """
        taken: list[int] = []
        async with harmed(case, monkeypatch, tmp_path, never_ends(taken)) as running:
            error = await failure(running)

        assert isinstance(error, StorageError)
        assert sum(taken) < ENDLESS / 2


class TestManyAtOnce:
    """Concurrent callers share one fetch."""

    @refreshing
    async def test_fifty_cold_callers(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        They share one lease.
        """
        async with case.start(monkeypatch, tmp_path) as running:
            running.delay = 0.05
            async with credentials_of(running) as credentials:
                leases = await asyncio.gather(*(credentials.get() for _ in range(50)))

            assert len({id(lease) for lease in leases}) == 1
            assert running.fetches() == 1

    @refreshing
    async def test_cancelling_one_waiter(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        Cancelling one waiter does not affect the others.
        """
        async with case.start(monkeypatch, tmp_path) as running:
            running.delay = 0.05
            async with credentials_of(running) as credentials:
                waiters = [asyncio.create_task(credentials.get()) for _ in range(5)]
                await asyncio.sleep(0.01)
                waiters[0].cancel()
                first, *others = await asyncio.gather(*waiters, return_exceptions=True)

            assert isinstance(first, asyncio.CancelledError)
            assert len({id(lease) for lease in others}) == 1
            assert not isinstance(others[0], BaseException)
            assert running.fetches() == 1

    @refreshing
    async def test_forty_callers_of_a_service_that_fails(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """
        They cause one attempt; callers during the back-off get the same error at once.
        """
        async with case.start(monkeypatch, tmp_path) as running:
            running.status = 500
            running.delay = 0.05
            async with credentials_of(running) as credentials:
                outcomes = await asyncio.gather(*(credentials.get() for _ in range(40)), return_exceptions=True)
                asked = running.fetches()
                with pytest.raises(StorageError):
                    await credentials.get()

            assert all(isinstance(outcome, StorageError) for outcome in outcomes)
            assert (asked, running.fetches()) == (1, 1)

    @refreshing
    async def test_service_that_recovers(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        After the back-off it is asked again.
        """
        async with case.start(monkeypatch, tmp_path) as running, credentials_of(running) as credentials:
            running.status = 500
            with pytest.raises(StorageError):
                await credentials.get()
            running.status = 200
            assert isinstance(credentials, RenewedCredentials)
            credentials._tokens._retry_at = 0.0

            assert (await credentials.get()).value is not None
            assert running.fetches() == 2

    @with_a_server
    async def test_refusal_is_permanent(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        It is raised after one attempt, and is not retryable.
        """
        async with case.start(monkeypatch, tmp_path) as running, credentials_of(running) as credentials:
            running.status = 403
            with pytest.raises(StorageError) as caught:
                await credentials.get()

            assert running.fetches() == 1
            assert not caught.value.retryable


class TestLoop:
    """The event loop is never blocked."""

    @every
    async def test_no_callback_takes_five_milliseconds(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """
        Parsing and generating keys, reading files and starting programs happen outside the event loop. The best of
        three rounds counts: blocking code blocks in every round, a busy machine rarely does.
        """
        async with case.start(monkeypatch, tmp_path) as running:

            async def work() -> None:
                async with credentials_of(running) as credentials:
                    lease = await credentials.get()
                    with suppress(StorageError):
                        await credentials.refresh(lease)

            # Imports are paid once a process, by whoever comes first.
            rounds = [await anyio.to_thread.run_sync(longest_callback, work) for _ in range(4)]

        best = min(rounds[1:], key=lambda watch: watch.longest)
        assert best.longest < LIMIT, f"{best.longest * 1000:.1f} ms in {best.culprit}"

"""
What every method of every provider is held to, by its service on this machine.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio.to_thread
import pytest

from asyncstore.auth.factories import ALIASES, BUILT_IN
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
    """Nothing is left out."""

    def test_every_provider_is_here(self) -> None:
        """
        Whoever has a factory has a table and cases.
        """
        assert {tables.provider for tables in TABLES} == set(BUILT_IN)

    @pytest.mark.parametrize("tables", TABLES, ids=lambda tables: tables.stem)
    def test_every_method_has_a_case(self, tables: Tables) -> None:
        """
        Every method that is declared has a service to be tested with, and nothing else has.
        """
        declared = {method.auth_type for method in tables.methods}

        assert {case.auth_type for case in tables.cases.values()} == declared

    @pytest.mark.parametrize("tables", TABLES, ids=lambda tables: tables.stem)
    def test_cases_are_those_of_the_table(self, tables: Tables) -> None:
        """
        Each case is of its provider, under the name of its method, and renewed as that is declared to be.
        """
        refreshes = {method.auth_type: method.refreshes for method in tables.methods}

        for name, case in tables.cases.items():
            assert ALIASES.get(case.provider, case.provider) == tables.provider
            assert name.startswith(case.auth_type)
            assert case.refreshes == refreshes[case.auth_type], name

    @pytest.mark.parametrize("tables", TABLES, ids=lambda tables: tables.stem)
    def test_whatever_is_secret_by_its_name_is_declared_secret(self, tables: Tables) -> None:
        """
        No setting that is a password, key or token goes undeclared.
        """
        for method in tables.methods:
            for setting in method.settings:
                words = setting.name.split("_")
                if words[-1] in ("secret", "password", "passphrase", "token", "key") and "public" not in words:
                    assert setting.secret, f"{method.auth_type}: {setting.name}"


class TestServices:
    """Who gives credentials is asked for them with care."""

    @every
    @pytest.mark.parametrize("by", ["variables", "setting"])
    async def test_never_through_a_proxy(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str
    ) -> None:
        """
        No variable leads to a proxy, and a service on this machine is not asked through that of the settings either.
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
        Whoever is named in a redirect never hears of us.
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
        Of an answer without end no more is taken than the kernel's buffers hold.
        """
        taken: list[int] = []
        async with harmed(case, monkeypatch, tmp_path, never_ends(taken)) as running:
            error = await failure(running)

        assert isinstance(error, StorageError)
        assert sum(taken) < ENDLESS / 2


class TestManyAtOnce:
    """One fetch for all who wait."""

    @refreshing
    async def test_fifty_cold_callers(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        They get one lease.
        """
        async with case.start(monkeypatch, tmp_path) as running:
            running.delay = 0.05
            async with credentials_of(running) as credentials:
                leases = await asyncio.gather(*(credentials.get() for _ in range(50)))

            assert len({id(lease) for lease in leases}) == 1
            assert running.fetches() == 1

    @refreshing
    async def test_one_gives_up(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        Whoever is cancelled takes nobody along.
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
        One attempt, then nobody is asked for a while: who comes in that time gets the same error at once.
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


class TestLoop:
    """The event loop is never kept."""

    @every
    async def test_no_callback_takes_five_milliseconds(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """
        Keys are parsed and made, files read and programs started elsewhere. The least of three rounds counts: what
        blocks does so each time, what the machine does is seldom in all.
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

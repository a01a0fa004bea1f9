"""
What every method of every provider is held to, by its service on this machine.
"""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import pytest
from typer.testing import Result

from asyncstore.auth.credentials import Credentials
from asyncstore.auth.factories import ALIASES, BUILT_IN, find_factory
from asyncstore.cli.identity import facts_of, show_facts
from asyncstore.cli.output import Output, error_record, one_line
from asyncstore.config import HTTPOptions
from asyncstore.errors import StorageError
from tests.auth.blocking import longest_callback
from tests.auth.cases import Case, Running
from tests.auth.every_method import NO_SERVER, TABLES, Tables, all_cases
from tests.auth.harm import ENDLESS, GARBAGE, Answer, Takeover, listening, never_ends, proxied, says, sends_to
from tests.cli.shell import invoke, records

#: Seconds that one callback may keep the loop.
LIMIT: Final = 0.005

# Of the servers, which run in the same process and write down what they are asked.
_SERVERS: Final = ("aiohttp.access", "aiohttp.server", "aiohttp.web")

# Where nobody listens.
_PLACES: Final = {
    "s3": "s3://bucket",
    "gcs": "gs://bucket",
    "azure": "azure://container",
    "oci": "oci://namespace@us-phoenix-1/bucket",
    "github": "github://owner/repository/releases/v1",
}

# The names of errors that say nothing to whoever runs the program.
_BARE: Final = ("KeyError", "TypeError", "ValueError", "AttributeError", "IndexError", "JSONDecodeError", "DecodeError")


def _parametrized(cases: Mapping[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


every = _parametrized(all_cases())
refreshing = _parametrized(all_cases(refreshing=True))
with_a_server = _parametrized(
    {name: case for name, case in all_cases(refreshing=True).items() if name not in NO_SERVER}
)


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


class TestSecrets:
    """No secret is shown."""

    @every
    async def test_when_all_goes_well(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        Not by ``repr`` or ``str`` of anything that users hold, not in any log at DEBUG, not by ``whoami``.
        """
        async with case.start(monkeypatch, tmp_path) as running:
            with all_logs() as logs:
                async with credentials_of(running) as credentials:
                    lease = await credentials.get()
                    shown = _shown(running.auth, credentials, lease, credentials.current())
                    shown += [await whoami(credentials)]

        assert_hidden(running, *shown, logs.getvalue())

    @every
    async def test_by_whoami(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        Not by ``asyncstore auth whoami`` either, which takes the same settings.
        """
        async with case.start(monkeypatch, tmp_path) as running:
            settings = running.auth.settings
            result = await command(running, "auth", "whoami", case.provider, "--auth-type", case.auth_type)

            assert result.exit_code == 0, result.output
            found, _ = records(result.stdout)
            assert found["provider"] == ALIASES.get(case.provider, case.provider)
            assert (found["expires"] is not None) == case.refreshes
            assert set(found["settings"]) >= set(settings) - {"anonymous"}
            assert_hidden(running, result.output)

    @every
    async def test_by_doctor(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        Nor by ``asyncstore doctor``, which shows the same facts of a storage that does not answer.
        """
        uri = _PLACES[ALIASES.get(case.provider, case.provider)]
        async with case.start(monkeypatch, tmp_path) as running:
            known = {"base_url", "endpoint_url"} & set(running.auth.settings)
            place = [] if known else ["--endpoint-url", "http://127.0.0.1:9"]
            result = await command(running, "doctor", uri, *place, "--set", f"auth_type={case.auth_type}")

            assert result.exit_code in (3, 5), result.output
            told = {record["type"]: record for record in records(result.stdout)}
            assert told["credentials"]["method"] in told["resolved"]["credentials"]
            assert (told["credentials"]["expires"] is not None) == case.refreshes
            assert_hidden(running, result.output)

    @every
    @pytest.mark.parametrize("status", [400, 401, 403, 500])
    async def test_when_the_service_refuses(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
    ) -> None:
        """
        Not in an error, its traceback, its record or a log, whatever the service put into its answer.
        """
        async with case.start(monkeypatch, tmp_path) as running:
            running.status = status
            with all_logs() as logs:
                error = await failure(running)

        if error is not None:
            assert_hidden(running, *_shown(error), told(error), logs.getvalue())

    @with_a_server
    @pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
    async def test_when_the_service_talks_nonsense(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: bytes
    ) -> None:
        """
        The error is ours, in words that help, and shows no secret.
        """
        async with harmed(case, monkeypatch, tmp_path, says(body)) as running:
            with all_logs() as logs:
                error = await failure(running)

        assert isinstance(error, StorageError)
        assert not any(name in str(error) for name in _BARE), str(error)
        assert_hidden(running, *_shown(error), told(error), logs.getvalue())


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
        if by == "setting" and case.auth_type in ("profile", "sso"):
            pytest.skip("AWS's SDK asks AWS's own services, through the proxy that it is given")
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


@asynccontextmanager
async def harmed(case: Case, monkeypatch: pytest.MonkeyPatch, folder: Path, answer: Answer) -> AsyncIterator[Running]:
    """
    Start the service of *case*, see that it works, and let *answer* speak in its place from then on.
    """
    takeover = Takeover(monkeypatch)
    async with case.start(monkeypatch, folder) as running:
        async with credentials_of(running) as credentials:
            await credentials.get()
        assert takeover.passed
        takeover.answer = answer
        yield running
    assert takeover.harmed


def credentials_of(running: Running, http: HTTPOptions | None = None) -> Credentials[Any]:
    """
    Return credentials that have asked nobody yet.
    """
    assert running.auth.provider is not None
    return find_factory(running.auth.provider)(running.auth, http=http or running.http)


async def failure(running: Running) -> Exception | None:
    """
    Return why there are no credentials; ``None`` if there are.
    """
    try:
        async with credentials_of(running) as credentials:
            await credentials.get()
    except Exception as error:
        return error
    return None


async def command(running: Running, *arguments: str) -> Result:
    """
    Run ``asyncstore`` in a thread, with the settings of *running*, while its service goes on in this one.
    """
    settings = running.auth.settings
    if running.http is not None or not all(isinstance(value, str) for value in settings.values()):
        pytest.skip("a command line is text, and knows no certificate made for a test")
    # Of a storage, "profile" is one of asyncstore's own.
    own = {"profile": "oci_profile" if running.auth.provider == "oci" else "aws_profile"}
    pairs = [option for name, value in settings.items() for option in ("--set", f"{own.get(name, name)}={value}")]
    attempts = ("--set", "attempts=1") if arguments[0] == "doctor" else ()
    return await anyio.to_thread.run_sync(partial(invoke, *arguments, *pairs, *attempts, "--json"))


async def whoami(credentials: Credentials[Any]) -> str:
    """
    Return all that the commands show of *credentials*.
    """
    facts = await facts_of(credentials)
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", shown)
        for as_json in (True, False):
            show_facts(Output(json_=as_json), facts)
    return shown.getvalue()


def told(error: Exception) -> str:
    """
    Return what a program says of *error*, and what is printed of one that nobody caught.
    """
    return f"{one_line(error)} {error_record(error, 1)} {''.join(traceback.format_exception(error))}"


def assert_hidden(running: Running, *texts: str) -> None:
    """
    Check that no secret of *running* is in any of *texts*, whole or encoded.
    """
    assert running.secrets
    for text in texts:
        for secret in running.secrets:
            assert secret not in text, f"{secret!r} is shown: {_around(text, secret)}"


def _around(text: str, secret: str) -> str:
    at = text.index(secret)
    return text[max(0, at - 200) : at + 40]


def _shown(*things: Any) -> list[str]:
    return [show(thing) for thing in things for show in (repr, str)]


@contextmanager
def all_logs() -> Iterator[io.StringIO]:
    """
    Collect what every logger of this process says, at DEBUG.
    """
    collected = io.StringIO()
    handler, root = _Collected(collected), logging.getLogger()
    loggers = [root, *(logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger))]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    root.addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    try:
        yield collected
    finally:
        root.removeHandler(handler)
        for logger, level, disabled in before:
            logger.setLevel(level)
            logger.disabled = disabled


class _Collected(logging.Handler):
    def __init__(self, target: io.StringIO) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(_SERVERS):
            self._target.write(self.format(record) + "\n")

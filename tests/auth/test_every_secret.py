"""
No method of any provider shows a secret.
"""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import pytest
from aiohttp import web
from typer.testing import Result

from asyncstore.auth.credentials import Credentials
from asyncstore.auth.factories import ALIASES
from asyncstore.cli.identity import facts_of, show_facts
from asyncstore.cli.output import Output
from asyncstore.errors import StorageError
from tests.auth.cases import Case, Running
from tests.auth.conftest import Serve
from tests.auth.every_method import credentials_of, every, failure, harmed, with_a_server
from tests.auth.harm import GARBAGE, says
from tests.auth.hiding import all_logs, assert_hidden, shown, told
from tests.cli.shell import invoke, records

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


class TestSecrets:
    """No secret is shown."""

    @every
    async def test_when_all_goes_well(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        Not in the ``repr`` or ``str`` of any object that users hold, in DEBUG logs or in ``whoami``.
        """
        async with case.start(monkeypatch, tmp_path) as running:
            with all_logs() as logs:
                async with credentials_of(running) as credentials:
                    lease = await credentials.get()
                    printed = shown(running.auth, credentials, lease, credentials.current())
                    printed += [await whoami(credentials)]

        assert_hidden(running, *printed, logs.getvalue())

    @every
    async def test_on_requests(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Serve) -> None:
        """
        Not when credentials are put on requests, which are rejected here.
        """
        seen: list[web.Request] = []

        async def refuse(request: web.Request) -> web.StreamResponse:
            seen.append(request)
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")

        url = await serve(refuse)
        async with case.start(monkeypatch, tmp_path) as running:
            with all_logs() as logs:
                async with (
                    credentials_of(running) as credentials,
                    credentials.http_client([url]) as session,
                    session.get(f"{url}/container/key") as reply,
                ):
                    printed = [str(reply.status), repr(session), repr(credentials)]

        assert printed[0] == "403"
        signed = "Authorization" in seen[0].headers or "sig" in seen[0].query
        assert signed == (case.auth_type != "anonymous")
        assert_hidden(running, *printed, logs.getvalue())

    @every
    async def test_by_whoami(self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """
        Not in ``asyncstore auth whoami``, which accepts the same settings.
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
        Not in ``asyncstore doctor``, which shows the same facts of a storage that does not answer.
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
        Not in an error, its traceback, its record or a log, whatever the service answers.
        """
        async with case.start(monkeypatch, tmp_path) as running:
            running.status = status
            with all_logs() as logs:
                error = await failure(running)

        if error is not None:
            assert_hidden(running, *shown(error), told(error), logs.getvalue())

    @with_a_server
    @pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
    async def test_when_the_service_talks_nonsense(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: bytes
    ) -> None:
        """
        An invalid answer causes a helpful error of our own without secrets.
        """
        async with harmed(case, monkeypatch, tmp_path, says(body)) as running:
            with all_logs() as logs:
                error = await failure(running)

        assert isinstance(error, StorageError)
        assert not any(name in str(error) for name in _BARE), str(error)
        assert_hidden(running, *shown(error), told(error), logs.getvalue())


async def command(running: Running, *arguments: str) -> Result:
    """
    Run ``asyncstore`` in a thread with the settings of *running*, while its service runs in this one.
    """
    settings = running.auth.settings
    if running.http is not None or not all(isinstance(value, str) for value in settings.values()):
        pytest.xfail("a command line is text, and knows no certificate made for a test")
    # Of a storage, "profile" is one of asyncstore's own.
    own = {"profile": "oci_profile" if running.auth.provider == "oci" else "aws_profile"}
    pairs = [option for name, value in settings.items() for option in ("--set", f"{own.get(name, name)}={value}")]
    attempts = ("--set", "attempts=1") if arguments[0] == "doctor" else ()
    return await anyio.to_thread.run_sync(partial(invoke, *arguments, *pairs, *attempts, "--json"))


async def whoami(credentials: Credentials[Any]) -> str:
    """
    Return everything that the commands show of *credentials*.
    """
    facts = await facts_of(credentials)
    written = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", written)
        for as_json in (True, False):
            show_facts(Output(json_=as_json), facts)
    return written.getvalue()

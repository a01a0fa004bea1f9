"""
The methods of all providers, with the local service that each is tested with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

from asyncstore.auth.credentials import Credentials
from asyncstore.auth.factories import find_factory
from asyncstore.auth.methods import AuthMethod
from asyncstore.config import HTTPOptions
from tests.auth.cases import Case, Running
from tests.auth.harm import Answer, Takeover


@dataclass(frozen=True, slots=True)
class Tables:
    """
    The declarations of one provider and its test cases.

    Attributes:
        provider: As in ``AuthConfig``.
        name: For people.
        stem: The name of its packages.
    """

    provider: str
    name: str
    stem: str

    @property
    def methods(self) -> tuple[AuthMethod, ...]:
        """All methods that it declares."""
        declared: tuple[AuthMethod, ...] = import_module(f"asyncstore.auth.{self.stem}").METHODS
        return declared

    @property
    def cases(self) -> dict[str, Case]:
        """The methods that have a local service; a method can have several."""
        cases: dict[str, Case] = import_module(f"tests.auth.{self.stem}.methods").CASES
        return cases


TABLES: Final = (
    Tables("s3", "AWS", "aws"),
    Tables("gcs", "Google Cloud", "gcp"),
    Tables("azure", "Azure", "azure"),
    Tables("oci", "OCI", "oci"),
    Tables("github", "GitHub", "github"),
)

#: Those of the cases that are no server: their credentials come from files, a program or a function.
NO_SERVER: Final = frozenset(
    {
        "s3 process",
        "azure cli",
        "azure sas",
        "azure token",
        "azure token_blocking",
        "oci session_token",
        "oci resource_principal",
    }
)


def all_cases(*, refreshing: bool = False) -> dict[str, Case]:
    """
    Return the cases of all providers by name; only refreshed credentials if *refreshing*.
    """
    cases = {f"{tables.provider} {name}": case for tables in TABLES for name, case in tables.cases.items()}
    return {name: case for name, case in cases.items() if case.refreshes or not refreshing}


def _parametrized(cases: Mapping[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


#: Runs a test with the parameter ``case``, for every method; for those that are renewed; and those that have a server.
every = _parametrized(all_cases())
refreshing = _parametrized(all_cases(refreshing=True))
with_a_server = _parametrized(
    {name: case for name, case in all_cases(refreshing=True).items() if name not in NO_SERVER}
)


def credentials_of(running: Running, http: HTTPOptions | None = None) -> Credentials[Any]:
    """
    Return credentials that have sent no request yet.
    """
    assert running.auth.provider is not None
    return find_factory(running.auth.provider)(running.auth, http=http or running.http)


async def failure(running: Running) -> Exception | None:
    """
    Return the error of fetching credentials; ``None`` if it succeeds.
    """
    try:
        async with credentials_of(running) as credentials:
            await credentials.get()
    except Exception as error:
        return error
    return None


@asynccontextmanager
async def harmed(case: Case, monkeypatch: pytest.MonkeyPatch, folder: Path, answer: Answer) -> AsyncIterator[Running]:
    """
    Start the service of *case*, check that it works, and then replace its answers by *answer*.
    """
    takeover = Takeover(monkeypatch)
    async with case.start(monkeypatch, folder) as running:
        async with credentials_of(running) as credentials:
            await credentials.get()
        assert takeover.passed
        takeover.answer = answer
        yield running
    assert takeover.harmed

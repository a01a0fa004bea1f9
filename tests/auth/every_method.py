"""
The methods of all providers, and the service on this machine that each is tested with.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final

from asyncstore.auth.factories import ALIASES
from asyncstore.auth.method import AuthMethod
from tests.auth.cases import Case


@dataclass(frozen=True, slots=True)
class Tables:
    """
    What one provider declares, and what there is to test it with.

    Attributes:
        provider: As in ``AuthConfig``.
        name: For people.
        stem: Starts the names of its modules.
    """

    provider: str
    name: str
    stem: str

    @property
    def methods(self) -> tuple[AuthMethod, ...]:
        """All that it has."""
        declared: tuple[AuthMethod, ...] = import_module(f"asyncstore.auth.{self.stem}_table").METHODS
        return declared

    @property
    def cases(self) -> dict[str, Case]:
        """Those that have a service here, by their names."""
        cases: dict[str, Case] = import_module(f"tests.auth.{self.stem}_methods").CASES
        return cases


TABLES: Final = (Tables("s3", "AWS", "aws"),)

#: Methods that ask nobody, so that there is no service to test them with, and why.
ASK_NOBODY: Final[dict[tuple[str, str], str]] = {}


def all_cases(*, refreshing: bool = False) -> list[Case]:
    """
    Return the cases of all providers; only those whose credentials are renewed if *refreshing*.
    """
    cases = [case for tables in TABLES for case in tables.cases.values()]
    return [case for case in cases if case.refreshes or not refreshing]


def provider_of(case: Case) -> str:
    """
    Return the provider of a case, by its own name.
    """
    return ALIASES.get(case.provider, case.provider)

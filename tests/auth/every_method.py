"""
The methods of all providers, and the service on this machine that each is tested with.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final

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
        """Those that have a service here; of one method there can be several."""
        cases: dict[str, Case] = import_module(f"tests.auth.{self.stem}_methods").CASES
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
    Return the cases of all providers by their names; only those whose credentials are renewed if *refreshing*.
    """
    cases = {f"{tables.provider} {name}": case for tables in TABLES for name, case in tables.cases.items()}
    return {name: case for name, case in cases.items() if case.refreshes or not refreshing}

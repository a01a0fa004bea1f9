"""
A method of a provider and the service on this machine that it asks, for tests that hold all methods to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from asyncstore.config import AuthConfig, HTTPOptions


class Running(Protocol):
    """
    A service that gives credentials, and what to ask for to get them from it.

    Attributes:
        auth: Leads to the service; every secret in it is a fake one.
        http: Trusts the service.
        secrets: All that may never be shown: what is sent to the service, and what it gives.
        status: Answered instead of credentials, unless it is 200.
        delay: Seconds before each answer.
        ttl: Seconds that the credentials live.
    """

    auth: AuthConfig
    http: HTTPOptions | None
    secrets: tuple[str, ...]
    status: int
    delay: float
    ttl: float

    def fetches(self) -> int:
        """Return how many times credentials were asked for: one for all requests that one fetch takes."""
        ...


Start = Callable[[pytest.MonkeyPatch, Path], AbstractAsyncContextManager[Running]]


@dataclass(frozen=True, slots=True)
class Case:
    """
    One method.

    Attributes:
        provider: As in ``AuthConfig``.
        auth_type: As in ``AuthConfig``.
        start: Starts its service; sets variables of the environment and writes files in a directory of its own.
        refreshes: Whether the credentials expire and are renewed.
    """

    provider: str
    auth_type: str
    start: Start
    refreshes: bool = True

"""
One authentication method and its local service, for tests that all methods must pass.
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
    A service that issues credentials, and the configuration that uses it.

    Attributes:
        auth: Leads to the service; every secret in it is fake.
        http: Trusts the service.
        secrets: Values that must never be shown: those sent to the service and those it issues.
        status: Returned instead of credentials, unless it is 200.
        delay: Seconds before each answer.
        ttl: Lifetime of the credentials in seconds.
    """

    auth: AuthConfig
    http: HTTPOptions | None
    secrets: tuple[str, ...]
    status: int
    delay: float
    ttl: float

    def fetches(self) -> int:
        """Return how many times credentials were fetched; all requests of one fetch count once."""
        ...


class Adjustable(Protocol):
    """
    A service whose replies a test chooses: the attributes of :class:`Running`.
    """

    status: int
    delay: float
    ttl: float


class FromService:
    """
    The part of :class:`Running` that its service has.
    """

    def __init__(self, adjusted: Adjustable) -> None:
        self._adjusted = adjusted

    @property
    def status(self) -> int:
        return self._adjusted.status

    @status.setter
    def status(self, status: int) -> None:
        self._adjusted.status = status

    @property
    def delay(self) -> float:
        return self._adjusted.delay

    @delay.setter
    def delay(self, delay: float) -> None:
        self._adjusted.delay = delay

    @property
    def ttl(self) -> float:
        return self._adjusted.ttl

    @ttl.setter
    def ttl(self, ttl: float) -> None:
        self._adjusted.ttl = ttl


Start = Callable[[pytest.MonkeyPatch, Path], AbstractAsyncContextManager[Running]]


@dataclass(frozen=True, slots=True)
class Case:
    """
    One method.

    Attributes:
        provider: As in ``AuthConfig``.
        auth_type: As in ``AuthConfig``.
        start: Starts its service; sets environment variables and writes files in its own directory.
        refreshes: Whether the credentials expire and are refreshed.
    """

    provider: str
    auth_type: str
    start: Start
    refreshes: bool = True

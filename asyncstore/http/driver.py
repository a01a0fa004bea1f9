"""
The base class of HTTP drivers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any

from asyncstore.config import HTTPOptions
from asyncstore.driver.contract import Driver
from asyncstore.errors import ConfigurationError, NotSupportedError, StorageError
from asyncstore.http.errors import FAILURES, translated
from asyncstore.http.exchange import Anonymous, Exchange, Omission


class HTTPDriver(Driver):
    """
    A driver whose requests go through an :class:`~asyncstore.http.exchange.Exchange`.

    Args:
        wire: Closed with the driver.
        settings: What :func:`~asyncstore.driver.settings.read_settings` returned, for subclasses.
    """

    def __init__(self, wire: Exchange[Any], settings: Any = None) -> None:
        self._wire = wire
        self._settings = settings
        wire.on_omission = self._omitted

    @property
    def credentials(self) -> Any:
        return None if isinstance(self._wire.credentials, Anonymous) else self._wire.credentials

    def describe(self) -> dict[str, str]:
        described = {"clock offset": f"{self._wire.clock.offset:+.0f} s"}
        if (credentials := self.credentials) is not None:
            described["credentials"] = f"{credentials.auth_type} ({credentials.source})"
        return described

    def classify(self, error: Exception) -> StorageError | None:
        return translated(error) if isinstance(error, FAILURES) else None

    def service_time(self) -> float:
        return self._wire.clock.precise()

    async def aclose(self) -> None:
        await self._wire.aclose()

    def _omitted(self, omission: Omission) -> None:
        self.narrow(omission.feature, omission.reason, **omission.changes)


def take_headers(
    http: HTTPOptions, prefix: str, *, reserved: Collection[str] = ()
) -> tuple[HTTPOptions, dict[str, str]]:
    """
    Take those headers of every request out of *http* whose names begin with *prefix*: signatures cover them.

    Returns:
        The options without them, and the headers with names in lower case.

    Raises:
        ConfigurationError: One is in *reserved*: it belongs to the signature.
    """
    taken = {name.lower(): value for name, value in http.headers.items() if name.lower().startswith(prefix)}
    if wrong := sorted(set(taken) & set(reserved)):
        raise ConfigurationError(f"headers cannot have {' or '.join(wrong)}: signing a request adds it")
    if not taken:
        return http, taken
    return replace(http, headers={n: value for n, value in http.headers.items() if n.lower() not in taken}), taken


def sdk_connection(http: HTTPOptions, provider: str) -> tuple[str | bool, dict[str, str]]:
    """
    Return with what an SDK's client verifies certificates, and its proxies.

    Raises:
        NotSupportedError: The storage has an ``ssl_context``, which SDKs do not accept.
    """
    if http.ssl_context is not None:
        raise NotSupportedError("the SDK does not accept an ssl_context: use ca_file", op="native", provider=provider)
    verify = str(http.ca_file) if http.ca_file is not None else http.verify
    return verify, {"http": http.proxy, "https": http.proxy} if http.proxy else {}


def check_presigning(
    service: str,
    method: str,
    expires: timedelta,
    *,
    methods: Collection[str] = ("GET", "HEAD", "PUT", "DELETE"),
    longest: timedelta = timedelta.max,
) -> None:
    """
    Check the arguments of :meth:`~asyncstore.driver.Driver.sign`.

    Raises:
        ConfigurationError: *method* is not one of *methods*, or *expires* is less than a second or more than *longest*.
    """
    if method not in methods:
        raise ConfigurationError(f"{service} presigns URLs for {', '.join(methods)}, not {method!r}")
    if not timedelta(seconds=1) <= expires <= longest:
        limit = "at least one second" if longest == timedelta.max else f"one second to {longest.days} days"
        raise ConfigurationError(f"a presigned URL of {service} is valid for {limit}, not {expires}")

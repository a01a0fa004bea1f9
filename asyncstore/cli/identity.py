"""
Facts about credentials, as JSON records and as lines of text.
"""

from __future__ import annotations

from typing import Any

from asyncstore._support.redact import redact
from asyncstore.auth.credentials import Credentials
from asyncstore.cli.output import Output, moment
from asyncstore.errors import StorageError

#: Width of the name column: the longest name of a setting.
WIDTH = 22


async def facts_of(credentials: Credentials[Any]) -> dict[str, Any]:
    """
    Return what is known about *credentials* and where it comes from, without secrets.
    """
    return {
        "provider": credentials.provider,
        "method": credentials.auth_type,
        "source": redact(credentials.source),
        "anonymous": credentials.anonymous or _found_none(credentials),
        "expires": moment(_whole_seconds(credentials)),
        "region": await _region(credentials),
        "endpoint": credentials.service_endpoint(),
        "identity": {name: redact(value) for name, value in credentials.identity().items()},
        "settings": {**credentials.configuration_sources(), **credentials.setting_sources()},
    }


def show_facts(output: Output, facts: dict[str, Any]) -> None:
    """
    Write *facts* of credentials, as JSON or as lines.
    """
    output.record({"type": "credentials", **facts})
    output.line("credentials")
    for name, value in _rows(facts):
        output.line(f"  {name:{WIDTH}} {value}")


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("provider", facts["provider"]),
        ("method", facts["method"]),
        ("source", facts["source"]),
        *facts["identity"].items(),
        ("expires", facts["expires"] or "unknown or never"),
        ("region", facts["region"] or "unknown"),
        ("endpoint", facts["endpoint"] or "the provider's default"),
    ]
    return [*rows, *((name, f"from {source}") for name, source in facts["settings"].items())]


def _found_none(credentials: Credentials[Any]) -> bool:
    lease = credentials.current()
    return lease is not None and lease.value is None


async def _region(credentials: Credentials[Any]) -> str | None:
    try:
        return await credentials.region()
    except StorageError:
        # If the credentials cannot be resolved, that error is reported already.
        return None


def _whole_seconds(credentials: Credentials[Any]) -> Any:
    end = credentials.expiry()
    return None if end is None else end.replace(microsecond=0)

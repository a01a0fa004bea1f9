"""
Tokens from the Azure CLI, for whoever logged in there.

https://learn.microsoft.com/cli/azure/account#az-account-get-access-token
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from datetime import datetime
from typing import Any, Final

from asyncstore.auth.azure_challenge import Challenge, is_tenant
from asyncstore.auth.azure_token import RESOURCE, AccessGrant, token_grant
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.method import Given
from asyncstore.auth.program import run_program
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError
from asyncstore.threads import in_thread

#: Seconds for the program, if nothing else is set: as long as Microsoft's SDK waits.
TIMEOUT: Final = 10.0

_MAX_TIMEOUT: Final = 50.0
_COMMAND: Final = ("account", "get-access-token", "--output", "json", "--resource", RESOURCE)
_SUBSCRIPTION: Final = re.compile(r"[\w. -]{1,128}", re.ASCII)
_CODE: Final = re.compile(rb"AADSTS\d{4,9}")


class AzureCLI:
    """
    Runs ``az``, without a shell. What it writes to stderr is never shown.

    Raises:
        ConfigurationError: A setting is not what it can be.
    """

    def __init__(self, given: Given, challenge: Challenge) -> None:
        self._given = given
        self._challenge = challenge
        self._timeout = _seconds(given.get("process_timeout"))
        tenant, subscription = given.get("tenant_id"), given.get("subscription")
        if tenant is not None and not is_tenant(str(tenant)):
            raise ConfigurationError(f"tenant_id {tenant!r} is none: it has letters, digits, dots and hyphens")
        if subscription is not None and (
            not _SUBSCRIPTION.fullmatch(str(subscription)) or str(subscription).startswith("-")
        ):
            raise ConfigurationError(f"subscription {subscription!r} is none: give its id")

    async def fetch(self) -> AccessGrant:
        """
        Return a token of the account that is logged in.
        """
        if self._challenge.claims is not None:
            raise UnauthenticatedError(
                "the storage wants a login with further claims: run az logout and az login", provider="azure"
            )
        program = await in_thread(_program)
        if program is None:
            raise MissingCredentialsError("the Azure CLI, az, is not in PATH")
        ended = await run_program(
            [program, *_COMMAND, *self._options()],
            name="the Azure CLI",
            timeout=self._timeout,
            environment={"AZURE_CORE_NO_COLOR": "true"},
            # It is written in Python, which looks for modules where it runs.
            directory=os.environ.get("SYSTEMROOT", "C:\\") if sys.platform == "win32" else "/",
            errors=True,
        )
        if ended.code != 0:
            raise _refusal(ended.code, ended.errors)
        return token_grant(_document(ended.output), "the Azure CLI")

    def _options(self) -> list[str]:
        options = []
        for name in ("tenant_id", "subscription"):
            if (value := self._given.get(name)) is not None:
                options += [f"--{name.removesuffix('_id')}", str(value)]
        return options


def _program() -> str | None:
    return shutil.which("az")


def _document(output: bytes) -> dict[str, Any]:
    try:
        document = json.loads(output)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnauthenticatedError("the Azure CLI printed no JSON document", provider="azure")
    end = document.get("expires_on") or _local(document.get("expiresOn"))
    return {"access_token": document.get("accessToken"), "expires_on": end}


def _local(text: Any) -> float | None:
    """Older versions tell the time of this machine's zone, and nothing else."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None


def _refusal(code: int, errors: bytes) -> StorageError:
    found = _CODE.search(errors)
    if found is None and (b"az login" in errors or b"az account set" in errors):
        return MissingCredentialsError("nobody is logged in to the Azure CLI: run az login", provider="azure")
    why = f" ({found.group().decode()})" if found else ""
    return UnauthenticatedError(
        f"the Azure CLI ended with {code}{why}: run az account get-access-token to see why",
        provider="azure",
        code=found.group().decode() if found else None,
    )


def _seconds(value: Any) -> float:
    try:
        seconds = TIMEOUT if value is None else float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= _MAX_TIMEOUT:
        raise ConfigurationError(f"process_timeout is a number of seconds up to {_MAX_TIMEOUT:g}, not {value!r}")
    return seconds

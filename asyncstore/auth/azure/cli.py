"""
Tokens from the Azure CLI, for the account that is logged in.

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

from asyncstore._support.threads import in_thread
from asyncstore.auth.azure.challenge import Challenge, is_tenant
from asyncstore.auth.azure.token import RESOURCE, AccessGrant, token_grant
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.program import run_program, timeout_of
from asyncstore.auth.tokens import MissingCredentialsError
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError

#: Default timeout of the program in seconds, the same as in Microsoft's SDK.
TIMEOUT: Final = 10.0

_COMMAND: Final = ("account", "get-access-token", "--output", "json", "--resource", RESOURCE)
_SUBSCRIPTION: Final = re.compile(r"[\w. -]{1,128}", re.ASCII)
_CODE: Final = re.compile(rb"AADSTS\d{4,9}")


class AzureCLI:
    """
    Runs ``az`` without a shell. Its stderr is never shown.

    Raises:
        ConfigurationError: A setting has an invalid value.
    """

    def __init__(self, settings: MethodSettings, challenge: Challenge) -> None:
        self._settings = settings
        self._challenge = challenge
        self._timeout = timeout_of(settings.get("process_timeout"), TIMEOUT)
        tenant, subscription = settings.get("tenant_id"), settings.get("subscription")
        if tenant is not None and not is_tenant(str(tenant)):
            raise ConfigurationError(f"tenant_id {tenant!r} is not valid: use letters, digits, dots and hyphens")
        if subscription is not None and (
            not _SUBSCRIPTION.fullmatch(str(subscription)) or str(subscription).startswith("-")
        ):
            raise ConfigurationError(f"subscription {subscription!r} is not valid: use its id")

    async def fetch(self) -> AccessGrant:
        """
        Return a token of the account that is logged in.
        """
        if self._challenge.claims is not None:
            raise UnauthenticatedError(
                "the storage requires a login with further claims: run az logout and az login", provider="azure"
            )
        program = await in_thread(_program)
        if program is None:
            raise MissingCredentialsError("the Azure CLI, az, is not in PATH")
        ended = await run_program(
            [program, *_COMMAND, *self._options()],
            name="the Azure CLI",
            timeout=self._timeout,
            environment={"AZURE_CORE_NO_COLOR": "true"},
            # az is a Python program, and Python imports modules from the current directory.
            directory=os.environ.get("SYSTEMROOT", "C:\\") if sys.platform == "win32" else "/",
            errors=True,
        )
        if ended.code != 0:
            raise _refusal(ended.code, ended.errors)
        return token_grant(_document(ended.output), "the Azure CLI")

    def _options(self) -> list[str]:
        options = []
        for name in ("tenant_id", "subscription"):
            if (value := self._settings.get(name)) is not None:
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
        raise UnauthenticatedError("the output of the Azure CLI is not a JSON object", provider="azure")
    end = document.get("expires_on") or _local(document.get("expiresOn"))
    return {"access_token": document.get("accessToken"), "expires_on": end}


def _local(text: Any) -> float | None:
    """Parse the only expiry that older versions print: local time without a zone."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None


def _refusal(code: int, errors: bytes) -> StorageError:
    found = _CODE.search(errors)
    if found is None and (b"az login" in errors or b"az account set" in errors):
        return MissingCredentialsError("not logged in to the Azure CLI: run az login", provider="azure")
    reason = f" ({found.group().decode()})" if found else ""
    return UnauthenticatedError(
        f"the Azure CLI exited with status {code}{reason}: run az account get-access-token to see the reason",
        provider="azure",
        code=found.group().decode() if found else None,
    )

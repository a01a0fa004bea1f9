"""
The agent of Azure Arc wants to see that whoever asks can read a file of its own.

https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.threads import in_thread

NAME: Final = "Azure Arc"

#: Where the agent puts its keys; nothing else is read, whatever it says.
KEYS: Final = Path("/var/opt/azcmagent/tokens")

_MAX_KEY: Final = 4096


async def answered(service: TokenService, url: str, challenge: Answer) -> Answer:
    """
    Return the reply to the request at *url* once more, with the key that *challenge* names.

    Raises:
        ConfigurationError: This process may not read the key.
        UnauthenticatedError: The challenge is none, or names another file.
    """
    scheme, _, name = challenge.headers.get("WWW-Authenticate", "").partition("=")
    if scheme.strip().lower() != "basic realm":
        raise UnauthenticatedError(f"{NAME} at {challenge.place} asks for something else than a file", provider="azure")
    key = await in_thread(_key, name.strip().strip('"'))
    headers = {"Metadata": "true", "Authorization": f"Basic {key}"}
    return await service.send("GET", url, headers, near=True)


def _key(name: str) -> str:
    if sys.platform != "linux":
        raise ConfigurationError(f"{NAME} is supported on Linux: give a credential of azure-identity")
    path = PurePath(name)
    if path.parent != KEYS or path.suffix != ".key" or ".." in path.parts:
        raise UnauthenticatedError(f"{NAME} names a file outside {KEYS}, which is not read", provider="azure")
    if Path(path).is_symlink():
        raise UnauthenticatedError(f"{NAME} names a file that is a link, which is not read", provider="azure")
    try:
        key = read_token_file(Path(path), f"the key of {NAME}", _MAX_KEY)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{exc.message}; members of the group himds may read it") from None
    if not key.isprintable():
        raise UnauthenticatedError(f"{NAME} has a key with characters that no header takes", provider="azure")
    return key


def check_identity(document: Mapping[str, Any], name: str | None, value: str) -> None:
    """
    Check that the token is that of the identity asked for: older agents know only the machine's own.

    Args:
        name: Of the setting that names it.

    Raises:
        UnauthenticatedError: The agent does not confirm it.
    """
    if name is None:
        return
    fields = ("msi_res_id", "mi_res_id") if name == "resource_id" else (name,)
    told = {str(document[field]).lower() for field in fields if document.get(field)}
    if told != {value.lower()}:
        raise UnauthenticatedError(
            f"{NAME} does not say that its token is that of the identity with this {name}", provider="azure"
        )

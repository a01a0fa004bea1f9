"""
Azure Arc: its agent requires callers to prove that they can read a key file.

https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

from asyncstore._support.threads import in_thread
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import ConfigurationError, UnauthenticatedError

NAME: Final = "Azure Arc"

#: Where the agent writes its keys; a file anywhere else is never read.
KEYS: Final = Path("/var/opt/azcmagent/tokens")

_MAX_KEY: Final = 4096


async def answer_challenge(service: TokenService, url: str, challenge: Answer) -> Answer:
    """
    Send the request again with the key that *challenge* names, and return the reply.

    Raises:
        ConfigurationError: This process cannot read the key.
        UnauthenticatedError: The challenge is malformed, or names a file outside :data:`KEYS`.
    """
    scheme, _, name = challenge.headers.get("WWW-Authenticate", "").partition("=")
    if scheme.strip().lower() != "basic realm":
        raise UnauthenticatedError(f"{NAME} at {challenge.place} did not name a key file", provider="azure")
    key = await in_thread(_key, name.strip().strip('"'))
    headers = {"Metadata": "true", "Authorization": f"Basic {key}"}
    return await service.send("GET", url, headers, near=True)


def _key(name: str) -> str:
    if sys.platform != "linux":
        raise ConfigurationError(f"{NAME} is supported on Linux only: use an azure-identity credential")
    path = PurePath(name)
    if path.parent != KEYS or path.suffix != ".key" or ".." in path.parts:
        raise UnauthenticatedError(f"{NAME} names a key file outside {KEYS}; it is not read", provider="azure")
    if Path(path).is_symlink():
        raise UnauthenticatedError(f"{NAME} names a key file that is a symbolic link; it is not read", provider="azure")
    try:
        key = read_token_file(Path(path), f"the key of {NAME}", _MAX_KEY)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{exc.message}; add this user to the group himds") from None
    if not key.isprintable():
        raise UnauthenticatedError(f"the key of {NAME} has characters that are not valid in a header", provider="azure")
    return key


def check_identity(document: Mapping[str, Any], name: str | None, value: str) -> None:
    """
    Check that the token belongs to the requested identity: older agents ignore the request for another.

    Args:
        name: The setting that names the identity.

    Raises:
        UnauthenticatedError: The reply does not confirm it.
    """
    if name is None:
        return
    fields = ("msi_res_id", "mi_res_id") if name == "resource_id" else (name,)
    confirmed = {str(document[field]).lower() for field in fields if document.get(field)}
    if confirmed != {value.lower()}:
        raise UnauthenticatedError(
            f"{NAME} did not confirm that its token belongs to the identity with this {name}", provider="azure"
        )

"""
Keys from the agent of a container: ECS tasks and EKS Pod Identity.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import ipaddress
from typing import Final

from asyncstore.auth.aws_document import KeyGrant, grant_of
from asyncstore.auth.aws_endpoints import address_of
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.credentials import is_loopback
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.method import Given
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.token_service import TokenService
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from asyncstore.threads import in_thread

#: The agent of ECS, and that of EKS, which may be asked over plain HTTP.
AGENTS: Final = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})

_ECS: Final = "http://169.254.170.2"
_MAX_TOKEN: Final = 16 * 1024


class ContainerAgent:
    """
    The service that the container's environment names.

    Raises:
        ConfigurationError: It is plain HTTP to some other host.
    """

    def __init__(self, given: Given, service: TokenService) -> None:
        self._given = given
        self._service = service
        if "credentials_uri" in given.settings:
            _check(str(given.settings["credentials_uri"]))

    async def fetch(self) -> KeyGrant:
        """
        Return the keys that the agent gives now.
        """
        url, near = self._address()
        answer = await self._service.send("GET", url, await self._headers(), near=near)
        if answer.status == 200:
            return grant_of(answer.document(), f"the container's agent at {answer.place}", token="Token")  # noqa: S106
        said = answer.document().get("code")
        kind = UnavailableError if answer.passing else UnauthenticatedError
        raise kind(
            f"the container's agent at {answer.place} gives no keys",
            provider="s3",
            code=said if isinstance(said, str) else None,
            status=answer.status,
        )

    def _address(self) -> tuple[str, bool]:
        # As the SDKs: the relative one goes first.
        if relative := self._given.get("credentials_relative_uri"):
            if not str(relative).startswith("/"):
                raise ConfigurationError("credentials_relative_uri is a path, which starts with /")
            return f"{_ECS}{relative}", True
        if (url := self._given.get("credentials_uri")) is None:
            raise MissingCredentialsError(
                "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set"
            )
        return str(url), _check(str(url))

    async def _headers(self) -> dict[str, str]:
        # Read each time: EKS replaces the file.
        if file := self._given.get("authorization_token_file"):
            token: str | None = await in_thread(read_token_file, file, "authorization_token_file", _MAX_TOKEN)
        else:
            token = await secret_text("authorization_token", self._given.get("authorization_token"))
        if not token:
            return {}
        if not token.isprintable():
            raise ConfigurationError("the token for the container's agent has characters that no header takes")
        return {"Authorization": token}


def _check(url: str) -> bool:
    """Whether *url* is near: of this machine, or of an agent."""
    parts = address_of(url, "credentials_uri")
    host = parts.hostname or ""
    near = is_loopback(host) or _is_agent(host)
    if parts.scheme not in ("http", "https") or (parts.scheme == "http" and not near):
        raise ConfigurationError(
            f"credentials_uri is https, or http to this machine or one of {', '.join(sorted(AGENTS))}"
        )
    return near


def _is_agent(host: str) -> bool:
    try:
        return str(ipaddress.ip_address(host)) in AGENTS
    except ValueError:
        return False

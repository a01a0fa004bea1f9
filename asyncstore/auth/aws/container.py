"""
Keys from the credentials agent of a container: ECS tasks and EKS Pod Identity.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import ipaddress
from typing import Final

from asyncstore._support.threads import in_thread
from asyncstore.auth.aws.document import KeyGrant, grant_of
from asyncstore.auth.aws.endpoints import address_of
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import MissingCredentialsError, secret_text
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import is_loopback

#: Addresses of the agents of ECS and EKS, which may be asked over plain HTTP.
AGENTS: Final = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})

_ECS: Final = "http://169.254.170.2"
_MAX_TOKEN: Final = 16 * 1024


class ContainerAgent:
    """
    The service that the container's environment names.

    Raises:
        ConfigurationError: Its URL is plain HTTP to another host.
    """

    def __init__(self, settings: MethodSettings, service: TokenService) -> None:
        self._settings = settings
        self._service = service
        if "credentials_uri" in settings.explicit:
            _check(str(settings.explicit["credentials_uri"]))

    async def fetch(self) -> KeyGrant:
        """
        Return new keys.

        Raises:
            MissingCredentialsError: The environment names no agent.
            UnauthenticatedError, UnavailableError: The agent refused, or did not answer.
        """
        url, near = self._address()
        answer = await self._service.send("GET", url, await self._headers(), near=near)
        if answer.status == 200:
            return grant_of(answer.document(), f"the container's agent at {answer.place}", token="Token")  # noqa: S106
        code = answer.document().get("code")
        raise answer.refusal(f"the container's agent at {answer.place} issued no keys", provider="s3", code=code)

    def _address(self) -> tuple[str, bool]:
        # Like the SDKs: the relative URI takes precedence.
        if relative := self._settings.get("credentials_relative_uri"):
            if not str(relative).startswith("/"):
                raise ConfigurationError("credentials_relative_uri is a path that starts with /")
            return f"{_ECS}{relative}", True
        if (url := self._settings.get("credentials_uri")) is None:
            raise MissingCredentialsError(
                "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set"
            )
        return str(url), _check(str(url))

    async def _headers(self) -> dict[str, str]:
        # Read for each request: EKS replaces the file.
        if file := self._settings.get("authorization_token_file"):
            token: str | None = await in_thread(read_token_file, file, "authorization_token_file", _MAX_TOKEN)
        else:
            token = await secret_text("authorization_token", self._settings.get("authorization_token"))
        if not token:
            return {}
        if not token.isprintable():
            raise ConfigurationError("the token for the container's agent has characters that HTTP forbids in headers")
        return {"Authorization": token}


def _check(url: str) -> bool:
    """Whether *url* is on this machine or that of an agent, so that no proxy is used."""
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

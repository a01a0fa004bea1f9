"""
Service account impersonation.

https://cloud.google.com/iam/docs/service-account-impersonation
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from asyncstore.auth.gcp.goog4 import URLSigner
from asyncstore.auth.gcp.iam import IAM, IAMSigner
from asyncstore.auth.gcp.identity import SCOPES, UNIVERSE, Identity, Token
from asyncstore.auth.tokens import Grant
from asyncstore.errors import ConfigurationError

#: Default lifetime of a token in seconds.
LIFETIME: Final = 3600

#: Valid lifetimes; more than an hour needs an organization policy.
#: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
_LIFETIMES: Final = range(1, 43_201)

# An email, or the account's unique numeric id.
_ACCOUNT: Final = re.compile(r"[\w.+-]+@[\w.-]+|\d+", re.ASCII)
_URL: Final = re.compile(
    r"(?P<endpoint>https?://[^/?#]+)/v1/projects/-/serviceAccounts/(?P<account>[^/:?#]+):generateAccessToken"
)


@dataclass(frozen=True, slots=True)
class Target:
    """
    The account to impersonate, and the tokens to request.

    Attributes:
        principal: The service account.
        delegates: The delegation chain: each account is allowed to impersonate the next.
        lifetime: Seconds.

    Raises:
        ConfigurationError: A value is not valid.
    """

    principal: str
    delegates: tuple[str, ...] = ()
    lifetime: int = LIFETIME
    scopes: tuple[str, ...] = SCOPES

    def __post_init__(self) -> None:
        for name in (self.principal, *(one.rpartition("/")[2] for one in self.delegates)):
            if not _ACCOUNT.fullmatch(name):
                raise ConfigurationError(f"{name!r} is not a service account: use its email or numeric id")
        if self.lifetime not in _LIFETIMES:
            raise ConfigurationError(
                f"lifetime must be {_LIFETIMES.start} to {_LIFETIMES.stop - 1} seconds, not {self.lifetime}"
            )


class Impersonated(Identity):
    """
    A service account whose tokens are requested by another identity.

    Args:
        iam: Authenticated as that other identity; closed with this one.
        auth_type: The method that uses it.
    """

    def __init__(
        self,
        iam: IAM,
        target: Target,
        source: str,
        *,
        auth_type: str = "impersonated_service_account",
        universe_domain: str = UNIVERSE,
    ) -> None:
        self.auth_type = auth_type
        self.account = target.principal
        self.source = source
        self.universe_domain = universe_domain
        self._iam = iam
        self._target = target

    async def fetch(self) -> Grant[Token]:
        target = self._target
        return await self._iam.access_token(
            target.principal, delegates=target.delegates, scopes=target.scopes, lifetime=target.lifetime
        )

    async def signer(self) -> URLSigner:
        return IAMSigner(self._iam, self._target.principal, self._target.delegates)

    async def aclose(self) -> None:
        await self._iam.aclose()


def parse_impersonation_url(url: Any) -> tuple[str, str]:
    """
    Return the endpoint and the account in a ``service_account_impersonation_url``.

    Raises:
        ConfigurationError: It has another form.
    """
    match = _URL.fullmatch(str(url))
    if match is None:
        raise ConfigurationError(
            "service_account_impersonation_url must be "
            "https://HOST/v1/projects/-/serviceAccounts/ACCOUNT:generateAccessToken"
        )
    return match["endpoint"], match["account"]


def lifetime_of(value: Any) -> int:
    """
    Return a lifetime in seconds; :class:`Target` checks its range.
    """
    try:
        return LIFETIME if value is None else int(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"lifetime must be a number of seconds, not {value!r}") from None

"""
Tokens of a service account, for somebody who may have them.

https://cloud.google.com/iam/docs/service-account-impersonation
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from asyncstore.auth.gcp_iam import IAM, IAMSigner
from asyncstore.auth.gcp_identity import SCOPES, UNIVERSE, Identity, Token
from asyncstore.auth.goog4 import URLSigner
from asyncstore.auth.tokens import Grant
from asyncstore.errors import ConfigurationError

#: Seconds that a token lasts if nothing else is set.
LIFETIME: Final = 3600

#: Seconds; more than an hour has to be allowed by the organisation.
#: https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
_LIFETIMES: Final = range(1, 43_201)

# An address, or the number that an account keeps when it is made anew.
_ACCOUNT: Final = re.compile(r"[\w.+-]+@[\w.-]+|\d+", re.ASCII)
_URL: Final = re.compile(
    r"(?P<endpoint>https?://[^/?#]+)/v1/projects/-/serviceAccounts/(?P<account>[^/:?#]+):generateAccessToken"
)


@dataclass(frozen=True, slots=True)
class Target:
    """
    Whose tokens are wanted, and what for.

    Attributes:
        principal: The service account.
        delegates: Accounts in between: each may have tokens of the next one.
        lifetime: Seconds.

    Raises:
        ConfigurationError: One is not what Google would take.
    """

    principal: str
    delegates: tuple[str, ...] = ()
    lifetime: int = LIFETIME
    scopes: tuple[str, ...] = SCOPES

    def __post_init__(self) -> None:
        for name in (self.principal, *(one.rpartition("/")[2] for one in self.delegates)):
            if not _ACCOUNT.fullmatch(name):
                raise ConfigurationError(f"{name!r} is no service account: it has an address or a number")
        if self.lifetime not in _LIFETIMES:
            raise ConfigurationError(
                f"a token of another account lasts {_LIFETIMES.start} to {_LIFETIMES.stop - 1} seconds, "
                f"not {self.lifetime}"
            )


class Impersonated(Identity):
    """
    A service account, whose tokens somebody else asks for.

    Args:
        iam: Who does, and where; it is closed with this.
        auth_type: The method that led here.
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
        ConfigurationError: It is no such address.
    """
    match = _URL.fullmatch(str(url))
    if match is None:
        raise ConfigurationError(
            "service_account_impersonation_url is https://HOST/v1/projects/-/serviceAccounts/ACCOUNT:generateAccessToken"
        )
    return match["endpoint"], match["account"]


def lifetime_of(value: Any) -> int:
    """
    Return a number of seconds; what is none is refused by :class:`Target`.
    """
    try:
        return LIFETIME if value is None else int(value)
    except (TypeError, ValueError):
        raise ConfigurationError(f"lifetime is a number of seconds, not {value!r}") from None

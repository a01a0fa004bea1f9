"""
What applications of Microsoft Entra prove themselves by: a secret, a certificate, or another provider's token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from asyncstore.auth.azure_certificate import Certificate
from asyncstore.auth.azure_entra import Application
from asyncstore.auth.azure_token import AccessGrant
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.method import Given
from asyncstore.auth.secret_values import secret_text
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.threads import in_thread

_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# Bytes of the longest token of a cluster; they have one or two thousand.
_MAX_TOKEN: Final = 64 * 1024

# What each needs besides the application itself: one of these.
_PROOFS: Final[Mapping[str, tuple[str, ...]]] = {
    "client_secret": ("client_secret",),
    "client_certificate": ("certificate_path", "certificate_data"),
    "workload_identity": ("federated_token_file",),
}


class Proving(Protocol):
    """
    An application that can prove itself.
    """

    def __init__(self, given: Given, application: Application) -> None: ...

    async def fetch(self) -> AccessGrant:
        """Return a new token."""
        ...


class ClientSecret:
    """
    An application that knows a password.
    """

    def __init__(self, given: Given, application: Application) -> None:
        self._given = given
        self._application = application

    async def fetch(self) -> AccessGrant:
        """
        Return a new token.
        """
        require(self._given, "client_secret")
        secret = await secret_text("client_secret", self._given.get("client_secret"))
        if not secret:
            raise UnauthenticatedError("the client_secret is empty", provider="azure")

        async def proof(_: str, __: float) -> Mapping[str, str]:
            return {"client_secret": secret}

        return await self._application.token(proof)


class ClientCertificate:
    """
    An application that holds the key of a certificate.

    The file is read each time, since certificates are replaced.
    """

    def __init__(self, given: Given, application: Application) -> None:
        self._given = given
        self._application = application
        self._certificate = Certificate(given)
        flag(given.settings.get("send_certificate_chain") or False)

    async def fetch(self) -> AccessGrant:
        """
        Return a new token.
        """
        require(self._given, "client_certificate")
        client_id = str(self._given.get("client_id"))
        chain = flag(self._given.get("send_certificate_chain") or False)

        async def proof(url: str, clock_offset: float) -> Mapping[str, str]:
            assertion = await self._certificate.assertion(client_id, url, chain=chain, clock_offset=clock_offset)
            return {"client_assertion_type": _ASSERTION, "client_assertion": assertion}

        return await self._application.token(proof)


class WorkloadIdentity:
    """
    An application that takes the word of another identity provider.

    The file is read each time: the cluster replaces it.
    """

    def __init__(self, given: Given, application: Application) -> None:
        self._given = given
        self._application = application

    async def fetch(self) -> AccessGrant:
        """
        Return a new token.
        """
        require(self._given, "workload_identity")
        file = self._given.get("federated_token_file")

        async def proof(_: str, __: float) -> Mapping[str, str]:
            token = await in_thread(read_token_file, file, "federated_token_file", _MAX_TOKEN)
            return {"client_assertion_type": _ASSERTION, "client_assertion": token}

        return await self._application.token(proof)


PROVING: Final[Mapping[str, type[Proving]]] = {
    "client_secret": ClientSecret,
    "client_certificate": ClientCertificate,
    "workload_identity": WorkloadIdentity,
}


def check_complete(given: Given, auth_type: str) -> None:
    """
    Check that whoever gave some of the settings of *auth_type* gave all, or the environment has the others.

    Raises:
        ConfigurationError: Some are missing, or there are two proofs.
    """
    names = ("tenant_id", "client_id", *_PROOFS[auth_type])
    if len([name for name in _PROOFS[auth_type] if name in given.settings]) > 1:
        raise ConfigurationError(f"give {' or '.join(_PROOFS[auth_type])}, not both")
    if any(name in given.settings for name in names) and (missing := _missing(given, auth_type)):
        raise ConfigurationError(f"auth_type {auth_type!r} needs {' and '.join(missing)} too")


def require(given: Given, auth_type: str) -> None:
    """
    Check that there is all that *auth_type* needs.

    Raises:
        MissingCredentialsError: There is not; says which settings and variables are missing.
    """
    if missing := _missing(given, auth_type):
        variables = {setting.name: setting.variables for setting in given.declared}
        told = [f"{name} ({variables[name][0]})" for name in missing]
        raise MissingCredentialsError(f"{' and '.join(told)} {'is' if len(told) == 1 else 'are'} not set")


def proof_in(given: Given, auth_type: str) -> bool:
    """
    Whether there is what *auth_type* proves an application by.
    """
    return any(name in given for name in _PROOFS[auth_type])


def _missing(given: Given, auth_type: str) -> list[str]:
    missing = [name for name in ("tenant_id", "client_id") if name not in given]
    return missing if proof_in(given, auth_type) else [*missing, _PROOFS[auth_type][0]]

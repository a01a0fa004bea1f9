"""
How a Microsoft Entra application authenticates: client secret, certificate, or another provider's token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from asyncstore._support.threads import in_thread
from asyncstore.auth.azure.certificate import Certificate
from asyncstore.auth.azure.entra import Application
from asyncstore.auth.azure.token import AccessGrant
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.tokens import MissingCredentialsError, secret_text
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# Limit in bytes for a federated token; real ones have one or two thousand.
_MAX_TOKEN: Final = 64 * 1024

# What each method needs besides tenant and client id: one of these.
_PROOFS: Final[Mapping[str, tuple[str, ...]]] = {
    "client_secret": ("client_secret",),
    "client_certificate": ("certificate_path", "certificate_data"),
    "workload_identity": ("federated_token_file",),
}


class ClientCredential(Protocol):
    """
    An application together with the way it authenticates.
    """

    def __init__(self, settings: MethodSettings, application: Application) -> None: ...

    async def fetch(self) -> AccessGrant:
        """Return a new token."""
        ...


class ClientSecret:
    """
    Authenticates an application with its client secret.
    """

    def __init__(self, settings: MethodSettings, application: Application) -> None:
        self._settings = settings
        self._application = application

    async def fetch(self) -> AccessGrant:
        """
        Return a new token.
        """
        require(self._settings, "client_secret")
        secret = await secret_text("client_secret", self._settings.get("client_secret"))
        if not secret:
            raise UnauthenticatedError("client_secret is empty", provider="azure")

        async def proof(_: str, __: float) -> Mapping[str, str]:
            return {"client_secret": secret}

        return await self._application.token(proof)


class ClientCertificate:
    """
    Authenticates an application with a certificate.

    The file is read for every token, because certificates are rotated.
    """

    def __init__(self, settings: MethodSettings, application: Application) -> None:
        self._settings = settings
        self._application = application
        self._certificate = Certificate(settings)
        flag(settings.explicit.get("send_certificate_chain") or False)

    async def fetch(self) -> AccessGrant:
        """
        Return a new token.
        """
        require(self._settings, "client_certificate")
        client_id = str(self._settings.get("client_id"))
        chain = flag(self._settings.get("send_certificate_chain") or False)

        async def proof(url: str, clock_offset: float) -> Mapping[str, str]:
            assertion = await self._certificate.assertion(client_id, url, chain=chain, clock_offset=clock_offset)
            return {"client_assertion_type": _ASSERTION, "client_assertion": assertion}

        return await self._application.token(proof)


class WorkloadIdentity:
    """
    Authenticates an application with a token from another identity provider.

    The file is read for every token, because the cluster replaces it.
    """

    def __init__(self, settings: MethodSettings, application: Application) -> None:
        self._settings = settings
        self._application = application

    async def fetch(self) -> AccessGrant:
        """
        Return a new token.
        """
        require(self._settings, "workload_identity")
        file = self._settings.get("federated_token_file")

        async def proof(_: str, __: float) -> Mapping[str, str]:
            token = await in_thread(read_token_file, file, "federated_token_file", _MAX_TOKEN)
            return {"client_assertion_type": _ASSERTION, "client_assertion": token}

        return await self._application.token(proof)


CLIENT_CREDENTIALS: Final[Mapping[str, type[ClientCredential]]] = {
    "client_secret": ClientSecret,
    "client_certificate": ClientCertificate,
    "workload_identity": WorkloadIdentity,
}


def check_complete(settings: MethodSettings, auth_type: str) -> None:
    """
    Check that if any setting of *auth_type* is set, the others are set too, here or in the environment.

    Raises:
        ConfigurationError: Some are missing, or two alternatives are both set.
    """
    names = ("tenant_id", "client_id", *_PROOFS[auth_type])
    if len([name for name in _PROOFS[auth_type] if name in settings.explicit]) > 1:
        raise ConfigurationError(f"set {' or '.join(_PROOFS[auth_type])}, not both")
    if any(name in settings.explicit for name in names) and (missing := _missing(settings, auth_type)):
        raise ConfigurationError(f"auth_type {auth_type!r} also needs {' and '.join(missing)}")


def require(settings: MethodSettings, auth_type: str) -> None:
    """
    Check that everything that *auth_type* needs is set.

    Raises:
        MissingCredentialsError: Something is missing; names the settings and variables.
    """
    if missing := _missing(settings, auth_type):
        variables = {setting.name: setting.variables for setting in settings.declared}
        names = [f"{name} ({variables[name][0]})" for name in missing]
        raise MissingCredentialsError(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} not set")


def has_proof(settings: MethodSettings, auth_type: str) -> bool:
    """
    Return whether the secret, certificate or token that *auth_type* needs is set.
    """
    return any(name in settings for name in _PROOFS[auth_type])


def _missing(settings: MethodSettings, auth_type: str) -> list[str]:
    missing = [name for name in ("tenant_id", "client_id") if name not in settings]
    return missing if has_proof(settings, auth_type) else [*missing, _PROOFS[auth_type][0]]

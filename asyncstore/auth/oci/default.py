"""
The default chain of OCI: variables, profile, then the principals of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from asyncstore.auth.methods import Chain, Method
from asyncstore.auth.oci.session import KeyGrant
from asyncstore.auth.oci.signature import OCIKeys
from asyncstore.auth.tokens import MissingCredentialsError
from asyncstore.errors import ConfigurationError

#: Names of auth types in ``OCI_CLI_AUTH``, in profiles, and in the settings of OME.
TYPE_ALIASES: Final = {
    "api_key": "user_principal",
    "security_token": "session_token",
    "instance_obo_user": "delegation_token",
    "delegation_token_with_instance_principal": "delegation_token",
    "OCIUserPrincipal": "user_principal",
    "OCISessionToken": "session_token",
    "OCIInstancePrincipal": "instance_principal",
    "OCIResourcePrincipal": "resource_principal",
    "OCIOkeWorkloadIdentity": "oke_workload_identity",
}

# Methods whose identity is in a profile, which determines the method itself.
_OF_PROFILES: Final = ("user_principal", "session_token")

# The other methods that OCI_CLI_AUTH can name.
_OTHERS: Final = ("instance_principal", "resource_principal", "oke_workload_identity", "delegation_token")


@dataclass(frozen=True, slots=True)
class OCIMethod(Method[OCIKeys | None]):
    """
    One way to obtain OCI keys.

    Attributes:
        region: Returns the region that belongs to the keys.
        domain: Returns the domain of a region's realm, if the method knows more than our table.
        undecided: Whether only *fetch* finds out which method, and so which region, applies.
    """

    region: Callable[[], Awaitable[str | None]] = field(repr=False)
    domain: Callable[[str], Awaitable[str | None]] | None = field(default=None, repr=False)
    undecided: bool = False


class DefaultChain:
    """
    The method that ``OCI_CLI_AUTH`` names, else the first that applies.

    The methods are the environment or a profile, a resource principal, the workload
    identity of a pod that sets a region for it, and an instance principal. A method that
    applies and is refused stops the chain: the next one would be another identity.

    Args:
        profile: The method for the environment or a profile.
        make: Creates the method of an auth type from the environment.
    """

    def __init__(self, profile: OCIMethod, make: Callable[[str], OCIMethod]) -> None:
        self._profile = profile
        self._make = make
        self._named: dict[str, OCIMethod] = {}
        links = [
            profile,
            _if_present(make("resource_principal"), _missing_for_resource),
            _if_present(make("oke_workload_identity"), _missing_for_workload),
            _if_present(make("instance_principal"), lambda: None),
        ]
        self._chain: Chain[OCIMethod, OCIKeys | None] = Chain(links, name="OCI", provider="oci", strict=True)

    async def fetch(self) -> KeyGrant:
        """
        Return the keys of the method that applies.

        Raises:
            ConfigurationError: ``OCI_CLI_AUTH`` names an unknown method.
            UnauthenticatedError: No method applies.
        """
        named = os.environ.get("OCI_CLI_AUTH", "")
        if _is_in_profile(TYPE_ALIASES.get(named, named)):
            return await self._profile.fetch()
        grant = await (self._method(named).fetch() if named else self._chain.fetch())
        found = self._found
        if found is self._profile:
            return grant
        return replace(grant, source=f"{found.auth_type}: {grant.source or found.source}")

    async def region(self) -> str | None:
        """
        Return the region of the method that applies.
        """
        return await self._found.region()

    async def domain(self, region: str) -> str | None:
        """
        Return the domain of *region*'s realm, if that method knows it.
        """
        found = self._found
        return None if found.domain is None else await found.domain(region)

    @property
    def _found(self) -> OCIMethod:
        return next(iter(self._named.values()), None) or self._chain.found or self._profile

    def _method(self, name: str) -> OCIMethod:
        if name not in self._named:
            auth_type = TYPE_ALIASES.get(name, name)
            if auth_type not in _OTHERS:
                known = ", ".join(sorted({*_OF_PROFILES, *_OTHERS, *TYPE_ALIASES}))
                raise ConfigurationError(f"OCI_CLI_AUTH names an unknown method {name[:40]!r}; known: {known}")
            self._named[name] = self._make(auth_type)
        return self._named[name]


def _is_in_profile(auth_type: str) -> bool:
    # In Cloud Shell the variable names delegation, and the profile has the token file.
    delegated = auth_type == "delegation_token" and not os.environ.get("OCI_CLI_DELEGATION_TOKEN_FILE")
    return auth_type in _OF_PROFILES or delegated


def _if_present(method: OCIMethod, missing: Callable[[], str | None]) -> OCIMethod:
    present = method.optional()

    async def fetch() -> KeyGrant:
        if reason := missing():
            raise MissingCredentialsError(reason)
        return await present.fetch()

    return replace(method, fetch=fetch)


def _missing_for_resource() -> str | None:
    """Return why this is not a resource with a principal, if it is not."""
    if not os.environ.get("OCI_RESOURCE_PRINCIPAL_VERSION"):
        return "OCI_RESOURCE_PRINCIPAL_VERSION is not set"
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("OCI_RESOURCE_PRINCIPAL_RPST"):
        # Pods in OKE set the version too, for their workload identity.
        return "OCI_RESOURCE_PRINCIPAL_RPST is not set in this pod"
    return None


def _missing_for_workload() -> str | None:
    """Return why this is not a pod with a workload identity, if it is not: such a pod sets a region."""
    names = ("KUBERNETES_SERVICE_HOST", "OCI_RESOURCE_PRINCIPAL_REGION")
    missing = [name for name in names if not os.environ.get(name)]
    return f"{' and '.join(missing)} not set" if missing else None

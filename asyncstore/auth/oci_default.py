"""
The default chain of OCI: what the variables, the profile and the machine say of who this is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from asyncstore.auth.chain import Chain, MissingCredentialsError, NobodyThereError
from asyncstore.auth.oci_table import METHODS, TYPE_ALIASES
from asyncstore.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncstore.auth.oci_methods import Method, Outcome

# Those whose identity is in a profile, which says itself which one it is.
_OF_PROFILES: Final = ("user_principal", "session_token")

# What OCI_CLI_AUTH can name.
_NAMED: Final = tuple(
    method.auth_type for method in METHODS if method.auth_type not in ("default", "anonymous", *_OF_PROFILES)
)


class DefaultChain:
    """
    The method that ``OCI_CLI_AUTH`` names, else the first that applies.

    These are the environment or a profile, a resource, a pod that asks for its
    workload, and an instance. One that applies and is refused is reported: the next
    one would be somebody else.

    Args:
        profile: The environment or a profile.
        make: Makes a method of that name, set up by the environment.
    """

    def __init__(self, profile: Method, make: Callable[[str], Method]) -> None:
        self._profile = profile
        self._make = make
        self._named: dict[str, Method] = {}
        self._chain: Chain[Method, Outcome] = Chain(
            [
                profile,
                _if_there(make("resource_principal"), _no_resource),
                _if_there(make("oke_workload_identity"), _no_workload),
                _if_there(make("instance_principal"), _nothing),
            ],
            name="OCI",
            provider="oci",
            strict=True,
        )

    async def fetch(self) -> Outcome:
        """
        Return keys, and where they came from.

        Raises:
            ConfigurationError: ``OCI_CLI_AUTH`` names no method.
            UnauthenticatedError: No method applies.
        """
        said = os.environ.get("OCI_CLI_AUTH", "")
        if _is_in_profile(TYPE_ALIASES.get(said, said)):
            return await self._profile.fetch()
        if said:
            method = self._method(said)
            grant, source = await method.fetch()
            return grant, f"{method.auth_type}: {source}"
        grant, source = await self._chain.fetch()
        found = self._found
        return grant, source if found is self._profile else f"{found.auth_type}: {source}"

    async def region(self) -> str | None:
        """
        Return the region of the method that has given keys.
        """
        return await self._found.region()

    async def domain(self, region: str) -> str | None:
        """
        Return in what realm *region* is if that method knows.
        """
        found = self._found
        return None if found.domain is None else await found.domain(region)

    @property
    def _found(self) -> Method:
        return next(iter(self._named.values()), None) or self._chain.found or self._profile

    def _method(self, said: str) -> Method:
        if said not in self._named:
            auth_type = TYPE_ALIASES.get(said, said)
            if auth_type not in _NAMED:
                known = ", ".join(sorted({*_OF_PROFILES, *_NAMED, *TYPE_ALIASES}))
                raise ConfigurationError(f"OCI_CLI_AUTH is {said[:40]!r}, which is no method; there are {known}")
            self._named[said] = self._make(auth_type)
        return self._named[said]


def _is_in_profile(auth_type: str) -> bool:
    # In Cloud Shell the variable says who asks, and the profile for whom.
    of_profile = auth_type == "delegation_token" and not os.environ.get("OCI_CLI_DELEGATION_TOKEN_FILE")
    return auth_type in _OF_PROFILES or of_profile


def _if_there(method: Method, missing: Callable[[], str | None]) -> Method:
    async def fetch() -> Outcome:
        if said := missing():
            raise MissingCredentialsError(said)
        try:
            return await method.fetch()
        except NobodyThereError as exc:
            raise MissingCredentialsError(exc.message) from None

    return replace(method, fetch=fetch)


def _no_resource() -> str | None:
    """Return what is missing for a resource principal, if anything is."""
    if not os.environ.get("OCI_RESOURCE_PRINCIPAL_VERSION"):
        return "OCI_RESOURCE_PRINCIPAL_VERSION is not set"
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("OCI_RESOURCE_PRINCIPAL_RPST"):
        # OKE has its pods set the version, too.
        return "OCI_RESOURCE_PRINCIPAL_RPST is not set in this pod"
    return None


def _no_workload() -> str | None:
    """Return what is missing for a workload's identity: a pod that wants one says in which region."""
    names = ("KUBERNETES_SERVICE_HOST", "OCI_RESOURCE_PRINCIPAL_REGION")
    missing = [name for name in names if not os.environ.get(name)]
    return f"{' and '.join(missing)} not set" if missing else None


def _nothing() -> str | None:
    return None

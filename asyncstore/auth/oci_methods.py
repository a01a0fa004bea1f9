"""
The ways to find an OCI identity, and which of them some settings mean.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import anyio.to_thread

from asyncstore.auth import oci_profile
from asyncstore.auth.method import Given, check_settings, method_of, own_names
from asyncstore.auth.oci_default import DefaultChain
from asyncstore.auth.oci_delegation import check_delegation, delegated, delegation_of
from asyncstore.auth.oci_instance import InstancePrincipal
from asyncstore.auth.oci_resource import ResourcePrincipal
from asyncstore.auth.oci_session import KeyGrant
from asyncstore.auth.oci_table import METHODS, TYPE_ALIASES
from asyncstore.auth.oci_workload import WorkloadIdentity
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError

_NAMES: Final = own_names(METHODS)

#: Settings that :func:`oci_credentials` takes.
SETTINGS: Final = tuple(dict.fromkeys(_NAMES.values()))

AUTH_TYPES: Final = tuple(method.auth_type for method in METHODS)

# What a setting says of the method, if none is named; the first one counts.
_IMPLIED: Final = {
    "delegation_token": "delegation_token",
    "delegation_token_file": "delegation_token",
    "principal": "delegation_token",
    "metadata_url": "instance_principal",
    "federation_endpoint": "instance_principal",
    "resource_principal_version": "resource_principal",
    "session_token": "resource_principal",
    "rpt_endpoint": "resource_principal",
    "kubernetes_service_host": "oke_workload_identity",
    "service_account_token": "oke_workload_identity",
    "service_account_token_file": "oke_workload_identity",
}

_PRINCIPALS: Final = ("instance_principal", "resource_principal")

#: Keys (``None`` for requests that stay unsigned) and where they came from.
Outcome = tuple[KeyGrant, str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What all methods of one configuration share.
    """

    region: str | None
    service: TokenService
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """
    One way to find keys, chosen by the settings.

    Attributes:
        fetch: Gives keys, and says where they came from.
        region: Says what region goes with them.
        domain: Says in what realm a region is, if the method knows better than our table.
        undecided: Whether only *fetch* finds out whose region it is.
    """

    auth_type: str
    source: str
    given: Given
    fetch: Callable[[], Awaitable[Outcome]] = field(repr=False)
    region: Callable[[], Awaitable[str | None]] = field(repr=False)
    domain: Callable[[str], Awaitable[str | None]] | None = field(default=None, repr=False)
    undecided: bool = False


def take_settings(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    """
    Take what is for credentials out of *settings*, under its own names.
    """
    taken: dict[str, Any] = {}
    for name in [name for name in _NAMES if name in settings]:
        own = _NAMES[name]
        if own in taken:
            raise ConfigurationError(f"give {own} or {name}, not both")
        taken[own] = settings.pop(name)
    return {name: value for name, value in taken.items() if value is not None}


def known_settings(auth: AuthConfig) -> dict[str, Any]:
    """
    Return the settings of *auth*, all of which must be ours.
    """
    rest = dict(auth.settings)
    known = take_settings(rest)
    if rest:
        raise ConfigurationError(f"unknown settings {sorted(rest)} for OCI credentials; known are {sorted(SETTINGS)}")
    return known


def choose(auth_type: str, settings: Mapping[str, Any], around: Surroundings) -> Method:
    """
    Return the method that *auth_type* names, or that the settings imply.

    Raises:
        ConfigurationError: They contradict each other, or there is no such method.
    """
    auth_type = TYPE_ALIASES.get(auth_type, auth_type)
    anonymous = flag(settings.get("anonymous", False))
    if anonymous and (auth_type not in ("default", "anonymous") or len(settings) > 1):
        raise ConfigurationError("anonymous access has no auth_type and no other settings of credentials")
    if anonymous:
        auth_type = "anonymous"
    elif auth_type == "default":
        auth_type = next((_IMPLIED[name] for name in _IMPLIED if name in settings), "default")
    declared = method_of(METHODS, auth_type, "OCI")
    check_settings(declared, settings)
    return _MAKERS[auth_type](Given(settings, declared.settings), around)


def _anonymous(given: Given, _: Surroundings) -> Method:
    async def fetch() -> Outcome:
        return Grant(None), "settings"

    async def region() -> str | None:
        return oci_profile.region_of_environment()

    return Method("anonymous", "settings", given, fetch, region)


def _user_principal(given: Given, around: Surroundings) -> Method:
    return _of_profile("user_principal", given, around)


def _session_token(given: Given, around: Surroundings) -> Method:
    return _of_profile("session_token", given, around)


def _of_profile(auth_type: str, given: Given, around: Surroundings) -> Method:
    wanted = oci_profile.Wanted(auth_type, given.settings)
    wanted.check()
    if wanted.inline:
        # The environment adds nothing to it.
        given = replace(given, declared=tuple(replace(setting, variables=()) for setting in given.declared))
    others: dict[str, Method] = {}

    async def fetch() -> Outcome:
        found = await anyio.to_thread.run_sync(oci_profile.find_values, wanted)
        named = TYPE_ALIASES.get(said := str(found.values.get("authentication_type") or ""), said)
        if auth_type != "default" or named not in _PRINCIPALS:
            return await anyio.to_thread.run_sync(oci_profile.find_keys, wanted, found)
        # As in the profile of Cloud Shell.
        file = found.values.get("delegation_token_file")
        if named not in others:
            own = {"delegation_token_file": file, "principal": named} if file else {}
            others[named] = choose("delegation_token" if file else named, own, around)
        grant, source = await others[named].fetch()
        return grant, f"{found.source}: {source}"

    async def region() -> str | None:
        named = oci_profile.region_of_environment()
        named = named or await anyio.to_thread.run_sync(oci_profile.find_region, wanted)
        for other in others.values():
            named = named or await other.region()
        return named

    async def domain(name: str) -> str | None:
        found = [await other.domain(name) for other in others.values() if other.domain is not None]
        return next(iter(found), None)

    return Method(auth_type, wanted.source, given, fetch, region, domain)


def _instance_principal(given: Given, around: Surroundings) -> Method:
    principal = InstancePrincipal(given, around.service, region=around.region, allow_http=around.allow_http)
    source = "the instance's metadata service"

    async def fetch() -> Outcome:
        return await principal.fetch(), source

    async def region() -> str | None:
        return oci_profile.region_of_environment() or (await principal.place()).region

    async def domain(name: str) -> str | None:
        place = await principal.place()
        return place.domain if place.region == name else None

    return Method("instance_principal", source, given, fetch, region, domain)


def _resource_principal(given: Given, around: Surroundings) -> Method:
    principal = ResourcePrincipal(given, around.service, allow_http=around.allow_http)

    async def fetch() -> Outcome:
        return await principal.fetch(), "the resource's principal"

    return Method("resource_principal", "the resource's principal", given, fetch, _region_of_resource)


def _oke_workload_identity(given: Given, _: Surroundings) -> Method:
    identity = WorkloadIdentity(given)

    async def fetch() -> Outcome:
        return await identity.fetch(), "the pod's service account"

    return Method("oke_workload_identity", "the pod's service account", given, fetch, _region_of_resource)


async def _region_of_resource() -> str | None:
    return oci_profile.region_of_environment("OCI_RESOURCE_PRINCIPAL_REGION")


def _delegation_token(given: Given, around: Surroundings) -> Method:
    settings = given.settings
    principal = str(settings.get("principal") or "instance_principal")
    if principal not in _PRINCIPALS:
        raise ConfigurationError(f"principal is one of {', '.join(_PRINCIPALS)}, not {principal!r}")
    check_delegation(given)
    own = ("delegation_token", "delegation_token_file", "principal")
    base = choose(principal, {name: value for name, value in settings.items() if name not in own}, around)

    async def fetch() -> Outcome:
        token = await delegation_of(given)
        grant, source = await base.fetch()
        return delegated(grant, token), f"a user, by {source}"

    return Method("delegation_token", f"a user, by {base.source}", given, fetch, base.region, base.domain)


def _default(given: Given, around: Surroundings) -> Method:
    profile = _of_profile("default", given, around)
    if oci_profile.Wanted("default", given.settings).named:
        return profile
    chain = DefaultChain(profile, lambda auth_type: choose(auth_type, {}, around))
    source = "environment, profile, principals"
    return Method("default", source, given, chain.fetch, chain.region, chain.domain, undecided=True)


_MAKERS: Final[Mapping[str, Callable[[Given, Surroundings], Method]]] = {
    "default": _default,
    "user_principal": _user_principal,
    "session_token": _session_token,
    "instance_principal": _instance_principal,
    "resource_principal": _resource_principal,
    "oke_workload_identity": _oke_workload_identity,
    "delegation_token": _delegation_token,
    "anonymous": _anonymous,
}

"""
The ways to find AWS keys, and which of them some settings mean.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

from asyncstore.auth.aws_container import ContainerAgent
from asyncstore.auth.aws_document import KeyGrant
from asyncstore.auth.aws_files import read_files, require_files
from asyncstore.auth.aws_instance import InstanceMetadata
from asyncstore.auth.aws_process import CredentialProcess
from asyncstore.auth.aws_profile import ProfileReader
from asyncstore.auth.aws_region import region_of
from asyncstore.auth.aws_roles import AssumedRole, WebIdentity
from asyncstore.auth.aws_source import source_of
from asyncstore.auth.aws_sso import SingleSignOn
from asyncstore.auth.aws_sts import STS
from asyncstore.auth.aws_table import METHODS
from asyncstore.auth.chain import Chain, MissingCredentialsError, NobodyThereError
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.method import Given, check_settings, method_of, own_names
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.sigv4 import AWSKeys
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Lease
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.threads import in_thread

_NAMES: Final = own_names(METHODS)

#: Settings that :func:`aws_credentials` takes.
SETTINGS: Final = tuple(dict.fromkeys(_NAMES.values()))

AUTH_TYPES: Final = tuple(method.auth_type for method in METHODS)

_KEYS: Final = ("access_key_id", "secret_access_key", "session_token")
_KEY_VARIABLES: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

# What a setting says of the method, if none is named; the first one counts.
_IMPLIED: Final = {
    "web_identity_token_file": "web_identity",
    "role_arn": "assume_role",
    "access_key_id": "static",
    "secret_access_key": "static",
    "session_token": "static",
    "credential_process": "process",
    "credentials_uri": "container",
    "credentials_relative_uri": "container",
    "metadata_endpoint": "instance_profile",
    "profile": "profile",
}

_WEB_IDENTITY: Final = ("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")

# As of boto3: https://docs.aws.amazon.com/boto3/latest/guide/credentials.html
_DEFAULT: Final = ("environment", "profile", "web_identity", "container", "instance_profile")

#: Keys and where they came from.
Outcome = tuple[KeyGrant, str]


class SourceFactory(Protocol):
    """
    Makes the credentials that a role is assumed with.
    """

    def __call__(self, auth: AuthConfig, /) -> Credentials[Any]: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What all methods of one configuration share.
    """

    region: str | None
    service: TokenService
    credentials: SourceFactory


@dataclass(frozen=True, slots=True)
class Method:
    """
    One way to find keys, chosen by the settings.

    Attributes:
        fetch: Gives keys, and says where they came from.
        region: Asks whoever gives the keys where this machine is.
        source_credentials: Those that a role is assumed with, to be closed.
        sources: Where the settings come from, if that is not what was given.
    """

    auth_type: str
    source: str
    given: Given
    fetch: Callable[[], Awaitable[Outcome]] = field(repr=False)
    region: Callable[[], Awaitable[str | None]] | None = field(default=None, repr=False)
    source_credentials: Credentials[Any] | None = None
    sources: Callable[[], dict[str, str]] | None = None

    @property
    def profile(self) -> str | None:
        """The profile whose region counts, if one is set."""
        return self.given.settings.get("profile")

    def setting_sources(self) -> dict[str, str]:
        """Where each setting comes from; those of a role's source come after ``source.``."""
        found = self.given.sources() if self.sources is None else self.sources()
        if self.source_credentials is not None:
            inner = self.source_credentials.setting_sources()
            found |= {f"source.{name}": where for name, where in inner.items() if name not in found}
        return found


#: Makes a method of its settings.
Maker = Callable[[Given, Surroundings], Method]


def take_settings(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    """
    Take the names of :data:`SETTINGS` out of *settings*.
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
    Return the settings of *auth*, all of which must be known.
    """
    rest = dict(auth.settings)
    known = take_settings(rest)
    if rest:
        raise ConfigurationError(f"unknown settings {sorted(rest)} for AWS credentials; known are {sorted(SETTINGS)}")
    return known


def choose(auth_type: str, settings: Mapping[str, Any], around: Surroundings) -> Method:
    """
    Return the method that *auth_type* names, or that the settings imply.

    Raises:
        ConfigurationError: There is none such, or it does not take a setting.
    """
    anonymous = flag(settings.get("anonymous", False))
    keys = [name for name in _KEYS if name in settings]
    if auth_type == "default":
        if anonymous and keys:
            raise ConfigurationError(f"anonymous access needs no {' or '.join(keys)}: leave out one or the other")
        auth_type = (
            "anonymous" if anonymous else next((_IMPLIED[name] for name in _IMPLIED if name in settings), "default")
        )
    declared = method_of(METHODS, auth_type, "AWS")
    if anonymous and auth_type != "anonymous":
        raise ConfigurationError(f"auth_type {auth_type!r} is not anonymous: leave out one or the other")
    check_settings(declared, settings)
    given = Given(settings, declared.settings)
    return _MAKERS[auth_type](given, around)


def _anonymous(given: Given, _: Surroundings) -> Method:
    async def fetch() -> Outcome:
        return Grant(None), "settings"

    return Method("anonymous", "settings", given, fetch)


def _static(given: Given, _: Surroundings) -> Method:
    if missing := [name for name in _KEYS[:2] if not given.settings.get(name)]:
        raise ConfigurationError(f"static credentials need {' and '.join(missing)}")

    async def fetch() -> Outcome:
        key_id, secret, token = [await secret_text(name, given.get(name)) for name in _KEYS]
        if not key_id or not secret:
            raise UnauthenticatedError("the functions that give static credentials gave none")
        return Grant(AWSKeys(key_id, secret, token or None)), "settings"

    return Method("static", "settings", given, fetch)


def _environment(given: Given, _: Surroundings) -> Method:
    async def fetch() -> Outcome:
        key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        if not key_id:
            raise MissingCredentialsError("the environment has no AWS_ACCESS_KEY_ID")
        if not secret:
            raise ConfigurationError("the environment has AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY")
        return Grant(AWSKeys(key_id, secret, os.environ.get("AWS_SESSION_TOKEN") or None)), "environment"

    return Method("environment", "environment", given, fetch, sources=_variables)


def _variables() -> dict[str, str]:
    return {name: variable for name, variable in zip(_KEYS, _KEY_VARIABLES, strict=True) if os.environ.get(variable)}


def _profile(given: Given, around: Surroundings) -> Method:
    return _of_profile(given, around, chained=False)


def _of_profile(given: Given, around: Surroundings, *, chained: bool) -> Method:
    def read() -> tuple[str, AuthConfig]:
        if chained:
            require_files()
        name = given.get("profile") or "default"
        return name, ProfileReader(read_files(), given, around.region).meaning(name)

    async def fetch() -> Outcome:
        name, auth = await in_thread(read)
        if chained and auth.auth_type != "assume_role" and all(os.environ.get(name) for name in _WEB_IDENTITY):
            # As boto3 has it: a role of a profile, then these variables, then the rest.
            raise MissingCredentialsError(f"{' and '.join(_WEB_IDENTITY)} go before its {auth.auth_type} credentials")
        async with around.credentials(auth) as credentials:
            lease: Lease[AWSKeys | None] = await credentials.get()
        ttl = None if lease.ends_at is None else lease.ends_at - time.monotonic()
        return Grant(lease.value, ttl), f"profile {name!r} ({credentials.auth_type})"

    return Method("profile", f"profile {given.get('profile') or 'default'!r}", given, fetch)


def _sso(given: Given, around: Surroundings) -> Method:
    async def fetch() -> Outcome:
        name = given.get("profile") or "default"
        return await SingleSignOn(name, around.service).fetch(), f"profile {name!r}"

    return Method("sso", f"profile {given.get('profile') or 'default'!r}", given, fetch)


def _assume_role(given: Given, around: Surroundings) -> Method:
    source = around.credentials(source_of(given, around.region))
    role = AssumedRole(given, _sts(given, around, source.region), source)

    async def fetch() -> Outcome:
        return await role.fetch(), f"{given.get('role_arn')}, with {source.auth_type} ({source.source})"

    return Method("assume_role", f"{given.get('role_arn')}", given, fetch, source.region, source_credentials=source)


def _web_identity(given: Given, around: Surroundings) -> Method:
    identity = WebIdentity(given, _sts(given, around, partial(region_of, None)))

    async def fetch() -> Outcome:
        return await identity.fetch(), f"{given.get('role_arn')}, with {given.get('web_identity_token_file')}"

    return Method("web_identity", "the token of an identity provider", given, fetch)


def _container(given: Given, around: Surroundings) -> Method:
    agent = ContainerAgent(given, around.service)

    async def fetch() -> Outcome:
        return await agent.fetch(), "the container's agent"

    return Method("container", "the container's agent", given, fetch)


def _instance_profile(given: Given, around: Surroundings) -> Method:
    metadata = InstanceMetadata(given, around.service)

    async def fetch() -> Outcome:
        return await metadata.fetch(), "the instance's metadata service"

    return Method("instance_profile", "the instance's metadata service", given, fetch, metadata.region)


def _process(given: Given, _: Surroundings) -> Method:
    program = CredentialProcess(given)

    async def fetch() -> Outcome:
        return await program.fetch(), "credential_process"

    return Method("process", "credential_process", given, fetch)


def _default(given: Given, around: Surroundings) -> Method:
    makers: dict[str, Maker] = {**_MAKERS, "profile": partial(_of_profile, chained=True)}
    links = [makers[auth_type](_own(auth_type, given), around) for auth_type in _DEFAULT]
    links = [_if_there(link) if link.auth_type == "instance_profile" else link for link in links]
    chain: Chain[Method, Outcome] = Chain(links, name="AWS", provider="s3", strict=True)

    async def fetch() -> Outcome:
        grant, source = await chain.fetch()
        return grant, f"{chain.found.auth_type if chain.found else 'default'}: {source}"

    def sources() -> dict[str, str]:
        return (given.sources() | chain.found.setting_sources()) if chain.found else given.sources()

    return Method("default", ", ".join(_DEFAULT), given, fetch, sources=sources)


def _own(auth_type: str, given: Given) -> Given:
    declared = method_of(METHODS, auth_type, "AWS").settings
    names = {setting.name for setting in declared}
    return Given({name: value for name, value in given.settings.items() if name in names}, declared)


def _if_there(method: Method) -> Method:
    async def fetch() -> Outcome:
        try:
            return await method.fetch()
        except NobodyThereError as exc:
            raise MissingCredentialsError(exc.message) from None

    return replace(method, fetch=fetch)


def _sts(given: Given, around: Surroundings, region: Callable[[], Awaitable[str | None]]) -> STS:
    async def nearest() -> str | None:
        return around.region or await region()

    endpoint = given.settings.get("sts_endpoint")
    return STS(around.service, region=nearest, endpoint=None if endpoint is None else str(endpoint))


_MAKERS: Final[Mapping[str, Maker]] = {
    "default": _default,
    "static": _static,
    "environment": _environment,
    "anonymous": _anonymous,
    "profile": _profile,
    "sso": _sso,
    "assume_role": _assume_role,
    "web_identity": _web_identity,
    "container": _container,
    "instance_profile": _instance_profile,
    "process": _process,
}

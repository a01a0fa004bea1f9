"""
The ways to find a Google identity, and which of them some settings mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.gcp_documents import (
    Surroundings,
    Wanted,
    gcloud_file,
    identity_of,
    load_document,
    parse_document,
)
from asyncstore.auth.gcp_endpoints import iam_endpoint
from asyncstore.auth.gcp_iam import IAM
from asyncstore.auth.gcp_identity import SCOPES, UNIVERSE, Anonymous, GivenToken, Identity, words_of
from asyncstore.auth.gcp_impersonation import Impersonated, Target, lifetime_of
from asyncstore.auth.gcp_lookup import FirstOf, IfThere, Method, ready, value_of
from asyncstore.auth.gcp_metadata import HOST, MetadataServer, checked_host
from asyncstore.auth.gcp_table import METHODS
from asyncstore.auth.method import Given, check_settings, method_of, own_names
from asyncstore.auth.tokens import Secret
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError
from asyncstore.threads import in_thread

_NAMES: Final = own_names(METHODS)

# The driver has this one too.
_SHARED: Final = "universe_domain"

#: Settings that :func:`gcp_credentials` takes.
SETTINGS: Final = tuple(name for name in dict.fromkeys(_NAMES.values()) if name != _SHARED)

AUTH_TYPES: Final = tuple(method.auth_type for method in METHODS)

_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"

# Settings that say where credentials are; those of one kind go together.
_PLACES: Final = {
    "token": "token",
    "credentials_file": "file",
    "credentials_json": "file",
    "service_account": "metadata",
    "metadata_host": "metadata",
}

_METADATA: Final = ("service_account", "metadata_host")

# What a setting says of the method, if none is named; the first one counts.
_IMPLIED: Final = {
    "target_principal": "impersonated_service_account",
    "token": "token",
    "service_account": "metadata",
    "metadata_host": "metadata",
}


def take_settings(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    """
    Take the names of :data:`SETTINGS` out of *settings*; ``universe_domain`` stays there, too.
    """
    taken = {name: settings.pop(name) for name in SETTINGS if name in settings}
    if _SHARED in settings:
        taken[_SHARED] = settings[_SHARED]
    return {name: value for name, value in taken.items() if value is not None}


def known_settings(auth: AuthConfig) -> dict[str, Any]:
    """
    Return the settings of *auth*, all of which must be known.
    """
    rest = dict(auth.settings)
    known = take_settings(rest)
    if unknown := sorted(set(rest) - {_SHARED}):
        raise ConfigurationError(f"unknown settings {unknown} for Google credentials; known are {sorted(_NAMES)}")
    return known


def choose(auth_type: str, settings: Mapping[str, Any], around: Surroundings) -> Method:
    """
    Return the method that *auth_type* names, or that the settings imply.

    Raises:
        ConfigurationError: There is none such, or settings contradict each other.
    """
    anonymous = flag(settings.get("anonymous", False))
    places = sorted(name for name in _PLACES if name in settings)
    if len({_PLACES[name] for name in places}) > 1:
        raise ConfigurationError(f"give one of {', '.join(places)}")
    if {"credentials_file", "credentials_json"} <= set(places):
        raise ConfigurationError("give credentials_file or credentials_json, not both")
    if auth_type == "default":
        if anonymous and places:
            raise ConfigurationError(f"anonymous access needs no {' or '.join(places)}: leave out one")
        implied = next((_IMPLIED[name] for name in _IMPLIED if name in settings), "default")
        auth_type = "anonymous" if anonymous else implied
    declared = method_of(METHODS, auth_type, "Google")
    if anonymous and auth_type != "anonymous":
        raise ConfigurationError(f"auth_type {auth_type!r} is not anonymous: leave out one or the other")
    own = {name: value for name, value in settings.items() if name != _SHARED or auth_type != "anonymous"}
    check_settings(declared, own)
    return _MAKERS[auth_type](auth_type, Given(own, declared.settings), around)


def _anonymous(_: str, given: Given, __: Surroundings) -> Method:
    return ready(Anonymous(), given)


def _token(_: str, given: Given, __: Surroundings) -> Method:
    token = given.settings.get("token")
    if not token:
        raise ConfigurationError("auth_type 'token' needs token")
    if not (isinstance(token, str | Secret) or callable(token)):
        raise ConfigurationError(f"token is text or a function that gives it, not {type(token).__name__}")
    identity = GivenToken(token)
    identity.universe_domain = str(given.get(_SHARED) or UNIVERSE)
    return ready(identity, given)


def _metadata(_: str, given: Given, around: Surroundings) -> Method:
    allow_http = around.http is not None and around.http.allow_http
    if "metadata_host" in given.settings:
        checked_host(str(given.settings["metadata_host"]), allow_http=allow_http)

    def signing(universe_domain: str) -> IAM:
        # A token of its own: the scopes of the other can be too narrow for signing.
        names = ("metadata_host", "service_account")
        own = {name: given.settings[name] for name in names if name in given.settings}
        caller = around.credentials(AuthConfig(auth_type="metadata", settings=own))
        return IAM(around.service, caller, str(given.get("iam_endpoint") or iam_endpoint(universe_domain)))

    server = MetadataServer(
        around.service,
        lambda: str(given.get("metadata_host") or HOST),
        name=str(given.settings.get("service_account") or "default"),
        scopes=words_of(given.settings.get("scopes")),
        signing=signing,
        universe_domain=given.get(_SHARED),
        allow_http=allow_http,
    )
    return ready(server, given)


def _document(auth_type: str, given: Given, around: Surroundings) -> Method:
    named = given.settings.get("credentials_file")
    source = str(named) if named is not None else "settings" if "credentials_json" in given.settings else _VARIABLE
    wanted = _wanted(given, around)
    # Where there are fallbacks, they are for this.
    if around.alone and not _is_named(given):
        raise ConfigurationError(f"auth_type {auth_type!r} needs credentials_file, credentials_json or {_VARIABLE}")

    async def find() -> Identity:
        if not _is_named(given):
            raise MissingCredentialsError(f"{_VARIABLE} is not set")
        document, place = await _read(given)
        identity = identity_of(document, place, wanted, around)
        if auth_type not in ("default", identity.auth_type):
            raise ConfigurationError(f"{place} is of type {identity.auth_type!r}, not {auth_type!r}")
        return identity

    return Method(auth_type, source, given, find)


def _impersonated(auth_type: str, given: Given, around: Surroundings) -> Method:
    if "target_principal" not in given.settings:
        if foreign := [name for name in ("source", "token", *_METADATA) if name in given.settings]:
            raise ConfigurationError(f"{' and '.join(foreign)} may have tokens of an account: set target_principal")
        return _document(auth_type, given, around)
    wanted = _wanted(given, around)
    target = Target(
        str(given.settings["target_principal"]),
        wanted.delegates or (),
        lifetime_of(wanted.lifetime),
        wanted.scopes or SCOPES,
    )
    caller = around.credentials(_source(given))

    async def find() -> Identity:
        # Known when the caller has a token, which this needs in any case.
        await caller.get()
        universe_domain = str(wanted.universe_domain or caller.universe_domain)
        iam = IAM(around.service, caller, wanted.iam_endpoint or iam_endpoint(universe_domain))
        source = f"{target.principal}, with {caller.auth_type} ({caller.source})"
        return Impersonated(iam, target, source, universe_domain=universe_domain)

    return Method(auth_type, target.principal, given, find, caller=caller)


def _default(_: str, given: Given, around: Surroundings) -> Method:
    if any(name in given.settings for name in ("credentials_file", "credentials_json")):
        return _document("default", given, around)
    around = replace(around, alone=False)
    wanted = _wanted(given, around)

    async def of_gcloud() -> Identity:
        file = gcloud_file()
        if not await in_thread(file.is_file):
            raise MissingCredentialsError(f"there is no file {file}")
        return identity_of(await in_thread(load_document, file), str(file), wanted, around)

    async def of_machine() -> Identity:
        if wanted.subject is not None:
            raise MissingCredentialsError("the account of a machine speaks for no subject")
        return await machine.identity()

    metadata, named = _link("metadata", given), _document("default", given, around)
    machine = _metadata("metadata", metadata, around)
    # For messages: what it comes to is known when it was read.
    named.auth_type = "environment"
    links = [
        named,
        Method("gcloud", "gcloud's file", given, of_gcloud),
        IfThere("metadata", machine.source, metadata, of_machine),
    ]
    return FirstOf(given, links)


def _link(auth_type: str, given: Given) -> Given:
    declared = method_of(METHODS, auth_type, "Google").settings
    names = {setting.name for setting in declared}
    return Given({name: value for name, value in given.settings.items() if name in names}, declared)


def _source(given: Given) -> AuthConfig:
    source = given.settings.get("source")
    names = [name for name in (*_PLACES, "aws_source", "subject_token", _SHARED) if name in given.settings]
    if source is None:
        return AuthConfig(settings={name: given.settings[name] for name in names})
    if places := [name for name in names if name in _PLACES]:
        raise ConfigurationError(f"there is one source: leave out source or {' and '.join(places)}")
    return _auth_config("source", source)


def _wanted(given: Given, around: Surroundings) -> Wanted:
    def value(name: str) -> Any:
        return value_of(given, name)

    aws, lifetime, delegates = value("aws_source"), value("lifetime"), value("delegates")
    return Wanted(
        scopes=words_of(value("scopes")) or around.scopes,
        subject=value("subject"),
        self_signed=flag(value("self_signed_jwt") or False),
        delegates=None if delegates is None else words_of(delegates),
        lifetime=None if lifetime is None else lifetime_of(lifetime),
        aws=None if aws is None else _auth_config("aws_source", aws),
        subject_token=value("subject_token"),
        universe_domain=value(_SHARED),
        iam_endpoint=value("iam_endpoint"),
    )


def _auth_config(name: str, value: Any) -> AuthConfig:
    if isinstance(value, Mapping):
        try:
            return AuthConfig(**value)
        except TypeError:
            raise ConfigurationError(f"{name} is an AuthConfig, or a table of its fields") from None
    if not isinstance(value, AuthConfig):
        raise ConfigurationError(f"{name} is an AuthConfig, or a table of its fields, not {type(value).__name__}")
    return value


def _is_named(given: Given) -> bool:
    return "credentials_json" in given or "credentials_file" in given


async def _read(given: Given) -> tuple[dict[str, Any], str]:
    if "credentials_json" in given.settings:
        return parse_document(given.settings["credentials_json"]), "settings"
    file = str(given.get("credentials_file"))
    return await in_thread(load_document, Path(file)), file


_MAKERS: Final[Mapping[str, Callable[[str, Given, Surroundings], Method]]] = {
    "default": _default,
    "service_account": _document,
    "authorized_user": _document,
    "external_account_authorized_user": _document,
    "metadata": _metadata,
    "external_account": _document,
    "impersonated_service_account": _impersonated,
    "token": _token,
    "anonymous": _anonymous,
}

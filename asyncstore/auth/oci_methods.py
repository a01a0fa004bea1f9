"""
The ways to find an OCI identity, and which of them some settings mean.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio.to_thread

from asyncstore.auth import oci_files as files
from asyncstore.auth.oci_signature import OCIKeys, scheme
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError, UnauthenticatedError

#: Settings that :func:`oci_credentials` takes.
SETTINGS: Final = (
    "config_file",
    "profile",
    "tenancy",
    "user",
    "fingerprint",
    "key_file",
    "key_content",
    "pass_phrase",
    "security_token_file",
    "anonymous",
)

AUTH_TYPES: Final = ("default", "user_principal", "session_token", "anonymous")

# A profile of asyncstore's own is called "profile" already, where settings are flat.
_ALIASES: Final = {"config_path": "config_file", "oci_profile": "profile"}
_TYPE_ALIASES: Final = {
    "api_key": "user_principal",
    "security_token": "session_token",
    "OCIUserPrincipal": "user_principal",
    "OCISessionToken": "session_token",
}

# https://docs.oracle.com/iaas/Content/API/SDKDocs/clienvironmentvariables.htm
_VARIABLES: Final = {
    "tenancy": "OCI_CLI_TENANCY",
    "user": "OCI_CLI_USER",
    "fingerprint": "OCI_CLI_FINGERPRINT",
    "key_file": "OCI_CLI_KEY_FILE",
    "key_content": "OCI_CLI_KEY_CONTENT",
    "pass_phrase": "OCI_CLI_PASSPHRASE",
    "security_token_file": "OCI_CLI_SECURITY_TOKEN_FILE",
}
_PROFILE_VARIABLES: Final = ("OCI_CLI_PROFILE", "OCI_PROFILE")
_REGION_VARIABLES: Final = ("OCI_REGION", "OCI_CLI_REGION")

_IDENTITY: Final = ("tenancy", "user", "fingerprint")
_KEYS: Final = ("key_file", "key_content")

#: Keys (``None`` for requests that stay unsigned) and where they came from.
Outcome = tuple[Grant["OCIKeys | None"], str]


@dataclass(frozen=True, slots=True)
class Method:
    """
    One way to find keys; *fetch* also says where they came from, *region* what region goes with them.
    """

    auth_type: str
    source: str
    fetch: Callable[[], Awaitable[Outcome]]
    region: Callable[[], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class _Wanted:
    auth_type: str
    settings: Mapping[str, Any] = field(repr=False)

    @property
    def inline(self) -> bool:
        # Whoever gives an identity means that one, and no file's.
        return any(name in self.settings for name in (*_IDENTITY, *_KEYS))


def take_settings(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    """
    Take what is for credentials out of *settings*, under its own names.
    """
    taken: dict[str, Any] = {}
    for name in (*SETTINGS, *_ALIASES):
        if name not in settings:
            continue
        own = _ALIASES.get(name, name)
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


def choose(auth_type: str, settings: Mapping[str, Any]) -> Method:
    """
    Return the method that *auth_type* and *settings* ask for.

    Raises:
        ConfigurationError: They contradict each other, or there is no such method.
    """
    auth_type = _TYPE_ALIASES.get(auth_type, auth_type)
    if auth_type not in AUTH_TYPES:
        raise ConfigurationError(f"OCI has no auth_type {auth_type!r}; it has {', '.join(AUTH_TYPES)}")
    anonymous = flag(settings.get("anonymous", False))
    if anonymous and (auth_type not in ("default", "anonymous") or len(settings) > 1):
        raise ConfigurationError("anonymous access has no auth_type and no other settings of credentials")
    if anonymous or auth_type == "anonymous":
        return Method("anonymous", "settings", _anonymous, _no_region)
    wanted = _Wanted(auth_type, settings)
    _check(wanted)
    source = "settings" if wanted.inline else f"profile {_profile(settings)!r}"

    async def fetch() -> Outcome:
        return await anyio.to_thread.run_sync(_find, wanted)

    async def region() -> str | None:
        return await anyio.to_thread.run_sync(_find_region, wanted)

    return Method(auth_type, source, fetch, region)


def _check(wanted: _Wanted) -> None:
    settings = wanted.settings
    if "key_file" in settings and "key_content" in settings:
        raise ConfigurationError("give key_file or key_content, not both")
    if not wanted.inline:
        return
    if extra := [name for name in ("config_file", "profile") if name in settings]:
        raise ConfigurationError(f"an identity in the settings takes nothing from a file: leave out {extra[0]}")
    needed = () if _is_session(wanted.auth_type, settings) else _IDENTITY
    missing = [name for name in needed if not settings.get(name)]
    if missing or not any(settings.get(name) for name in _KEYS):
        missing += [] if any(settings.get(name) for name in _KEYS) else ["key_file or key_content"]
        raise ConfigurationError(f"an OCI identity in the settings needs {', '.join(missing)} too")


def _is_session(auth_type: str, values: Mapping[str, Any]) -> bool:
    if auth_type != "default":
        return auth_type == "session_token"
    said = str(values.get("authentication_type", "")) or os.environ.get("OCI_CLI_AUTH", "")
    return "security_token_file" in values and (said == "security_token" or not values.get("user"))


async def _anonymous() -> Outcome:
    return Grant(None), "settings"


async def _no_region() -> str | None:
    return _environment(*_REGION_VARIABLES)


def _find(wanted: _Wanted) -> Outcome:
    values, source = _values(wanted)
    key = _key(values, source)
    scheme()
    if not _is_session(wanted.auth_type, values):
        if missing := [name for name in _IDENTITY if not values.get(name)]:
            raise ConfigurationError(f"{source} has no {' and no '.join(missing)}, which an OCI user needs")
        tenancy, user, fingerprint = (_text(name, values[name]) for name in _IDENTITY)
        return Grant(OCIKeys(f"{tenancy}/{user}/{fingerprint}", key)), source
    if not values.get("security_token_file"):
        raise ConfigurationError(f"{source} has no security_token_file, which a session needs")
    # Read each time: the file is replaced when the session is renewed.
    token = files.read_token(_text("security_token_file", values["security_token_file"]))
    ends = files.expiry_of(token)
    ttl = None if ends is None else ends - time.time()
    if ttl is not None and ttl <= 0:
        raise UnauthenticatedError(f"the OCI session of {source} has ended: run `oci session refresh`", provider="oci")
    return Grant(OCIKeys(f"ST${token}", key), ttl), f"{source} (session token)"


def _values(wanted: _Wanted) -> tuple[Mapping[str, Any], str]:
    if wanted.inline:
        return wanted.settings, "settings"
    found = ((name, os.environ.get(variable)) for name, variable in _VARIABLES.items())
    given: dict[str, Any] = {name: value for name, value in found if value}
    if any(name in given for name in _KEYS):
        # A key of the environment takes the place of the profile's, whatever its kind.
        given = {**dict.fromkeys(_KEYS), **given}
    path, named = files.config_file(_optional_text(wanted.settings, "config_file"))
    profile = _profile(wanted.settings)
    whole = all(given.get(name) for name in _IDENTITY) and any(given.get(name) for name in _KEYS)
    if whole and "profile" not in wanted.settings and "config_file" not in wanted.settings:
        return {**given, **_own(wanted)}, "environment"
    if not named and not path.is_file():
        raise ConfigurationError(
            f"there is no {path}, and the environment has no whole OCI identity (OCI_CLI_USER, ...)"
        )
    values = dict(files.read_profile(path, profile))
    if "key_content" in values:
        raise ConfigurationError(f"{path} has key_content: a key is not kept there, name its file by key_file")
    return {**values, **given, **_own(wanted)}, f"profile {profile!r} of {path}"


def _own(wanted: _Wanted) -> dict[str, Any]:
    return {name: value for name, value in wanted.settings.items() if name not in ("config_file", "profile")}


def _key(values: Mapping[str, Any], source: str) -> Any:
    passphrase = _optional_text(values, "pass_phrase")
    if content := values.get("key_content"):
        return files.load_key(_text("key_content", content).encode("utf-8"), passphrase, f"key_content of {source}")
    if not values.get("key_file"):
        raise ConfigurationError(f"{source} has neither key_file nor key_content")
    path = _text("key_file", values["key_file"])
    return files.load_key(files.read_key(path), passphrase, path)


def _find_region(wanted: _Wanted) -> str | None:
    if region := _environment(*_REGION_VARIABLES):
        return region
    if wanted.inline:
        return None
    path, named = files.config_file(_optional_text(wanted.settings, "config_file"))
    if not named and not path.is_file():
        return None
    return files.read_profile(path, _profile(wanted.settings)).get("region") or None


def _profile(settings: Mapping[str, Any]) -> str:
    return str(settings.get("profile") or _environment(*_PROFILE_VARIABLES) or files.DEFAULT_PROFILE)


def _environment(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name))), None)


def _optional_text(settings: Mapping[str, Any], name: str) -> str | None:
    value = settings.get(name)
    return _text(name, value) if value else None


def _text(name: str, value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is text or a Secret, not {type(value).__name__}")
    return value.strip() if name != "pass_phrase" else value

"""
The identity of a user or of a session: from settings, the environment or a profile. All of this blocks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyncstore.auth import oci_files as files
from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.method import method_of
from asyncstore.auth.oci_session import PREFIX, KeyGrant, file_grant, is_token
from asyncstore.auth.oci_signature import OCIKeys, scheme
from asyncstore.auth.oci_table import METHODS
from asyncstore.auth.rsa_keys import load_rsa_key
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_DECLARED: Final = {setting.name: setting for setting in method_of(METHODS, "user_principal", "OCI").settings}
_FILES: Final = ("config_file", "profile")
_REGION_VARIABLES: Final = ("OCI_REGION", "OCI_CLI_REGION")

_IDENTITY: Final = ("tenancy", "user", "fingerprint")
_KEYS: Final = ("key_file", "key_content")


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What was asked for; nothing is read yet.
    """

    auth_type: str
    settings: Mapping[str, Any] = field(repr=False)

    @property
    def inline(self) -> bool:
        # Whoever gives an identity means that one, and no file's.
        return any(name in self.settings for name in (*_IDENTITY, *_KEYS))

    @property
    def named(self) -> bool:
        """Whether it can only be this identity."""
        return self.inline or any(name in self.settings for name in (*_FILES, "security_token_file"))

    @property
    def source(self) -> str:
        return "settings" if self.inline else f"profile {_profile(self.settings)!r}"

    def check(self) -> None:
        """
        Check that the settings go together.

        Raises:
            ConfigurationError: They do not.
        """
        settings = self.settings
        if "key_file" in settings and "key_content" in settings:
            raise ConfigurationError("give key_file or key_content, not both")
        if not self.inline:
            return
        if extra := [name for name in _FILES if name in settings]:
            raise ConfigurationError(f"an identity in the settings takes nothing from a file: leave out {extra[0]}")
        needed = () if _is_session(self.auth_type, settings) else _IDENTITY
        missing = [name for name in needed if not settings.get(name)]
        if missing or not any(settings.get(name) for name in _KEYS):
            missing += [] if any(settings.get(name) for name in _KEYS) else ["key_file or key_content"]
            raise ConfigurationError(f"an OCI identity in the settings needs {', '.join(missing)} too")


@dataclass(frozen=True, slots=True)
class Found:
    """
    Where an identity is, and all that is said of it there.
    """

    values: Mapping[str, Any] = field(repr=False)
    source: str


def find_values(wanted: Wanted) -> Found:
    """
    Return what the settings, the environment and the files say.

    Raises:
        MissingCredentialsError: None of them says anything.
        ConfigurationError: A file cannot be read, or has no such profile.
    """
    values, source = _values(wanted)
    return Found(values, source)


def find_keys(wanted: Wanted, found: Found) -> tuple[KeyGrant, str]:
    """
    Return the keys of a user or session, and where they came from.

    Raises:
        ConfigurationError: Something is missing, or cannot be read.
        UnauthenticatedError: The session has ended.
    """
    values, source = found.values, found.source
    key = _key(values, source)
    scheme()
    if not _is_session(wanted.auth_type, values):
        if missing := [name for name in _IDENTITY if not values.get(name)]:
            raise ConfigurationError(f"{source} has no {' and no '.join(missing)}, which an OCI user needs")
        tenancy, user, fingerprint = (_text(name, values[name]) for name in _IDENTITY)
        return Grant(OCIKeys(f"{tenancy}/{user}/{fingerprint}", key)), source
    if not values.get("security_token_file"):
        raise ConfigurationError(f"{source} has no security_token_file, which a session needs")
    token = files.read_token(path := _text("security_token_file", values["security_token_file"]))
    if not is_token(token):
        raise ConfigurationError(f"{path} holds no session token")
    ends = expiry_of(token)
    ttl = None if ends is None else ends - time.time()
    if ttl is not None and ttl <= 0:
        raise UnauthenticatedError(f"the OCI session of {source} has ended: run `oci session refresh`", provider="oci")
    return file_grant(OCIKeys(PREFIX + token, key), ttl), f"{source} (session token)"


def find_region(wanted: Wanted) -> str | None:
    """
    Return the region that the profile names.
    """
    if wanted.inline:
        return None
    path, named = files.config_file(_optional_text(wanted.settings, "config_file"))
    if not named and not path.is_file():
        return None
    return files.read_profile(path, _profile(wanted.settings)).get("region") or None


def region_of_environment(*names: str) -> str | None:
    """
    Return the region of ``OCI_REGION`` or ``OCI_CLI_REGION``, else that of the variables *names*.
    """
    return _environment(*_REGION_VARIABLES, *names)


def _is_session(auth_type: str, values: Mapping[str, Any]) -> bool:
    if auth_type != "default":
        return auth_type == "session_token"
    said = str(values.get("authentication_type", "")) or os.environ.get("OCI_CLI_AUTH", "")
    return "security_token_file" in values and (said == "security_token" or not values.get("user"))


def _values(wanted: Wanted) -> tuple[Mapping[str, Any], str]:
    if wanted.inline:
        return wanted.settings, "settings"
    variables = {name: setting.variables[0] for name, setting in _DECLARED.items() if setting.variables}
    found = ((name, os.environ.get(variable)) for name, variable in variables.items() if name not in _FILES)
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
        raise MissingCredentialsError(
            f"there is no {path}, and the environment has no whole OCI identity (OCI_CLI_USER, ...)"
        )
    values = dict(files.read_profile(path, profile))
    if "key_content" in values:
        raise ConfigurationError(f"{path} has key_content: a key is not kept there, name its file by key_file")
    return {**values, **given, **_own(wanted)}, f"profile {profile!r} of {path}"


def _own(wanted: Wanted) -> dict[str, Any]:
    return {name: value for name, value in wanted.settings.items() if name not in _FILES}


def _key(values: Mapping[str, Any], source: str) -> Any:
    passphrase = _optional_text(values, "pass_phrase")
    if content := values.get("key_content"):
        pem = _text("key_content", content).encode("utf-8")
        return load_rsa_key(pem, passphrase, f"key_content of {source}", extra="oci")
    if not values.get("key_file"):
        raise ConfigurationError(f"{source} has neither key_file nor key_content")
    path = _text("key_file", values["key_file"])
    return load_rsa_key(files.read_key(path), passphrase, path, extra="oci")


def _profile(settings: Mapping[str, Any]) -> str:
    return str(settings.get("profile") or _environment(*_DECLARED["profile"].variables) or files.DEFAULT_PROFILE)


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

"""
The identity of a user or session, from settings, the environment or a profile. The functions block.
"""

from __future__ import annotations

import configparser
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.key_files import read_key_file
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.oci.session import PREFIX, KeyGrant, file_grant, is_token
from asyncstore.auth.oci.signature import OCIKeys, scheme
from asyncstore.auth.rsa_keys import load_rsa_key
from asyncstore.auth.tokens import Grant, MissingCredentialsError, Secret
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_FILES: Final = ("config_file", "profile")
_REGION_VARIABLES: Final = ("OCI_REGION", "OCI_CLI_REGION")

# https://docs.oracle.com/iaas/Content/API/Concepts/sdkconfig.htm
_DEFAULT_FILES: Final = ("~/.oci/config", "~/.oraclebmc/config")
_DEFAULT_PROFILE: Final = "DEFAULT"

_IDENTITY: Final = ("tenancy", "user", "fingerprint")
_KEYS: Final = ("key_file", "key_content")


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """
    The settings of a user or session; nothing is read yet.
    """

    auth_type: str
    settings: MethodSettings

    @property
    def explicit(self) -> Mapping[str, Any]:
        """The settings without those of the environment."""
        return self.settings.explicit

    @property
    def inline(self) -> bool:
        """Whether the settings contain the identity itself, so that environment and files do not apply."""
        return any(name in self.explicit for name in (*_IDENTITY, *_KEYS))

    @property
    def decided(self) -> bool:
        """Whether the settings name an identity or a place of it, so that the default chain does not apply."""
        return self.inline or any(name in self.explicit for name in (*_FILES, "security_token_file"))

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return str(self.settings.get("profile") or _DEFAULT_PROFILE)

    @property
    def source(self) -> str:
        """Where the identity comes from, for people to read."""
        return "settings" if self.inline else f"profile {self.profile!r}"

    def config_file(self) -> tuple[Path, bool]:
        """
        Return the configuration file, and whether it was named explicitly.
        """
        named = self.settings.get("config_file")
        return _config_file(_text("config_file", named) if named else None)

    def check(self) -> None:
        """
        Check that the settings are consistent.

        Raises:
            ConfigurationError: They contradict each other, or an inline identity is incomplete.
        """
        settings = self.explicit
        if "key_file" in settings and "key_content" in settings:
            raise ConfigurationError("set key_file or key_content, not both")
        if not self.inline:
            return
        if extra := [name for name in _FILES if name in settings]:
            raise ConfigurationError(f"the settings contain an identity, so {extra[0]} is not used: remove it")
        needed = () if _is_session(self.auth_type, settings) else _IDENTITY
        missing = [name for name in needed if not settings.get(name)]
        if not any(settings.get(name) for name in _KEYS):
            missing.append("key_file or key_content")
        if missing:
            raise ConfigurationError(f"an OCI identity in the settings also needs {', '.join(missing)}")


@dataclass(frozen=True, slots=True)
class Identity:
    """
    The values that describe an identity, and their source.
    """

    values: Mapping[str, Any] = field(repr=False)
    source: str


def find_identity(wanted: IdentitySettings) -> Identity:
    """
    Return the identity in the settings, the environment or the profile.

    Raises:
        MissingCredentialsError: None of them has one.
        ConfigurationError: A file cannot be read, or has no such profile.
    """
    if wanted.inline:
        return Identity(wanted.explicit, "settings")
    environment = _values_of_environment(wanted.settings)
    own = {name: value for name, value in wanted.explicit.items() if name not in _FILES}
    complete = all(environment.get(name) for name in _IDENTITY) and any(environment.get(name) for name in _KEYS)
    if complete and not any(name in wanted.explicit for name in _FILES):
        return Identity({**environment, **own}, "environment")
    path, named = wanted.config_file()
    if not named and not path.is_file():
        raise MissingCredentialsError(
            f"{path} does not exist, and the environment has no complete OCI identity (OCI_CLI_USER, ...)"
        )
    values = _read_profile(path, wanted.profile)
    if "key_content" in values:
        raise ConfigurationError(f"{path} has key_content, which is not supported in profiles: use key_file")
    return Identity({**values, **environment, **own}, f"profile {wanted.profile!r} of {path}")


def load_keys(auth_type: str, identity: Identity) -> KeyGrant:
    """
    Return the keys of a user or session.

    Raises:
        ConfigurationError: Something is missing or cannot be read.
        UnauthenticatedError: The session has expired.
    """
    values, source = identity.values, identity.source
    key = _key(values, source)
    scheme()
    if not _is_session(auth_type, values):
        if missing := [name for name in _IDENTITY if not values.get(name)]:
            raise ConfigurationError(f"{source} has no {' and no '.join(missing)}, which an OCI user needs")
        tenancy, user, fingerprint = (_text(name, values[name]) for name in _IDENTITY)
        return Grant(OCIKeys(f"{tenancy}/{user}/{fingerprint}", key), source=source)
    if not values.get("security_token_file"):
        raise ConfigurationError(f"{source} has no security_token_file, which a session needs")
    path = _text("security_token_file", values["security_token_file"])
    token = read_key_file(path, "OCI session token").decode("utf-8", "replace").strip()
    if not is_token(token):
        raise ConfigurationError(f"{path} does not contain a session token")
    ends = expiry_of(token)
    ttl = None if ends is None else ends - time.time()
    if ttl is not None and ttl <= 0:
        raise UnauthenticatedError(
            f"the OCI session of {source} has expired: run `oci session refresh`", provider="oci"
        )
    return replace(file_grant(OCIKeys(PREFIX + token, key), ttl), source=f"{source} (session token)")


def find_region(wanted: IdentitySettings) -> str | None:
    """
    Return the region in the profile.
    """
    if wanted.inline:
        return None
    path, named = wanted.config_file()
    if not named and not path.is_file():
        return None
    return _read_profile(path, wanted.profile).get("region") or None


def region_of_environment(*names: str) -> str | None:
    """
    Return the region in ``OCI_REGION`` or ``OCI_CLI_REGION``, else in the variables *names*.
    """
    return next((value for name in (*_REGION_VARIABLES, *names) if (value := os.environ.get(name))), None)


def _config_file(named: str | None) -> tuple[Path, bool]:
    """
    Return the configuration file, and whether it was named explicitly.

    It is *named*, else ``~/.oci/config``.
    """
    if named:
        return Path(named).expanduser(), True
    paths = [Path(name).expanduser() for name in _DEFAULT_FILES]
    return next((path for path in paths if path.is_file()), paths[0]), False


def _read_profile(path: Path, profile: str) -> Mapping[str, str]:
    """
    Return the settings of *profile*, including those of ``DEFAULT``.

    Raises:
        ConfigurationError: The file cannot be read, or has no such profile.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except OSError as exc:
        raise ConfigurationError(f"the OCI configuration {path} cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the OCI configuration {path} is not UTF-8") from None
    except configparser.Error as exc:
        # The message can quote a line of the file.
        raise ConfigurationError(f"the OCI configuration {path} is malformed: {type(exc).__name__}") from None
    if profile not in parser:
        known = sorted(name for name in parser if name != _DEFAULT_PROFILE or parser.defaults())
        raise ConfigurationError(
            f"the OCI configuration {path} has no profile {profile!r}; profiles: {known or 'none'}"
        )
    return dict(parser[profile])


def _is_session(auth_type: str, values: Mapping[str, Any]) -> bool:
    if auth_type != "default":
        return auth_type == "session_token"
    declared = str(values.get("authentication_type", "")) or os.environ.get("OCI_CLI_AUTH", "")
    return "security_token_file" in values and (declared == "security_token" or not values.get("user"))


def _values_of_environment(settings: MethodSettings) -> dict[str, Any]:
    variables = ((item.name, name) for item in settings.declared if item.name not in _FILES for name in item.variables)
    found: dict[str, Any] = {name: value for name, variable in variables if (value := os.environ.get(variable))}
    if any(name in found for name in _KEYS):
        # A key in the environment replaces that of the profile, whether file or content.
        found = {**dict.fromkeys(_KEYS), **found}
    return found


def _key(values: Mapping[str, Any], source: str) -> Any:
    passphrase = _text("pass_phrase", phrase) if (phrase := values.get("pass_phrase")) else None
    if content := values.get("key_content"):
        pem = _text("key_content", content).encode("utf-8")
        return load_rsa_key(pem, passphrase, f"key_content of {source}", extra="oci")
    if not values.get("key_file"):
        raise ConfigurationError(f"{source} has neither key_file nor key_content")
    path = _text("key_file", values["key_file"])
    return load_rsa_key(read_key_file(path, "OCI private key"), passphrase, path, extra="oci")


def _text(name: str, value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be text or a Secret, not {type(value).__name__}")
    return value.strip() if name != "pass_phrase" else value

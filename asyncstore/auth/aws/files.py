"""
The shared files of AWS tools: profiles, single sign-on sessions, and service endpoints.

https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
"""

from __future__ import annotations

import configparser
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from asyncstore.auth.key_files import read_key_file, warn_if_shared
from asyncstore.auth.tokens import MissingCredentialsError
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError

Section = Mapping[str, str]

#: Variables that name a profile. The SDKs document the first; the second is older, and boto3's and the CLI's.
PROFILE_VARIABLES: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """
    The content of both files.

    Attributes:
        profiles: By name; the credentials file takes precedence.
        with_keys: Names of profiles that have keys in the credentials file.
        sessions: Single sign-on sessions, by name.
        services: Endpoints of services, by name.
    """

    profiles: Mapping[str, Section] = field(repr=False)
    with_keys: frozenset[str]
    sessions: Mapping[str, Section] = field(repr=False)
    services: Mapping[str, Section] = field(repr=False)

    def profile(self, name: str) -> Section:
        """
        Return the settings of a profile.

        Raises:
            MissingCredentialsError: It is ``default`` and does not exist.
            ConfigurationError: It is any other profile and does not exist.
        """
        if name in self.profiles:
            return self.profiles[name]
        kind = MissingCredentialsError if name == "default" else ConfigurationError
        raise kind(f"AWS profile {name!r} does not exist; known are {sorted(self.profiles)}")

    def endpoint(self, profile: Section, service: str) -> str | None:
        """
        Return the URL of a service according to *profile*.

        https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
        """
        ignored = os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or profile.get(
            "ignore_configured_endpoint_urls", ""
        )
        if flag(ignored):
            return None
        name = profile.get("services")
        if name is not None and name not in self.services:
            raise ConfigurationError(
                f"{config_file()} has no [services {name}], which a profile names; it has {sorted(self.services)}"
            )
        own = nested(self.services.get(name or "", {}), service.replace("-", "_"))
        return own.get("endpoint_url") or profile.get("endpoint_url") or None


def named_profile(explicit: str | None = None) -> str:
    """
    Return the name of the profile that is used: *explicit*, ``AWS_PROFILE``, ``AWS_DEFAULT_PROFILE`` or ``default``.
    """
    return explicit or _environment_profile() or "default"


def _environment_profile() -> str | None:
    return next((name for variable in PROFILE_VARIABLES if (name := os.environ.get(variable))), None)


def credentials_file() -> Path:
    """
    Return the path of the credentials file.
    """
    return Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()


def config_file() -> Path:
    """
    Return the path of the config file.
    """
    return Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()


def require_files() -> None:
    """
    Check that a profile can exist; blocks.

    Raises:
        MissingCredentialsError: Neither shared file exists, and no variable names a profile.
    """
    files = credentials_file(), config_file()
    if not _environment_profile() and not any(file.is_file() for file in files):
        raise MissingCredentialsError(f"neither {' nor '.join(map(str, files))} exists")


def read_files() -> SharedFiles:
    """
    Read those of the two files that exist; blocks.

    Raises:
        ConfigurationError: One cannot be read or parsed.
    """
    profiles, sessions, services = read_config()
    keys = _parsed(credentials_file(), secret=True)
    for name, section in keys.items():
        profiles[name] = {**profiles.get(name, {}), **section}
    with_keys = frozenset(name for name, section in keys.items() if "aws_access_key_id" in section)
    return SharedFiles(profiles, with_keys, sessions, services)


def read_config() -> tuple[dict[str, Section], dict[str, Section], dict[str, Section]]:
    """
    Read the profiles, sessions and services of the config file; blocks.

    Raises:
        ConfigurationError: It cannot be read or parsed.
    """
    found: dict[str, dict[str, Section]] = {"profile": {}, "sso-session": {}, "services": {}}
    for header, section in _parsed(config_file(), secret=False).items():
        kind, name = _named(header)
        if kind in found:
            found[kind][name] = section
    return found["profile"], found["sso-session"], found["services"]


def _named(header: str) -> tuple[str, str]:
    try:
        words = shlex.split(header)
    except ValueError:
        words = []
    if len(words) == 2:
        return words[0], words[1]
    # The only profile whose header needs no "profile" before the name.
    return ("profile", "default") if words == ["default"] else ("", "")


def _parsed(file: Path, *, secret: bool) -> dict[str, Section]:
    # Not Path.exists(), which raises an error for a directory that may not be searched.
    if not os.path.exists(file):  # noqa: PTH110
        return {}
    text = _read(file, secret=secret)
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as exc:
        # The parser's message repeats the line, which can be a key.
        errors = getattr(exc, "errors", None)
        line = errors[0][0] if errors else getattr(exc, "lineno", None)
        where = "" if line is None else f" at line {line}"
        raise ConfigurationError(f"{file} is not a valid AWS profile file{where}") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _read(file: Path, *, secret: bool) -> str:
    text = read_key_file(file, "AWS profile file", warn=secret).decode("utf-8", "replace")
    if not secret and "aws_secret_access_key" in text:
        warn_if_shared(file)
    return text


def nested(section: Section, name: str) -> Section:
    """
    Return the indented settings below *name* in a section.
    """
    pairs = (line.partition("=") for line in section.get(name, "").splitlines() if "=" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}

"""
The shared files of AWS's tools: profiles, sessions of single sign-on, and endpoints of services.

https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
"""

from __future__ import annotations

import configparser
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asyncstore.auth.chain import MissingCredentialsError
from asyncstore.auth.key_files import read_key_file, warn_if_shared
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError

Section = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """
    What both files say.

    Attributes:
        profiles: By name; what the file of credentials says goes before the other.
        with_keys: Names of those that have keys in the file of credentials.
        sessions: Of single sign-on, by name.
        services: Tables of services, by name.
    """

    profiles: Mapping[str, Section] = field(repr=False)
    with_keys: frozenset[str]
    sessions: Mapping[str, Section] = field(repr=False)
    services: Mapping[str, Section] = field(repr=False)

    def profile(self, name: str) -> Section:
        """
        Return the settings of a profile.

        Raises:
            MissingCredentialsError: It is ``default``, which nobody need have.
            ConfigurationError: There is no other one of that name.
        """
        if name in self.profiles:
            return self.profiles[name]
        # One that nobody names need not be there.
        kind = MissingCredentialsError if name == "default" else ConfigurationError
        raise kind(f"there is no AWS profile {name!r}; there are {sorted(self.profiles)}")

    def endpoint(self, profile: Section, service: str) -> str | None:
        """
        Return where *profile* says that a service is.

        https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
        """
        if flag(os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "")):
            return None
        table = self.services.get(profile.get("services", ""), {})
        own = _nested(table.get(service.replace("-", "_"), ""))
        return own.get("endpoint_url") or profile.get("endpoint_url")


def credentials_file() -> Path:
    """
    Return the file of keys.
    """
    return Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()


def config_file() -> Path:
    """
    Return the file of everything else.
    """
    return Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()


def require_files() -> None:
    """
    Check that there is something that profiles can be read from; blocks.

    Raises:
        MissingCredentialsError: There is neither a shared file nor ``AWS_PROFILE``.
    """
    files = credentials_file(), config_file()
    if not os.environ.get("AWS_PROFILE") and not any(file.is_file() for file in files):
        raise MissingCredentialsError(f"there is no {' and no '.join(map(str, files))}")


def read_files() -> SharedFiles:
    """
    Read both files, those that there are; blocks.

    Raises:
        ConfigurationError: One cannot be read, or has no such format.
    """
    profiles, sessions, services = read_config()
    keys = _parsed(credentials_file(), secret=True)
    for name, section in keys.items():
        profiles[name] = {**profiles.get(name, {}), **section}
    with_keys = frozenset(name for name, section in keys.items() if "aws_access_key_id" in section)
    return SharedFiles(profiles, with_keys, sessions, services)


def read_config() -> tuple[dict[str, Section], dict[str, Section], dict[str, Section]]:
    """
    Read the profiles, sessions and services of the file without keys; blocks.

    Raises:
        ConfigurationError: It cannot be read, or has no such format.
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
    # The only profile that needs no word before its name.
    return ("profile", "default") if words == ["default"] else ("", "")


def _parsed(file: Path, *, secret: bool) -> dict[str, Section]:
    if not file.exists():
        return {}
    text = _read(file, secret=secret)
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as exc:
        # Its own words repeat the line, which can be a key.
        errors = getattr(exc, "errors", None)
        line = errors[0][0] if errors else getattr(exc, "lineno", None)
        where = "" if line is None else f", at line {line}"
        raise ConfigurationError(f"{file} is no file of AWS profiles{where}") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _read(file: Path, *, secret: bool) -> str:
    text = read_key_file(file, "file of AWS profiles", warn=secret).decode("utf-8", "replace")
    if not secret and "aws_secret_access_key" in text:
        warn_if_shared(file)
    return text


def _nested(text: str) -> Section:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}

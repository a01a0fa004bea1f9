"""
The files of an OCI user: profiles, keys and session tokens. All of this blocks.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from asyncstore.auth.key_files import read_key_file
from asyncstore.errors import ConfigurationError

# https://docs.oracle.com/iaas/Content/API/Concepts/sdkconfig.htm
_DEFAULT_FILES: Final = ("~/.oci/config", "~/.oraclebmc/config")
_FILE_VARIABLES: Final = ("OCI_CONFIG_FILE", "OCI_CLI_CONFIG_FILE", "OCI_CONFIG_PATH")

DEFAULT_PROFILE: Final = "DEFAULT"


def config_file(named: str | None) -> tuple[Path, bool]:
    """
    Return the file of profiles, and whether somebody asked for this one.

    It is *named*, else what ``OCI_CONFIG_FILE`` names, else ``~/.oci/config``.
    """
    for name in (named, *map(os.environ.get, _FILE_VARIABLES)):
        if name:
            return Path(name).expanduser(), True
    paths = [Path(name).expanduser() for name in _DEFAULT_FILES]
    return next((path for path in paths if path.is_file()), paths[0]), False


def read_profile(path: Path, profile: str) -> Mapping[str, str]:
    """
    Return the settings of *profile*, those of ``DEFAULT`` included.

    Raises:
        ConfigurationError: There is no such file or profile, or it cannot be read.
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
        # Its text can quote a line of the file.
        raise ConfigurationError(f"the OCI configuration {path} is malformed: {type(exc).__name__}") from None
    if profile not in parser:
        known = sorted(name for name in parser if name != DEFAULT_PROFILE or parser.defaults())
        raise ConfigurationError(f"the OCI configuration {path} has no profile {profile!r}; it has {known or 'none'}")
    return dict(parser[profile])


def read_key(path: str) -> bytes:
    """
    Return the PEM in a file.
    """
    return read_key_file(path, "OCI private key")


def read_token(path: str) -> str:
    """
    Return the session token in a file.
    """
    return read_key_file(path, "OCI session token").decode("utf-8", "replace").strip()

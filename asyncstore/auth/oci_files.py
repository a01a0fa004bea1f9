"""
The files of an OCI user: profiles, keys and session tokens. All of this blocks.
"""

from __future__ import annotations

import base64
import binascii
import configparser
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncstore.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

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
    return _read(Path(path).expanduser(), "private key")


def read_token(path: str) -> str:
    """
    Return the session token in a file.
    """
    text = _read(Path(path).expanduser(), "session token").strip()
    if not text.isascii() or not text:
        raise ConfigurationError(f"{path} holds no session token")
    return text.decode("ascii")


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"the OCI {what} {path} cannot be read: {exc.strerror}") from None


def load_key(pem: bytes, passphrase: str | None, where: str) -> RSAPrivateKey:
    """
    Parse a private key, which takes some 30 ms.

    A passphrase that the key does not need is left aside: a profile inherits that of ``DEFAULT``.

    Args:
        where: What to call it in messages.

    Raises:
        ConfigurationError: It is no private RSA key, or the passphrase does not open it.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigurationError("signing for OCI needs cryptography: install asyncstore[oci]") from None
    secret = None if passphrase is None else passphrase.encode("utf-8")
    try:
        try:
            key = load_pem_private_key(pem.strip(), secret)
        except TypeError:
            if secret is None:
                raise ConfigurationError(f"{where} is encrypted: give pass_phrase") from None
            key = load_pem_private_key(pem.strip(), None)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{where} is no private key in PEM, or pass_phrase does not open it") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(f"{where} is no RSA key, and OCI takes no other")
    return key


def expiry_of(token: str) -> float | None:
    """
    Return when a token ends, in seconds since the epoch, if it says so. Nothing is verified.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None

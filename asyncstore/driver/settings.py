"""
The settings of a driver: a frozen record whose fields say what each one takes.

::

    @dataclass(frozen=True, slots=True, kw_only=True)
    class LabSettings:
        style: Literal["auto", "path"] = "auto"
        verify_checksums: bool = True
        encryption_key: bytes | None = field(default=None, repr=False)

        def __post_init__(self) -> None:
            at_most_one(encryption_key=self.encryption_key, kms_key_name=self.kms_key_name)


    settings = read_settings(LabSettings, rest, provider="lab", readers={"encryption_key": CUSTOMER_KEY})
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar

from asyncstore._support.suggestions import did_you_mean
from asyncstore.config import (
    COMMON_SETTINGS,
    MAPPING,
    Reader,
    declare_settings,
    one_of,
    readers_of,
    resolved_settings,
)
from asyncstore.errors import ConfigurationError

__all__ = [
    "CUSTOMER_KEY",
    "MAPPING",
    "Reader",
    "at_most_one",
    "customer_key_headers",
    "one_of",
    "read_settings",
    "read_values",
]

Record = TypeVar("Record")

_KEY_SIZE: Final = 32


def read_settings(
    kind: type[Record],
    settings: Mapping[str, Any],
    *,
    provider: str,
    readers: Mapping[str, Reader] | None = None,
    others: Iterable[str] = (),
) -> Record:
    """
    Make a record of *kind*, a dataclass, from *settings*. ``None`` means the default.

    Fields without a repr are secrets: errors do not show them, and a storage with one cannot be pickled.

    Args:
        settings: The settings that the credentials have not taken.
        provider: The provider's name, for errors.
        readers: For fields whose annotation is not enough; see :func:`~asyncstore.config.readers_of`.
        others: Further settings of the provider, such as those of the credentials,
            for the error about an unknown name.

    Raises:
        ConfigurationError: A setting is unknown, or its value is invalid.
    """
    return kind(**read_values(kind, settings, provider=provider, readers=readers, others=others))


def read_values(
    kind: Any,
    settings: Mapping[str, Any],
    *,
    provider: str,
    readers: Mapping[str, Reader] | None = None,
    others: Iterable[str] = (),
) -> dict[str, Any]:
    """
    Return the values that :func:`read_settings` would make a record of.
    """
    known = [item.name for item in fields(kind)]
    if unknown := sorted(set(settings) - set(known)):
        raise ConfigurationError(_unknown(provider, unknown, list(dict.fromkeys([*known, *others]))))
    chosen = {**readers_of(kind), **(readers or {})}
    declare_settings({name: reader.secret for name, reader in chosen.items()})
    found = resolved_settings(settings)
    return {name: chosen[name](name, value) for name, value in found.items() if value is not None}


def at_most_one(**settings: Any) -> None:
    """
    Raise :class:`ConfigurationError` if more than one of *settings* has a value.
    """
    if len(present := [name for name, value in settings.items() if value]) > 1:
        raise ConfigurationError(f"give {' or '.join(present)}, not both")


def _read_key(value: Any) -> bytes:
    key = base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(memoryview(value))
    if len(key) != _KEY_SIZE:
        raise ValueError
    return key


#: Reads an encryption key that the customer provides.
CUSTOMER_KEY: Final = Reader(f"{_KEY_SIZE} bytes, or their base64", _read_key, secret=True)


def customer_key_headers(key: bytes | None, stem: str, digest: str = "sha256") -> dict[str, str]:
    """
    Return the headers that carry an encryption key of the customer: how it is used, the key, and its digest.
    """
    if key is None:
        return {}
    fingerprint = hashlib.new(digest, key, usedforsecurity=False).digest()
    return {
        f"{stem}-algorithm": "AES256",
        f"{stem}-key": base64.b64encode(key).decode("ascii"),
        f"{stem}-key-{digest}": base64.b64encode(fingerprint).decode("ascii"),
    }


def _unknown(provider: str, unknown: list[str], known: list[str]) -> str:
    question = did_you_mean(unknown, [*known, *COMMON_SETTINGS])
    return (
        f"{provider} has no setting {' or '.join(map(repr, unknown))}{question} "
        f"It has {', '.join(known)}; every provider has {', '.join(COMMON_SETTINGS)}"
    )

"""
How a storage was made, so that another one can be made the same way: what pickling and copying it keep.

The settings of a storage are kept as they were passed. What came from the environment, from profiles and files
or from metadata services is not among them: it is found again where the storage is opened again. A secret
that was passed itself is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from datetime import date, time, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from asyncstore.config import AuthConfig, EnvironmentVariable, HTTPOptions, RetryOptions, StorageConfig, is_secret
from asyncstore.driver import Driver
from asyncstore.errors import ConfigurationError
from asyncstore.uri import ObjectURI

if TYPE_CHECKING:
    from asyncstore.storage.storage import Storage

_PLAIN: Final = (str, bytes, bool, int, float, Path, Enum, date, time, timedelta, ObjectURI, RetryOptions)


class Origin(Protocol):
    """
    How a storage was made.
    """

    def reopen(self) -> Storage:
        """
        Make another storage in the same way.

        Raises:
            ConfigurationError: It has other objects, or a setting is invalid here.
        """
        ...

    def check(self) -> None:
        """
        Check that this can be sent to another process.

        Raises:
            ConfigurationError: It cannot; the message names the setting and says what would work.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """
    A storage that :func:`~asyncstore.open_storage` made: its arguments.

    Attributes:
        bound_to: As in :class:`~asyncstore.driver.Driver`.
    """

    uri: str | ObjectURI | StorageConfig
    profile: str | None
    profile_path: Path | None
    settings: Mapping[str, Any] = field(repr=False)
    bound_to: str

    def reopen(self) -> Storage:
        from asyncstore.storage.opening import open_storage

        self._check_objects()
        return open_storage(self.uri, profile=self.profile, profile_path=self.profile_path, **self.settings)

    def check(self) -> None:
        self._check_objects()
        config = self.uri if isinstance(self.uri, StorageConfig) else StorageConfig.build(self.uri, self.settings)
        for name, why in _obstacles(config):
            raise ConfigurationError(f"a storage with this setting cannot be pickled: {name} {why}")

    def _check_objects(self) -> None:
        if self.bound_to:
            raise ConfigurationError(f"a storage like this one would have other objects: {self.bound_to}")


@dataclass(frozen=True, slots=True)
class Wrapped:
    """
    A storage that ``Storage.wrapped`` made: its arguments, with the storages in it as they were made.
    """

    wrap: Callable[..., Driver]
    root: ObjectURI
    inner: tuple[Origin, ...]

    def reopen(self) -> Storage:
        first, *others = [origin.reopen() for origin in self.inner]
        wrapper = first.wrapped(self.wrap, root=self.root, others=others)
        # Nobody else has them.
        wrapper._owned = (first, *others)  # noqa: SLF001
        return wrapper

    def check(self) -> None:
        for origin in self.inner:
            origin.check()


@dataclass(frozen=True, slots=True)
class Unknown:
    """
    A storage around a driver that the program made itself.
    """

    driver: str

    def reopen(self) -> Storage:
        raise self._error()

    def check(self) -> None:
        raise self._error()

    def _error(self) -> ConfigurationError:
        return ConfigurationError(
            f"only what open_storage() opens can be pickled and copied, and wrappers of it: this storage was made "
            f"around a {self.driver}"
        )


def reopen(origin: Origin) -> Storage:
    """
    Make a storage again from its pickle.
    """
    return origin.reopen()


def _obstacles(config: StorageConfig) -> Iterator[tuple[str, str]]:
    """
    Yield each setting that must not or cannot be pickled, and why.
    """
    yield from _obstacles_of("session", config.session)
    for name, value in config.settings.items():
        yield from _setting(name, value)
    yield from _obstacles_of("auth", config.auth)
    for item in fields(HTTPOptions):
        value = getattr(config.http, item.name)
        if item.name == "headers" and value:
            yield item.name, f"may have secrets ({', '.join(sorted(value))}): put them into a profile"
        elif item.name == "proxy" and value and urlsplit(value).username is not None:
            yield item.name, "has a password: put it into a profile"
        else:
            yield from _obstacles_of(item.name, value if item.name != "headers" else None)


def _setting(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Settings of the driver and of credentials, some of which are secrets."""
    if isinstance(value, EnvironmentVariable) or value is None:
        return
    secret = is_secret(name)
    if secret:
        yield name, _PASSED
    elif secret is None:
        yield name, f"may be a secret, since its driver does not declare it with read_settings(): {_INSTEAD}"
    else:
        yield from _obstacles_of(name, value)


def _obstacles_of(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None or isinstance(value, EnvironmentVariable):
        return
    if isinstance(value, AuthConfig):
        yield from _credentials(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _obstacles_of(name, item)
    elif isinstance(value, list | tuple | AbstractSet):
        for item in value:
            yield from _obstacles_of(name, item)
    elif not isinstance(value, _PLAIN):
        yield name, f"is of the type {type(value).__name__}, which is only valid in this process{_better(name)}"


def _credentials(auth: AuthConfig) -> Iterator[tuple[str, str]]:
    for name, value in auth.settings.items():
        yield from _setting(name, value)
    # Opening has refused a chain that ends nowhere.
    if auth.fallback is not None:
        yield from _credentials(auth.fallback)


def _better(name: str) -> str:
    better = {
        "session": "leave it out, and each process opens its own",
        "ssl_context": "name a file with ca_file",
    }
    return f": {better[name]}" if name in better else ""


_INSTEAD: Final = (
    "pass from_environment('NAME'), name a file, put it into a profile, or let the provider's own chain find it"
)
_PASSED: Final = f"is a secret that was passed itself: {_INSTEAD}"

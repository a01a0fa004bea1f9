"""
Opening a storage: finds the driver of a provider and imports it on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final, Unpack

from asyncstore import checksum
from asyncstore.config import StorageConfig, load_profile
from asyncstore.driver import Driver
from asyncstore.errors import ConfigurationError
from asyncstore.settings import Settings
from asyncstore.storage.reopening import Opened
from asyncstore.storage.storage import Storage
from asyncstore.uri import ObjectURI

#: Takes a configuration and returns a driver, without making a request.
DriverFactory = Callable[[StorageConfig], Driver]

#: The group under which other packages announce drivers: provider = "module:factory".
ENTRY_POINTS: Final = "asyncstore.drivers"

_BUILT_IN: Final = {
    "azure": "asyncstore.drivers.azure:open_driver",
    "file": "asyncstore.drivers.local:open_driver",
    "gcs": "asyncstore.drivers.gcs:open_driver",
    "github": "asyncstore.drivers.github:open_driver",
    "memory": "asyncstore.drivers.memory:open_driver",
    "oci": "asyncstore.drivers.oci:open_driver",
    "s3": "asyncstore.drivers.s3:open_driver",
}


def open_storage(
    uri: str | ObjectURI | StorageConfig,
    *,
    profile: str | None = None,
    profile_path: Path | None = None,
    **settings: Unpack[Settings],
) -> Storage:
    """
    Return a storage whose root is *uri*, a bucket or a prefix in it.

    No request is made: connections are opened by the first operation. Close the
    storage with ``async with`` or :meth:`Storage.aclose`.

    ::

        async with open_storage("s3://models", region="eu-central-1") as storage:
            await storage.put(storage.root / "hello.txt", b"hello")

    Args:
        profile: Name of a profile in the TOML file of profiles, whose settings are
            used; see :meth:`StorageConfig.from_profile`. This reads a file.
        profile_path: That file, instead of the default one.
        settings: Flat settings: fields of :class:`StorageConfig`,
            :class:`HTTPOptions` and :class:`RetryOptions`, and the driver's own.
            They override the profile's. Type checkers know those of the providers that come with
            the package; give others as ``settings={...}``.

    Raises:
        InvalidURIError: *uri* is not a URI.
        ConfigurationError: No driver for the provider is installed; a setting is
            unknown, or its value is invalid.
    """
    if isinstance(uri, StorageConfig):
        if settings or profile:
            raise ConfigurationError("pass a StorageConfig or settings, not both; change one with dataclasses.replace")
        config = uri
    else:
        saved = load_profile(profile, path=profile_path) if profile else {}
        config = StorageConfig.build(uri, {**saved, **settings})
    open_driver = find_driver(config.uri.provider)
    checksum.load()
    driver = open_driver(config)
    return Storage(driver, config, origin=Opened(uri, profile, profile_path, settings, driver.bound_to))


def find_driver(provider: str) -> DriverFactory:
    """
    Return the function that opens drivers of *provider*.

    Raises:
        ConfigurationError: No such driver is installed.
    """
    factory: DriverFactory
    if provider in _BUILT_IN:
        module, _, name = _BUILT_IN[provider].partition(":")
        factory = getattr(import_module(module), name)
        return factory
    # Imported here, since it is slow to import and only other packages' drivers need it.
    from importlib.metadata import entry_points

    announced = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if provider not in announced:
        raise ConfigurationError(
            f"no driver for {provider!r} is installed; available are {sorted({*_BUILT_IN, *announced})}, "
            f"and packages can add theirs under the entry points {ENTRY_POINTS!r}"
        )
    factory = announced[provider].load()
    return factory

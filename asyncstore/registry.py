"""
Opening a storage: the driver of a scheme is found and imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from asyncstore import checksum
from asyncstore.config import StorageConfig, load_profile
from asyncstore.driver import Driver
from asyncstore.errors import ConfigurationError
from asyncstore.storage import Storage
from asyncstore.uri import ObjectURI

#: Takes a configuration and returns a driver, without any request.
DriverFactory = Callable[[StorageConfig], Driver]

#: The group under which other packages announce drivers: scheme = "module:factory".
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
    **settings: Any,
) -> Storage:
    """
    Return a storage whose root is *uri*, a bucket or a prefix in it.

    No request is made: connections are opened by the first operation. Close the
    storage with ``async with`` or :meth:`Storage.aclose`.

    ::

        async with open_storage("s3://models", region="eu-central-1") as storage:
            await storage.put(storage.root / "hello.txt", b"hello")

    Args:
        profile: Settings under this name in the TOML file of profiles; see
            :meth:`StorageConfig.from_profile`. This reads a file.
        profile_path: That file, instead of the usual one.
        settings: Flat settings: fields of :class:`StorageConfig`,
            :class:`HTTPOptions` and :class:`RetryOptions`, and the driver's own.
            They override the profile's.

    Raises:
        InvalidURIError: *uri* is none.
        ConfigurationError: No driver for that scheme; an unknown setting, or one
            that does not fit.
    """
    if isinstance(uri, StorageConfig):
        if settings or profile:
            raise ConfigurationError("give a StorageConfig or settings, not both; change one with dataclasses.replace")
        config = uri
    else:
        named = load_profile(profile, path=profile_path) if profile else {}
        config = StorageConfig.build(uri, {**named, **settings})
    checksum.load()
    return Storage(find_driver(config.uri.provider)(config), config)


def find_driver(provider: str) -> DriverFactory:
    """
    Return the factory of the drivers of *provider*.

    Raises:
        ConfigurationError: There is none, or it cannot be imported.
    """
    target = _BUILT_IN.get(provider)
    if target is not None:
        module, _, name = target.partition(":")
        factory: DriverFactory = getattr(import_module(module), name)
        return factory
    # Imported here: it takes longer than many a small module of ours.
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS, name=provider):
        announced: DriverFactory = entry.load()
        return announced
    others = {entry.name for entry in entry_points(group=ENTRY_POINTS)}
    raise ConfigurationError(
        f"there is no driver for {provider!r}; there are {sorted({*_BUILT_IN, *others})}, and packages can add "
        f"theirs under the entry points {ENTRY_POINTS!r}"
    )

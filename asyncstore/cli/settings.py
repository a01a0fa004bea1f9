"""
The settings of commands: options, environment variables, profiles.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final, Self

import typer

from asyncstore.cli.output import parse_rates
from asyncstore.config import load_profile
from asyncstore.drivers.local.names import HIDDEN
from asyncstore.errors import ConfigurationError
from asyncstore.storage import Storage
from asyncstore.storage.opening import open_storage
from asyncstore.uri import ObjectURI, Provider

_PREFIX: Final = "ASYNCSTORE_"
_PANEL: Final = "Settings"

# Variables with the prefix of settings that are not settings.
_NO_SETTINGS: Final = frozenset({"CONFIG", "FAST_HTTP", "PROFILE"})
_OTHERS: Final = "TEST_"

# Those whose buckets can be opened at their roots whatever is named in them.
_SHAREABLE: Final = frozenset({Provider.S3, Provider.GCS, Provider.AZURE, Provider.OCI, Provider.MEMORY})

# Local storages, which ignore the settings of clouds.
_LOCAL: Final = frozenset({Provider.LOCAL, Provider.MEMORY})


@dataclass(frozen=True, kw_only=True)
class Connection:
    """
    Options of the connection to a provider.
    """

    endpoint_url: Annotated[
        str | None,
        typer.Option(help="URL of the service, instead of the provider's public one.", rich_help_panel=_PANEL),
    ] = None
    region: Annotated[str | None, typer.Option(help="Region of the bucket.", rich_help_panel=_PANEL)] = None
    profile: Annotated[
        str | None, typer.Option(help="Name of a profile in the configuration file.", rich_help_panel=_PANEL)
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "--setting", metavar="KEY=VALUE", help="Any other setting; repeatable.", rich_help_panel=_PANEL
        ),
    ] = None
    no_sign_request: Annotated[
        bool, typer.Option("--no-sign-request", help="Send requests without credentials.", rich_help_panel=_PANEL)
    ] = False
    ca_file: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate authorities to trust.", rich_help_panel=_PANEL)
    ] = None
    limit_rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Most bytes a second each way, such as 50MB/s; or UP:DOWN, such as 10MB/s:off.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    limit_requests: Annotated[
        float | None, typer.Option(metavar="N", help="Most requests a second.", rich_help_panel=_PANEL)
    ] = None

    @asynccontextmanager
    async def open(
        self, uri: ObjectURI, *others: ObjectURI, folder: bool = False, **defaults: Any
    ) -> AsyncIterator[Storage]:
        """
        Open the storage of *uri* and *others*, as :meth:`storage`; commands of a batch share it.
        """
        shared = _SHARED.get()
        if shared is None or uri.provider not in _SHAREABLE:
            async with self.storage(uri, *others, folder=folder, **defaults) as storage:
                yield storage
        else:
            yield shared.storage(self, uri, defaults)

    def storage(self, uri: ObjectURI, *others: ObjectURI, folder: bool = False, **defaults: Any) -> Storage:
        """
        Return the storage of *uri* and *others*. Options override *defaults*.

        Args:
            folder: Whether the URIs are prefixes; for files, the root is then that directory.

        Raises:
            ConfigurationError: A setting is unknown or invalid, or the profile does not exist.
        """
        if uri.provider in _LOCAL:
            root = file_root([uri, *others], folder=folder) if uri.provider == Provider.LOCAL else uri
            return open_storage(root, **{**defaults, **self._ceilings(), **_pairs(self.set_ or ())})
        return open_storage(uri, **{**defaults, **self.configured(), **self.from_options()})

    def configured(self) -> dict[str, Any]:
        """
        Return the settings of environment variables and the profile.

        Raises:
            ConfigurationError: The profile does not exist.
        """
        profile = self.profile or os.environ.get(f"{_PREFIX}PROFILE")
        return {**environment_settings(os.environ), **(load_profile(profile) if profile else {})}

    def from_options(self) -> dict[str, Any]:
        """
        Return the settings of the command line, which override all others.

        Raises:
            ConfigurationError: A ``--set`` is not a KEY=VALUE pair.
        """
        settings: dict[str, Any] = {**self._ceilings(), **_pairs(self.set_ or ())}
        for name in ("endpoint_url", "region", "ca_file"):
            if (value := getattr(self, name)) is not None:
                settings[name] = value
        if self.no_sign_request:
            settings["auth_type"] = "anonymous"
        return settings

    def _ceilings(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.limit_rate is not None:
            found = {f"{way}_bytes_per_second": rate for way, rate in parse_rates(self.limit_rate).items()}
        return found if self.limit_requests is None else {**found, "requests_per_second": self.limit_requests}


class SharedStorages:
    """
    Opens the storages of several commands once for each bucket and its settings, within an ``async with`` block.
    """

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._opened: list[tuple[tuple[ObjectURI, Connection, dict[str, Any]], Storage]] = []

    async def __aenter__(self) -> Self:
        self._token = _SHARED.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _SHARED.reset(self._token)
        await self._stack.aclose()

    def storage(self, connection: Connection, uri: ObjectURI, defaults: dict[str, Any]) -> Storage:
        """
        Return the storage of the bucket of *uri*, which stays open until the end of the block.
        """
        root = uri.with_key("")
        for wanted, storage in self._opened:
            if wanted == (root, connection, defaults):
                return storage
        storage = connection.storage(root, **defaults)
        self._opened.append(((root, connection, defaults), storage))
        self._stack.push_async_callback(storage.aclose)
        return storage


_SHARED: Final[ContextVar[SharedStorages | None]] = ContextVar("_SHARED", default=None)


@dataclass(frozen=True, kw_only=True)
class SourceConnection:
    """
    Options of the connection to the source, if it is not of the same provider or account as the target.
    """

    source_endpoint_url: Annotated[str | None, typer.Option(help="Like --endpoint-url.", rich_help_panel="Source")] = (
        None
    )
    source_region: Annotated[str | None, typer.Option(help="As --region.", rich_help_panel="Source")] = None
    source_profile: Annotated[str | None, typer.Option(help="As --profile.", rich_help_panel="Source")] = None
    source_set: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="As --set.", rich_help_panel="Source"),
    ] = None
    source_no_sign_request: Annotated[
        bool, typer.Option("--source-no-sign-request", help="As --no-sign-request.", rich_help_panel="Source")
    ] = False

    @property
    def is_set(self) -> bool:
        """Whether any of the options is set."""
        return any(vars(self).values())

    def connection(self, main: Connection) -> Connection:
        """
        Return them as a connection of its own, with the certificates and ceilings of the *main* one.
        """
        return Connection(
            endpoint_url=self.source_endpoint_url,
            region=self.source_region,
            profile=self.source_profile,
            set_=self.source_set,
            no_sign_request=self.source_no_sign_request,
            ca_file=main.ca_file,
            limit_rate=main.limit_rate,
            limit_requests=main.limit_requests,
        )


def file_root(uris: Sequence[ObjectURI], *, folder: bool) -> ObjectURI:
    """
    Return the root that contains all *uris* of files: the nearest directory that has been a root before, if any.

    The metadata of an object is stored in the root that it was written under, so a
    directory below that root must not be opened as another root.
    """
    paths = [Path("/", uri.key) for uri in uris]
    base = Path(os.path.commonpath([path if folder else path.parent for path in paths]))
    marked = (known for known in (base, *base.parents) if (known / HIDDEN).is_dir())
    return uris[0].with_key(str(next(marked, base))[1:])


def environment_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the settings of environment variables such as ``ASYNCSTORE_ENDPOINT_URL``.
    """
    names = {name.removeprefix(_PREFIX): name for name in environment if name.startswith(_PREFIX)}
    return {
        short.lower(): environment[name]
        for short, name in names.items()
        if short not in _NO_SETTINGS and not short.startswith(_OTHERS) and environment[name]
    }


def _pairs(texts: Sequence[str]) -> dict[str, Any]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            # The text is not shown: it may be a secret typed in the wrong place.
            raise ConfigurationError("--set takes KEY=VALUE, such as --set addressing_style=path")
        pairs[name.strip().replace("-", "_")] = value
    return pairs

"""
How a command reaches a storage: options, environment variables, named profiles.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from asyncstore.config import load_profile
from asyncstore.drivers.local.names import HIDDEN
from asyncstore.errors import ConfigurationError
from asyncstore.registry import open_storage
from asyncstore.storage import Storage
from asyncstore.uri import ObjectURI, Provider

_PREFIX: Final = "ASYNCSTORE_"
_PANEL: Final = "Settings"

# Of the variables that start like settings, those that are none.
_NO_SETTINGS: Final = frozenset({"CONFIG", "PROFILE"})
_OTHERS: Final = "TEST_"

# They are in this process or on this machine: what is said about the cloud is not for them.
_LOCAL: Final = frozenset({Provider.LOCAL, Provider.MEMORY})


@dataclass(frozen=True, kw_only=True)
class Connection:
    """
    The options that say how to reach a provider.
    """

    endpoint_url: Annotated[
        str | None, typer.Option(help="Where the provider is, instead of its own address.", rich_help_panel=_PANEL)
    ] = None
    region: Annotated[str | None, typer.Option(help="Region of the bucket.", rich_help_panel=_PANEL)] = None
    profile: Annotated[
        str | None, typer.Option(help="Settings of this name in the file of profiles.", rich_help_panel=_PANEL)
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "--setting", metavar="KEY=VALUE", help="Any other setting; repeatable.", rich_help_panel=_PANEL
        ),
    ] = None
    no_sign_request: Annotated[
        bool, typer.Option("--no-sign-request", help="Use no credentials.", rich_help_panel=_PANEL)
    ] = False
    ca_file: Annotated[
        Path | None, typer.Option(help="PEM file of the authorities to trust.", rich_help_panel=_PANEL)
    ] = None

    def open(self, uri: ObjectURI, *others: ObjectURI, folder: bool = False, **defaults: Any) -> Storage:
        """
        Open the storage of *uri* and *others*. What the options say wins over *defaults*.

        Args:
            folder: Whether the URIs are prefixes; of files, that makes a root of its own.

        Raises:
            ConfigurationError: A setting is unknown or does not fit, or there is no such profile.
        """
        if uri.provider in _LOCAL:
            root = file_root([uri, *others], folder=folder) if uri.provider == Provider.LOCAL else uri
            return open_storage(root, **{**defaults, **_pairs(self.set_ or ())})
        return open_storage(uri, **{**defaults, **self.around(), **self.given()})

    def around(self) -> dict[str, Any]:
        """
        Return what variables and the profile say.

        Raises:
            ConfigurationError: There is no such profile.
        """
        profile = self.profile or os.environ.get(f"{_PREFIX}PROFILE")
        return {**environment_settings(os.environ), **(load_profile(profile) if profile else {})}

    def given(self) -> dict[str, Any]:
        """
        Return what the options say, which wins over all else.

        Raises:
            ConfigurationError: One is no pair.
        """
        given: dict[str, Any] = _pairs(self.set_ or ())
        for name in ("endpoint_url", "region", "ca_file"):
            if (value := getattr(self, name)) is not None:
                given[name] = value
        if self.no_sign_request:
            given["auth_type"] = "anonymous"
        return given


@dataclass(frozen=True, kw_only=True)
class SourceConnection:
    """
    The options that say how to reach the source, where it is another provider or account than the target.
    """

    source_endpoint_url: Annotated[str | None, typer.Option(help="As --endpoint-url.", rich_help_panel="Source")] = None
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
    def given(self) -> bool:
        """Whether any of them is set."""
        return any(vars(self).values())

    def connection(self, ca_file: Path | None) -> Connection:
        """
        Return what they say as the options of any command.
        """
        return Connection(
            endpoint_url=self.source_endpoint_url,
            region=self.source_region,
            profile=self.source_profile,
            set_=self.source_set,
            no_sign_request=self.source_no_sign_request,
            ca_file=ca_file,
        )


def file_root(uris: Sequence[ObjectURI], *, folder: bool) -> ObjectURI:
    """
    Return the root that holds all *uris* of files: one that was a root before, if there is.

    What is stored with an object is kept in the root it was written under, so that
    a prefix of it is no root of its own.
    """
    paths = [Path("/", uri.key) for uri in uris]
    base = Path(os.path.commonpath([path if folder else path.parent for path in paths]))
    marked = (known for known in (base, *base.parents) if (known / HIDDEN).is_dir())
    return uris[0].with_key(str(next(marked, base))[1:])


def environment_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the settings that variables such as ``ASYNCSTORE_ENDPOINT_URL`` hold.
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
            # Not the text itself: it may be a secret typed in the wrong place.
            raise ConfigurationError("--set takes KEY=VALUE, such as --set addressing_style=path")
        pairs[name.strip().replace("-", "_")] = value
    return pairs

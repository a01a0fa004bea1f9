"""
How to reach a provider: settings from keywords, a mapping, a TOML file or the environment.
"""

from __future__ import annotations

import os
import ssl
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from asyncstore.errors import ConfigurationError
from asyncstore.options import MiB
from asyncstore.uri import ObjectURI, parse_uri


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuthConfig:
    """
    How to obtain credentials.

    Attributes:
        provider: Such as ``"s3"`` or ``"aws"``, which mean the same; ``None`` is
            that of the storage, or of the configuration that this is a fallback of.
        auth_type: A method of the provider, such as ``"static"`` or
            ``"profile"``; ``"default"`` is the provider's own chain.
        settings: The method's settings. ``repr`` shows their names only: any of
            them can be secret.
        region: Where tokens are asked for, for providers that have regions.
        fallback: What to try if this one has no credentials to offer; up to ten
            in a row, all of one provider.
    """

    provider: str | None = None
    auth_type: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    region: str | None = None
    fallback: AuthConfig | None = None

    def __repr__(self) -> str:
        parts = [f"{name}={value!r}" for name in ("provider", "auth_type", "region") if (value := getattr(self, name))]
        if self.settings:
            parts.append("settings={" + ", ".join(f"{name!r}: ***" for name in self.settings) + "}")
        # Not its own repr: fallbacks that were made to run in a circle would never end.
        if self.fallback is not None:
            parts.append(f"fallback=<{self.fallback.auth_type}>")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """
    When a request is sent again.

    Attributes:
        attempts: Times a request is sent at the most, the first one included.
        initial_backoff: Seconds; attempt *n* waits up to this times 2 ** n.
        max_backoff: Seconds that one wait can last, unless the provider asks
            for more with ``Retry-After``.
        deadline: Seconds for all attempts of one request and the waits
            between them; ``None`` is no limit.
    """

    attempts: int = 6
    initial_backoff: float = 0.1
    max_backoff: float = 20.0
    deadline: float | None = 300.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigurationError(f"attempts counts the first one, so it is at least 1, not {self.attempts}")
        if self.initial_backoff < 0 or self.max_backoff < 0:
            raise ConfigurationError("a backoff is a number of seconds, 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPOptions:
    """
    How connections are made and watched.

    Attributes:
        connect_timeout: Seconds to open a connection, TLS included.
        stall_timeout: Seconds without a single byte after which a reply is
            given up. A transfer that moves is never stopped.
        ca_file: PEM file of the authorities to trust instead of the system's.
        ssl_context: A context of the caller's own; excludes *ca_file*.
        verify: ``False`` trusts any certificate. For tests only.
        proxy: URL of an HTTP proxy for this storage. Environment variables are
            not read.
        headers: Added to every request.
        user_agent: Put before our own.
        allow_http: Send credentials over plain HTTP to other hosts than this one.
    """

    connect_timeout: float = 10.0
    stall_timeout: float = 30.0
    ca_file: Path | None = None
    ssl_context: ssl.SSLContext | None = None
    verify: bool = True
    proxy: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    user_agent: str | None = None
    allow_http: bool = False

    def __post_init__(self) -> None:
        if self.connect_timeout <= 0 or self.stall_timeout <= 0:
            raise ConfigurationError("a timeout is a number of seconds above 0")
        if self.ssl_context is not None and (self.ca_file is not None or not self.verify):
            raise ConfigurationError("ssl_context decides what is trusted: leave out ca_file and verify")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """
    All that opening a storage needs.

    Attributes:
        uri: The root: a bucket or a prefix in it.
        endpoint_url: Where the provider is, instead of its own address.
        region: Of the bucket, instead of the one from the URI or environment.
        auth: How to obtain credentials; ``None`` is the provider's own chain.
        settings: The driver's own settings, such as ``addressing_style``.
        http: How connections are made.
        retry: When requests are sent again.
        max_requests: Requests in flight, over all operations of this storage.
        max_buffer_bytes: Bytes held in memory on their way to or from a file or a
            stream, over all operations of this storage.
        session: An ``aiohttp.ClientSession`` of the caller's own. It is used
            as it is, and left open.
    """

    uri: ObjectURI
    endpoint_url: str | None = None
    region: str | None = None
    auth: AuthConfig | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    http: HTTPOptions = field(default_factory=HTTPOptions)
    retry: RetryOptions = field(default_factory=RetryOptions)
    max_requests: int = 64
    max_buffer_bytes: int = 48 * MiB
    session: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.max_requests < 1:
            raise ConfigurationError(f"max_requests is at least 1, not {self.max_requests}")
        if self.max_buffer_bytes < 1:
            raise ConfigurationError(f"max_buffer_bytes is at least 1, not {self.max_buffer_bytes}")

    @classmethod
    def build(cls, uri: str | ObjectURI, settings: Mapping[str, Any]) -> StorageConfig:
        """
        Sort flat *settings* into the records that they belong to.

        Names of :class:`HTTPOptions` and :class:`RetryOptions` are taken as
        they are (``attempts`` also as ``retry_attempts``); ``auth_type`` goes
        to :class:`AuthConfig`; what nobody here knows goes to the driver, which
        refuses what it does not know either.

        Raises:
            InvalidURIError: *uri* is none.
            ConfigurationError: A value does not fit.
        """
        rest = dict(settings)
        http = take_http_options(rest)
        retry = _take(RetryOptions, rest, rest.pop("retry", None))
        known = {name: rest.pop(name) for name in _OWN if name in rest}
        auth_type = rest.pop("auth_type", None)
        if auth_type is not None:
            if known.get("auth") is not None:
                raise ConfigurationError("give auth or auth_type, not both")
            known["auth"] = AuthConfig(auth_type=auth_type)
        extra = {**known.pop("settings", {}), **rest}
        for name in ("max_requests", "max_buffer_bytes"):
            if name in known:
                known[name] = _converted(int, name, known[name])
        return cls(uri=parse_uri(uri), http=http, retry=retry, settings=extra, **known)

    @classmethod
    def from_profile(cls, uri: str | ObjectURI, profile: str, *, path: Path | None = None) -> StorageConfig:
        """
        Read the settings of a named profile from a TOML file.

        A profile is a table of flat settings, as :func:`open_storage` takes
        them::

            [profiles.lab]
            endpoint_url = "https://s3.lab.example"
            region = "us-east-1"

        This reads a file: call it before the event loop runs, or in a thread.

        Args:
            path: The file; by default ``ASYNCSTORE_CONFIG``, else
                ``asyncstore/config.toml`` in the user's configuration directory.

        Raises:
            ConfigurationError: There is no such file or profile, or the file is
                not valid TOML.
        """
        return cls.build(uri, load_profile(profile, path=path))


def config_path() -> Path:
    """
    Return where profiles are read from unless another file is named.
    """
    if named := os.environ.get("ASYNCSTORE_CONFIG"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "asyncstore" / "config.toml"


def load_profile(profile: str, *, path: Path | None = None) -> dict[str, Any]:
    """
    Return the flat settings of *profile*; see :meth:`StorageConfig.from_profile`.
    """
    file = path or config_path()
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"profile {profile!r} is to be read from {file}, which does not exist") from None
    except OSError as exc:
        raise ConfigurationError(f"{file} cannot be read: {exc.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{file} is not valid TOML: {exc}") from None
    profiles = document.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(settings, dict) for settings in profiles.values()):
        raise ConfigurationError(f"{file} has something else than a table at profiles: write [profiles.{profile}]")
    if profile not in profiles:
        raise ConfigurationError(f"{file} has no profile {profile!r}; it has {sorted(profiles) or 'none'}")
    return dict(profiles[profile])


def take_http_options(settings: dict[str, Any]) -> HTTPOptions:
    """
    Take ``http`` and the names of :class:`HTTPOptions` out of flat *settings*.

    Raises:
        ConfigurationError: A value does not fit.
    """
    base: HTTPOptions | None = settings.pop("http", None)
    return _take(HTTPOptions, settings, base)


def flag(value: Any) -> bool:
    """
    Read a boolean in the spellings that people type.
    """
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off", ""):
        return False
    raise ConfigurationError(f"{value!r} is neither true nor false")


_OWN: Final = tuple(item.name for item in fields(StorageConfig) if item.name not in ("uri", "http", "retry"))
_CONVERSIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "attempts": int,
    "initial_backoff": float,
    "max_backoff": float,
    "deadline": float,
    "connect_timeout": float,
    "stall_timeout": float,
    "ca_file": Path,
    "verify": flag,
    "allow_http": flag,
}


_Record = TypeVar("_Record", HTTPOptions, RetryOptions)


def _take(kind: type[_Record], rest: dict[str, Any], base: _Record | None) -> _Record:
    if base is not None and not isinstance(base, kind):
        raise ConfigurationError(
            f"this takes a record of {kind.__name__} or its fields one by one, not {type(base).__name__}"
        )
    taken = {}
    for item in fields(kind):
        names = [item.name, f"retry_{item.name}"] if kind is RetryOptions else [item.name]
        given = [name for name in names if name in rest]
        if len(given) > 1:
            raise ConfigurationError(f"give {' or '.join(given)}, not both")
        for name in given:
            taken[item.name] = _converted(_CONVERSIONS.get(item.name), name, rest.pop(name))
    return replace(base or kind(), **taken)


def _converted(convert: Callable[[Any], Any] | None, name: str, value: Any) -> Any:
    if convert is None or value is None:
        return value
    try:
        return convert(value)
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(f"{name} does not take {value!r}: {exc}") from None

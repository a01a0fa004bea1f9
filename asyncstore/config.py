"""
How to reach a provider: settings from keywords, a mapping or a TOML file.
"""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from asyncstore._support.argument_types import check_field_types
from asyncstore.errors import ConfigurationError
from asyncstore.options import MiB
from asyncstore.uri import ObjectURI, parse_uri

# RFC 9110, 5.1 and 5.5; without obs-text, which servers read differently.
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")

_RATES: Final = ("requests_per_second", "bytes_per_second", "upload_bytes_per_second", "download_bytes_per_second")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuthConfig:
    """
    How to obtain credentials.

    Attributes:
        provider: Such as ``"s3"`` or its alias ``"aws"``. ``None`` is the provider of
            the storage, or of the configuration that this is a fallback of.
        auth_type: A method of the provider, such as ``"static"`` or
            ``"profile"``; ``"default"`` is the provider's own chain.
        settings: The method's settings. ``repr`` shows only their names, since any
            of them can be secret.
        region: The region whose token service is used, for providers with regions.
        fallback: The next method to try if this one finds no credentials; up to ten
            in a chain, all of one provider.
    """

    provider: str | None = None
    auth_type: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    region: str | None = None
    fallback: AuthConfig | None = None

    def __post_init__(self) -> None:
        check_field_types(self)

    def __repr__(self) -> str:
        parts = [f"{name}={value!r}" for name in ("provider", "auth_type", "region") if (value := getattr(self, name))]
        if self.settings:
            parts.append("settings={" + ", ".join(f"{name!r}: ***" for name in self.settings) + "}")
        # Not the fallback's own repr, which would never end if fallbacks form a cycle.
        if self.fallback is not None:
            parts.append(f"fallback=<{self.fallback.auth_type}>")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class EnvironmentVariable:
    """
    A setting whose value is read from the environment where the storage is opened.

    Made by :func:`from_environment`.
    """

    name: str

    def value(self, setting: str) -> str:
        """
        Return the value of the variable.

        Raises:
            ConfigurationError: It is not set, or empty.
        """
        if not (found := os.environ.get(self.name)):
            raise ConfigurationError(
                f"{setting} is read from the environment variable {self.name}, which is not set here: set it"
            )
        return found

    def __repr__(self) -> str:
        return f"from_environment({self.name!r})"


def from_environment(name: str) -> Any:
    """
    Return a reference to the environment variable *name*, in place of the value of a setting.

    The variable is read where the storage is opened. So a storage with such a setting can be pickled
    without the value, and opened in a process that has the variable, too::

        storage = open_storage("s3://lab", access_key_id="lab", secret_access_key=from_environment("LAB_SECRET"))

    It is taken for settings of the driver and of the credentials, also within
    :class:`AuthConfig`, but not for those that every storage has, such as ``region``.

    Raises:
        ConfigurationError: *name* cannot be the name of a variable; where the storage is opened: it is not set.
    """
    if not isinstance(name, str):
        raise TypeError(f"name takes text, not {type(name).__name__}")
    if not name or "=" in name or "\0" in name:
        raise ConfigurationError(f"{name!r} cannot be the name of an environment variable")
    return EnvironmentVariable(name)


def resolved_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *settings* with the values of those that are read from the environment.

    Raises:
        ConfigurationError: A variable is not set.
    """
    return {
        name: value.value(name) if isinstance(value, EnvironmentVariable) else value for name, value in settings.items()
    }


_SECRECY: Final[dict[str, bool]] = {}


def declare_settings(secrecy: Mapping[str, bool]) -> None:
    """
    Note which settings of a driver or a method of authentication are secrets.

    What is a secret of one provider is taken for a secret of all.
    """
    for name, secret in secrecy.items():
        _SECRECY[name] = secret or _SECRECY.get(name, False)


def is_secret(setting: str) -> bool | None:
    """
    Return whether a setting is a secret; ``None`` if no driver that was opened has declared it.
    """
    return _SECRECY.get(setting)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """
    When a request is retried.

    Attributes:
        attempts: How often a request is sent at most, including the first time.
        initial_backoff: Seconds; attempt *n* waits up to this times 2 ** n.
        max_backoff: Longest wait in seconds, unless the provider asks for more
            with ``Retry-After``.
        deadline: Seconds for all attempts of one request and the waits between them, after
            which it ends with :class:`DeadlineExceededError`. An operation of several requests
            can take longer; for a body that is streamed, the time starts again with every byte that
            arrives. ``None`` limits only the retries: the last one starts at most five minutes
            after the first attempt.
    """

    attempts: int = 6
    initial_backoff: float = 0.1
    max_backoff: float = 20.0
    deadline: float | None = None

    def __post_init__(self) -> None:
        check_field_types(self)
        if self.attempts < 1:
            raise ConfigurationError(f"attempts must be at least 1, since it counts the first one, not {self.attempts}")
        for name in ("initial_backoff", "max_backoff"):
            if not 0 <= (seconds := getattr(self, name)) < math.inf:
                raise ConfigurationError(f"{name} must be 0 or more seconds, not {seconds}")
        if self.deadline is not None and not self.deadline > 0:
            raise ConfigurationError(f"deadline must be above 0 seconds, or None for no limit, not {self.deadline}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPOptions:
    """
    How connections are opened, and when they time out.

    Attributes:
        connect_timeout: Seconds to open a connection, including TLS.
        stall_timeout: Seconds without a single byte after which a reply times out. A
            transfer that makes progress is never stopped. The head of a reply has this time as a whole,
            and a document such as a page of a listing ten times as long, plus a second for each KiB. An
            upload moves while the server's system acknowledges bytes (Linux; elsewhere while this system takes
            some): what that system holds unread, up to a few MiB, cannot be seen, so a server must read those and
            reply within this time.
        ca_file: PEM file of the certificate authorities to trust instead of the system's.
        ssl_context: Your own SSL context; excludes *ca_file* and *verify*.
        verify: ``False`` accepts any certificate. For tests only.
        proxy: URL of an HTTP proxy for this storage. Proxy environment variables
            are not read.
        headers: Added to every request.
        user_agent: Text before the library's own user agent.
        allow_http: Allow credentials to be sent over plain HTTP to hosts other than this machine.
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
        check_field_types(self)
        for name in ("connect_timeout", "stall_timeout"):
            if not 0 < (seconds := getattr(self, name)) < math.inf:
                raise ConfigurationError(f"{name} must be above 0 seconds, not {seconds}")
        if self.proxy is not None:
            _check_proxy(self.proxy)
        for name, value in {**self.headers, "user_agent": self.user_agent or ""}.items():
            _check_header(name, value)
        if self.ssl_context is not None and (self.ca_file is not None or not self.verify):
            raise ConfigurationError(
                "ssl_context already decides which certificates are trusted: leave out ca_file and verify"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConfig:
    """
    Everything needed to open a storage.

    Attributes:
        uri: The root: a bucket or a prefix in it.
        endpoint_url: URL of the service, instead of the provider's public one.
        region: Region of the bucket, instead of the one from the URI or environment.
        auth: How to obtain credentials; ``None`` is the provider's default chain.
        settings: The driver's own settings, such as ``addressing_style``.
        http: How connections are opened, and when they time out.
        retry: When requests are retried.
        max_requests: Most requests in flight, over all operations of this storage. There are only 16 at first:
            the number grows while more is transferred that way, and falls when the provider throttles.
        max_buffer_bytes: Most bytes buffered in memory on their way to or from a file
            or stream, over all operations of this storage. Two things can exceed it: what a stream given to
            ``put()`` reads or writes itself, since the ``put()`` waits for that, and parts that are allowed while all
            other reserved bytes belong to files open for writing or to stalled streams.
        requests_per_second: Most requests a second, attempts of retries included; each step of a copy and each page of
            a listing is one. What is sent to authenticate does not count.
        bytes_per_second: Most bytes of objects a second, sent and received together.
        upload_bytes_per_second: Most bytes of objects a second that are sent.
        download_bytes_per_second: Most bytes of objects a second that are received. With a ceiling for both directions,
            at most one request for each 64 KiB/s is in flight, but 4, so that none of them seems idle to the server.
        session: Your own ``aiohttp.ClientSession``, which is used unchanged and not closed.
        state_directory: Where uploads with ``resume="journal"`` are recorded; by default ``asyncstore`` in
            ``$XDG_STATE_HOME`` or ``~/.local/state``.
    """

    uri: ObjectURI
    endpoint_url: str | None = None
    region: str | None = None
    auth: AuthConfig | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    http: HTTPOptions = field(default_factory=HTTPOptions)
    retry: RetryOptions = field(default_factory=RetryOptions)
    max_requests: int = 128
    max_buffer_bytes: int = 96 * MiB
    requests_per_second: float | None = None
    bytes_per_second: float | None = None
    upload_bytes_per_second: float | None = None
    download_bytes_per_second: float | None = None
    session: Any = field(default=None, repr=False)
    state_directory: Path | None = None

    def __post_init__(self) -> None:
        check_field_types(self)
        if self.max_requests < 1:
            raise ConfigurationError(f"max_requests must be at least 1, not {self.max_requests}")
        if self.max_buffer_bytes < 1:
            raise ConfigurationError(f"max_buffer_bytes must be at least 1, not {self.max_buffer_bytes}")
        for name in _RATES:
            check_rate(name, getattr(self, name))

    @classmethod
    def build(cls, uri: str | ObjectURI, settings: Mapping[str, Any]) -> StorageConfig:
        """
        Sort flat *settings* into the records that they belong to.

        The fields of :class:`HTTPOptions` and :class:`RetryOptions` are settings by
        the same name (``attempts`` also as ``retry_attempts``). ``auth_type`` goes to
        :class:`AuthConfig`. Every other name is passed to the driver, which refuses
        names that it does not know.

        Raises:
            InvalidURIError: *uri* is not a URI.
            ConfigurationError: A value is invalid.
        """
        rest = dict(settings)
        http = take_http_options(rest)
        retry = _take(RetryOptions, rest, "retry")
        known = {name: rest.pop(name) for name in _OWN if name in rest}
        auth_type = rest.pop("auth_type", None)
        if auth_type is not None:
            if known.get("auth") is not None:
                raise ConfigurationError("pass auth or auth_type, not both")
            known["auth"] = AuthConfig(auth_type=auth_type)
        known = _read(cls, known)
        extra = {**known.pop("settings", {}), **rest}
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

        This reads a file, so call it before the event loop runs, or in a thread.

        Args:
            path: The file; by default ``ASYNCSTORE_CONFIG``, else
                ``asyncstore/config.toml`` in the user's configuration directory.

        Raises:
            ConfigurationError: The file or the profile does not exist, or the file
                is not valid TOML.
        """
        return cls.build(uri, load_profile(profile, path=path))


def check_rate(name: str, per_second: float | None) -> None:
    """
    Refuse a ceiling that allows nothing.

    Raises:
        ConfigurationError: *per_second* is not above 0.
    """
    if per_second is not None and not 0 < per_second < math.inf:
        raise ConfigurationError(f"{name} must be above 0, or None for no limit, not {per_second}")


def _check_proxy(url: str) -> None:
    # Not shown: it can hold a password.
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError("proxy takes the URL of an HTTP proxy, such as http://proxy.example:3128")


def _check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is not the name of a header")
    if not _HEADER_VALUE.fullmatch(value):
        raise ConfigurationError(f"the value of the header {name} must be one line of ASCII text")


def config_path() -> Path:
    """
    Return the default path of the profile file.
    """
    if named := os.environ.get("ASYNCSTORE_CONFIG"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "asyncstore" / "config.toml"


def state_directory() -> Path:
    """
    Return the default directory of the journal of uploads.

    See the `XDG base directory specification <https://specifications.freedesktop.org/basedir-spec/latest/>`_.
    """
    base = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    # A relative path is invalid by the specification.
    return (base if base.is_absolute() else Path("~/.local/state").expanduser()) / "asyncstore"


def load_profile(profile: str, *, path: Path | None = None) -> dict[str, Any]:
    """
    Return the flat settings of *profile*; see :meth:`StorageConfig.from_profile`.
    """
    import tomllib  # only here, to keep the import of asyncstore fast

    file = path or config_path()
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"cannot read profile {profile!r}: {file} does not exist") from None
    except OSError as exc:
        raise ConfigurationError(f"cannot read {file}: {exc.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{file} is not valid TOML: {exc}") from None
    profiles = document.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(settings, dict) for settings in profiles.values()):
        raise ConfigurationError(f"profiles in {file} must be tables: write [profiles.{profile}]")
    if profile not in profiles:
        raise ConfigurationError(f"{file} has no profile {profile!r}; it has {sorted(profiles) or 'none'}")
    return dict(profiles[profile])


def take_http_options(settings: dict[str, Any]) -> HTTPOptions:
    """
    Remove ``http`` and the fields of :class:`HTTPOptions` from flat *settings*, and return them.

    Raises:
        ConfigurationError: A value is invalid.
    """
    return _take(HTTPOptions, settings, "http")


def flag(value: Any) -> bool:
    """
    Parse a boolean: ``true``, ``yes``, ``on``, ``1`` or their opposites.
    """
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off", ""):
        return False
    raise ConfigurationError(f"{value!r} is neither true nor false")


@dataclass(frozen=True, slots=True)
class Reader:
    """
    Reads the value of one setting.

    Attributes:
        takes: What the setting takes, for errors: ``"a whole number"``.
        read: Converts a value; raises ``ValueError`` or ``TypeError`` if it is invalid.
        secret: Errors do not show the value.
        optional: ``None`` is a separate value, not the default.
    """

    takes: str
    read: Callable[[Any], Any]
    secret: bool = False
    optional: bool = False

    def __call__(self, name: str, value: Any) -> Any:
        """
        Return the value of the setting *name*; ``None`` stays ``None``.

        Raises:
            ConfigurationError: *value* is invalid. The message says what would work.
        """
        try:
            return None if value is None else self.read(value)
        except (TypeError, ValueError):
            shown = type(value).__name__ if self.secret else f"{value!r:.100}"
            raise ConfigurationError(f"{name} takes {self.takes}, not {shown}") from None


def one_of(choices: Mapping[str, Any] | Iterable[str]) -> Reader:
    """
    Return a reader for a setting with a few choices, in upper or lower case.

    Args:
        choices: The choices, as a mapping if their values differ from their names.
    """
    values = choices if isinstance(choices, Mapping) else {name: name for name in choices}
    folded = {name.lower(): value for name, value in values.items()}

    def read(value: Any) -> Any:
        if (text := str(value).strip().lower()) not in folded:
            raise ValueError
        return folded[text]

    return Reader(" or ".join(map(repr, values)), read)


def instance_of(kind: type[Any], takes: str) -> Reader:
    """
    Return a reader for a setting that takes an instance of *kind* unchanged.
    """

    def read(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return Reader(takes, read)


def _read_whole_number(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError
    return int(value)


def _read_number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _read_mapping(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise TypeError
    return dict(value)


MAPPING: Final = Reader("a mapping of text to text", _read_mapping)
_READERS: Final[Mapping[Any, Reader]] = {
    str: instance_of(str, "text"),
    bool: Reader("true or false", flag),
    int: Reader("a whole number", _read_whole_number),
    float: Reader("a number", _read_number),
    Path: Reader("a path", Path),
    Mapping[str, str]: MAPPING,
}


@cache
def readers_of(kind: type[Any]) -> Mapping[str, Reader]:
    """
    Return a reader for each field of *kind*, a dataclass, by its annotation.

    ``str``, ``bool``, ``int``, ``float``, ``Path``, ``Mapping[str, str]`` and ``Literal``
    convert a value; any other class takes its instances. Errors about fields
    without a repr do not show the value.
    """
    hints = get_type_hints(kind)
    readers = {item.name: (_reader_of(hints[item.name]), item.repr) for item in fields(kind)}
    return {name: reader if shown else replace(reader, secret=True) for name, (reader, shown) in readers.items()}


def _reader_of(hint: Any) -> Reader:
    if get_origin(hint) in (Union, UnionType):
        first, *others = get_args(hint)
        return replace(_reader_of(first), optional=type(None) in others)
    if get_origin(hint) is Literal:
        return one_of(get_args(hint))
    if hint in _READERS:
        return _READERS[hint]
    kind = get_origin(hint) or hint
    return instance_of(object if kind is Any else kind, _described(kind))


def _described(kind: Any) -> str:
    if kind is Mapping:
        return "a mapping"
    name = getattr(kind, "__name__", "value")
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


_OWN: Final = tuple(item.name for item in fields(StorageConfig) if item.name not in ("uri", "http", "retry"))

#: The flat settings that every provider has.
COMMON_SETTINGS: Final = (
    *(name for name in _OWN if name != "settings"),
    "auth_type",
    *(item.name for kind in (HTTPOptions, RetryOptions) for item in fields(kind)),
)

_Record = TypeVar("_Record", HTTPOptions, RetryOptions)


def _take(kind: type[_Record], rest: dict[str, Any], record: str) -> _Record:
    base = instance_of(kind, f"{kind.__name__}, whose fields are settings too")(record, rest.pop(record, None))
    taken = {}
    for item in fields(kind):
        names = [item.name, f"retry_{item.name}"] if kind is RetryOptions else [item.name]
        present = [name for name in names if name in rest]
        if len(present) > 1:
            raise ConfigurationError(f"pass {' or '.join(present)}, not both")
        for name in present:
            taken[item.name] = rest.pop(name)
    return replace(base or kind(), **_read(kind, taken))


def _read(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    record: Any = kind
    readers = readers_of(record)
    return {
        name: readers[name](name, value)
        for name, value in values.items()
        if value is not None or readers[name].optional
    }

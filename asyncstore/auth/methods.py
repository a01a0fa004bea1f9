"""
The authentication methods of a provider: their settings, and how one of them is chosen.

A provider declares an :class:`AuthMethod` for each way to obtain credentials. Its
:class:`MethodTable` checks settings against these declarations and builds a
:class:`Method`. The reference is generated from the same declarations.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Generic, Self, TypeVar

from asyncstore._support.suggestions import did_you_mean
from asyncstore.auth.tokens import Grant, MissingCredentialsError, NoLocalServiceError
from asyncstore.config import AuthConfig, declare_settings, flag, resolved_settings
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

T = TypeVar("T")
C = TypeVar("C")
M = TypeVar("M", bound="Method[Any]")

#: The source of a value that was passed as a setting.
SETTINGS_SOURCE: Final = "settings"

#: A setting that any method accepts: ``False`` changes nothing, ``True`` selects the method of the same name.
_ANONYMOUS: Final = "anonymous"


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One setting of a method.

    Attributes:
        meaning: Its description in the reference.
        variables: Environment variables that supply it, in this order, if it is not set.
        aliases: Other names for it.
        secret: Whether its value must never be shown.
        identifies: Whether its value says who makes the requests, such as a role or an account.
            ``Credentials.identity()`` shows it.
    """

    name: str
    meaning: str
    variables: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    secret: bool = False
    identifies: bool = False


@dataclass(frozen=True, slots=True)
class AuthMethod:
    """
    The declaration of one way to obtain credentials.

    Attributes:
        meaning: Where the credentials come from.
        reference: The provider's documentation of it.
        settings: All settings that it accepts.
        variables: Environment variables that it reads besides those of the settings.
        refreshes: Whether its credentials expire and are refreshed.
        extra: The extra of this package that it needs.
    """

    auth_type: str
    meaning: str
    reference: str
    settings: tuple[Setting, ...] = ()
    variables: tuple[str, ...] = ()
    refreshes: bool = False
    extra: str | None = None

    def select(self, values: Mapping[str, Any]) -> MethodSettings:
        """
        Return those of *values* that this method accepts.
        """
        names = {setting.name for setting in self.settings}
        return MethodSettings({name: value for name, value in values.items() if name in names}, self.settings)

    def bind(self, values: Mapping[str, Any], *, ignored: Collection[str] = ()) -> MethodSettings:
        """
        Return *values* as settings of this method.

        Args:
            ignored: Names to drop silently if this method does not accept them.

        Raises:
            ConfigurationError: This method does not accept one of them.
        """
        known = [setting.name for setting in self.settings]
        if foreign := sorted(set(values) - {*known, *ignored}):
            raise ConfigurationError(
                f"auth_type {self.auth_type!r} takes no {' or '.join(foreign)}; "
                f"it takes {', '.join(known) or 'no settings'}"
            )
        return self.select(values)


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """
    The settings of one method, completed from the environment.

    The environment is read when a value is requested, not before.

    Attributes:
        explicit: Values that were passed, without those of the environment.
    """

    explicit: Mapping[str, Any] = field(repr=False)
    declared: tuple[Setting, ...]

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> Any:
        """
        Return the value of a setting; ``None`` if it is set nowhere, or the method does not have it.
        """
        return self._look_up(name)[0]

    def source(self, name: str) -> str:
        """
        Return ``"settings"`` or the environment variable that supplies a value.
        """
        return self._look_up(name)[1]

    def sources(self) -> dict[str, str]:
        """
        Return the source of every value that is set.
        """
        found = {setting.name: self._look_up(setting.name) for setting in self.declared}
        return {name: source for name, (value, source) in found.items() if value is not None}

    def identity(self) -> dict[str, str]:
        """
        Return the values that say who makes the requests.
        """
        found = {setting.name: self.get(setting.name) for setting in self.declared if setting.identifies}
        return {name: str(value) for name, value in found.items() if isinstance(value, str | int)}

    def _look_up(self, name: str) -> tuple[Any, str]:
        if (value := self.explicit.get(name)) is not None:
            return value, SETTINGS_SOURCE
        variables = (variable for setting in self.declared if setting.name == name for variable in setting.variables)
        found = ((os.environ.get(variable), variable) for variable in variables)
        return next(((value, variable) for value, variable in found if value), (None, ""))


@dataclass(frozen=True, slots=True)
class Method(Generic[T]):
    """
    One way to obtain credentials, ready to be used. Providers derive their own from it.

    Attributes:
        source: Where the credentials come from, for people to read; never a secret.
        fetch: Obtains credentials; raises :class:`MissingCredentialsError` where the method does not apply.
        fixed: Whether every fetch returns the same credentials.
    """

    auth_type: str
    source: str
    settings: MethodSettings
    fetch: Callable[[], Awaitable[Grant[T]]] = field(repr=False)
    fixed: bool = field(default=False, kw_only=True)

    def setting_sources(self) -> dict[str, str]:
        """
        Return the source of every value that is set.
        """
        return self.settings.sources()

    def optional(self, kind: type[StorageError] = NoLocalServiceError) -> Self:
        """
        Return this method as one that a chain skips if it fails with *kind*.
        """

        async def fetch() -> Grant[T]:
            try:
                return await self.fetch()
            except kind as exc:
                raise MissingCredentialsError(exc.message, provider=exc.provider, code=exc.code) from None

        return replace(self, fetch=fetch)

    async def aclose(self) -> None:
        """
        Release what the method holds; safe to call twice.
        """


@dataclass(frozen=True, kw_only=True)
class MethodTable(Generic[C, M]):
    """
    All methods of one provider, and the rules that choose one of them.

    Attributes:
        provider: As in ``AuthConfig``, with its *aliases*.
        name: The provider's name in messages.
        methods: The declarations.
        builders: Makes the method of each ``auth_type``; reads and sends nothing.
        implied: The ``auth_type`` that a setting implies if none is named. The first setting that is set decides.
        shared: Settings that the driver needs too: they are not taken out of the storage's settings.
        type_aliases: Other names of auth types.
        check: Raises an error for settings that contradict each other.
        fallback: Returns the ``auth_type`` for settings that imply none, instead of ``"default"``.
    """

    provider: str
    name: str
    methods: tuple[AuthMethod, ...]
    builders: Mapping[str, Callable[[MethodSettings, C], M]]
    implied: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    type_aliases: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], None] | None = None
    fallback: Callable[[Mapping[str, Any]], str] | None = None

    @property
    def setting_names(self) -> tuple[str, ...]:
        """The settings that :meth:`take` removes, without aliases."""
        return tuple(name for name in dict.fromkeys(_own_names(self.methods).values()) if name not in self.shared)

    @property
    def auth_types(self) -> tuple[str, ...]:
        """Every auth type, in the order of declaration."""
        return tuple(method.auth_type for method in self.methods)

    def method(self, auth_type: str) -> AuthMethod:
        """
        Return the declaration of *auth_type*.

        Raises:
            ConfigurationError: It does not exist.
        """
        found = next((method for method in self.methods if method.auth_type == auth_type), None)
        if found is None:
            question = did_you_mean([auth_type], self.auth_types)
            raise ConfigurationError(
                f"{self.name} has no auth_type {auth_type!r}{question} It has {', '.join(self.auth_types)}"
            )
        return found

    def take(self, settings: MutableMapping[str, Any]) -> dict[str, Any]:
        """
        Remove the settings of credentials from *settings* and return them under their own names.

        Raises:
            ConfigurationError: One is set under two names.
        """
        taken: dict[str, Any] = {}
        for name, own in _own_names(self.methods).items():
            if name in settings:
                if own in taken:
                    raise ConfigurationError(f"set {own} or {name}, not both")
                taken[own] = settings[name] if name in self.shared else settings.pop(name)
        return {name: value for name, value in taken.items() if value is not None}

    def links(
        self, auth: AuthConfig | None, settings: MutableMapping[str, Any] | None
    ) -> list[tuple[AuthConfig, dict[str, Any]]]:
        """
        Return *auth* and its fallbacks, each with its settings; the first also has those taken out of *settings*.

        Raises:
            ConfigurationError: A setting is unknown, or the fallbacks are not valid.
        """
        declare_settings(_secrecy(self.methods))
        taken = resolved_settings(self.take({} if settings is None else settings))
        chain = configurations(auth or AuthConfig(), self.provider, *self.aliases)
        return [
            (link, {**(taken if link is chain[0] else {}), **resolved_settings(self._known(link))}) for link in chain
        ]

    def choose(self, auth_type: str, settings: Mapping[str, Any], context: C) -> M:
        """
        Return the method that *auth_type* names, or that the settings imply if it is ``"default"``.

        Raises:
            ConfigurationError: The method does not exist or does not accept a setting, or settings contradict
                each other.
        """
        auth_type = self.type_aliases.get(auth_type, auth_type)
        if self.check is not None:
            self.check(settings)
        if flag(settings.get(_ANONYMOUS, False)):
            auth_type = self._anonymous(auth_type, settings)
        elif auth_type == "default":
            auth_type = self._implied({name: value for name, value in settings.items() if name != _ANONYMOUS})
        bound = self.method(auth_type).bind(settings, ignored=(_ANONYMOUS, *self.shared))
        return self.builders[auth_type](bound, context)

    def _known(self, auth: AuthConfig) -> dict[str, Any]:
        rest = dict(auth.settings)
        known = self.take(rest)
        if unknown := sorted(set(rest) - set(self.shared)):
            names = sorted({*self.setting_names, *self.shared})
            raise ConfigurationError(
                f"{self.name} credentials have no setting {' or '.join(map(repr, unknown))}"
                f"{did_you_mean(unknown, names)} They have {', '.join(names)}"
            )
        return known

    def _anonymous(self, auth_type: str, settings: Mapping[str, Any]) -> str:
        if auth_type not in ("default", _ANONYMOUS):
            raise ConfigurationError(f"auth_type {auth_type!r} is not anonymous: leave out one or the other")
        accepted = {setting.name for setting in self.method(_ANONYMOUS).settings}
        if foreign := sorted(set(settings) - accepted - {_ANONYMOUS, *self.shared}):
            raise ConfigurationError(f"anonymous access takes no {' or '.join(foreign)}: leave out one or the other")
        return _ANONYMOUS

    def _implied(self, settings: Mapping[str, Any]) -> str:
        implied = next((self.implied[name] for name in self.implied if name in settings), None)
        return implied or ("default" if self.fallback is None else self.fallback(settings))


def nested_config(name: str, value: Any) -> AuthConfig:
    """
    Return the configuration that a setting holds: an ``AuthConfig`` or a table of its fields.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(value, AuthConfig):
        return value
    expected = f"{name} is an AuthConfig, or a table of its fields"
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{expected}, not {type(value).__name__}")
    table = dict(value)
    if not isinstance(table.get("settings", {}), Mapping):
        raise ConfigurationError(f"{expected}; settings is a table too")
    if table.get("fallback") is not None:
        table["fallback"] = nested_config("fallback", table["fallback"])
    known = [item.name for item in fields(AuthConfig)]
    if unknown := [str(key) for key in table if key not in known]:
        raise ConfigurationError(f"{expected}: {', '.join(known)}; not {', '.join(unknown)}")
    return AuthConfig(**table)


def _own_names(methods: Iterable[AuthMethod]) -> dict[str, str]:
    """Every name and alias of a setting, with the setting's own name."""
    settings = [setting for method in methods for setting in method.settings]
    return {name: setting.name for setting in settings for name in (setting.name, *setting.aliases)}


def _secrecy(methods: Iterable[AuthMethod]) -> dict[str, bool]:
    """Whether each setting is a secret of any method, under all of its names."""
    found: dict[str, bool] = {}
    for setting in (setting for method in methods for setting in method.settings):
        for name in (setting.name, *setting.aliases):
            found[name] = setting.secret or found.get(name, False)
    return found


#: Configurations in a chain, including the first.
MAX_LINKS: Final = 10


class Chain(Generic[M, T]):
    """
    Tries its links in order, and from then on uses only the first one that had credentials.

    Requests must not continue under another identity because a link fails for a moment.
    For the same reason the chain never skips a service that exists and fails.

    Args:
        strict: Skip only links that do not apply. Otherwise links that are not
            valid or are rejected are skipped too.
        name: The provider's name in messages.

    Attributes:
        found: The link that had credentials.
    """

    def __init__(self, links: Sequence[M], *, name: str, provider: str, strict: bool = False) -> None:
        self._links = links
        self._name = name
        self._provider = provider
        self._skipped: tuple[type[StorageError], ...] = (MissingCredentialsError,)
        if not strict:
            self._skipped = (ConfigurationError, UnauthenticatedError, NoLocalServiceError)
        self.found: M | None = None

    async def fetch(self) -> Grant[T]:
        """
        Return the credentials of the first link that has any.

        Raises:
            StorageError: The error of the only link, or of a service that exists and fails;
                it lists why the links before it were skipped.
            UnauthenticatedError: No link has credentials; lists why each was skipped.
            UnavailableError: The same, and the service of a link did not answer.
        """
        if self.found is not None:
            repeated: Grant[T] = await self.found.fetch()
            return repeated
        skipped: list[tuple[M, StorageError]] = []
        for link in self._links:
            try:
                outcome: Grant[T] = await link.fetch()
            except self._skipped as exc:
                skipped.append((link, exc))
                continue
            except StorageError as exc:
                if skipped:
                    exc.message = f"{link.auth_type}: {exc.message}; before it {_reasons(skipped)}"
                    exc.args = (exc.message,)
                raise
            self.found = link
            return outcome
        raise self._no_credentials(skipped)

    def _no_credentials(self, skipped: Sequence[tuple[M, StorageError]]) -> StorageError:
        if len(skipped) == 1:
            return skipped[0][1]
        unavailable = any(isinstance(error, UnavailableError) for _, error in skipped)
        kind = UnavailableError if unavailable else UnauthenticatedError
        return kind(f"no {self._name} credentials: {_reasons(skipped)}", provider=self._provider)


def _reasons(skipped: Sequence[tuple[Method[Any], StorageError]]) -> str:
    return "; ".join(f"{link.auth_type}: {error}" for link, error in skipped)


def configurations(auth: AuthConfig, provider: str, *aliases: str) -> list[AuthConfig]:
    """
    Return *auth* and its fallbacks, in order.

    Args:
        provider: The provider of all of them; *aliases* are its other names.

    Raises:
        ConfigurationError: There are more than ten, they form a circle, or one
            is for another provider.
    """
    chain: list[AuthConfig] = []
    link: AuthConfig | None = auth
    while link is not None:
        if link.provider not in (None, provider, *aliases):
            raise ConfigurationError(f"these are credentials for {link.provider!r}, not for {provider!r}")
        if any(_same(link, other) for other in chain):
            raise ConfigurationError(f"the fallbacks form a circle: {_shown([*chain, link])}")
        chain.append(link)
        if len(chain) > MAX_LINKS:
            raise ConfigurationError(f"more than {MAX_LINKS} configurations in a chain: {_shown(chain)}")
        link = link.fallback
    return chain


def _same(one: AuthConfig, other: AuthConfig) -> bool:
    return one is other or _facts(one) == _facts(other)


def _facts(auth: AuthConfig) -> tuple[Any, ...]:
    return auth.auth_type, auth.region, dict(auth.settings)


def _shown(chain: Sequence[AuthConfig]) -> str:
    return " -> ".join(link.auth_type for link in chain)

"""
Several ways to find credentials, tried in their order until one has some.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

R = TypeVar("R")
L = TypeVar("L", bound="Link[Any]")
R_co = TypeVar("R_co", covariant=True)

#: Configurations in a row, the first one included.
MAX_LINKS: Final = 10


class MissingCredentialsError(UnauthenticatedError):
    """
    A method does not apply here: no such variable, file or service. The next may.
    """


class NobodyThereError(UnavailableError):
    """
    A service of the machine itself gave no reply at all: this is no such machine, or it is in trouble.
    """


class Link(Protocol[R_co]):
    """
    One way to find credentials.
    """

    @property
    def auth_type(self) -> str:
        """Its name in the settings."""
        ...

    @property
    def fetch(self) -> Callable[[], Awaitable[R_co]]:
        """Gives credentials, or says why there are none."""
        ...


class Chain(Generic[L, R]):
    """
    Remembers which of its links had credentials, and asks only that one from then on.

    Otherwise a moment's trouble of one link would make the work go on as somebody else.

    Args:
        strict: Only a link that does not apply gives way to the next: what is set up
            and refused is reported. Otherwise that gives way too. A service that is
            there and in trouble never does: it would be somebody else who goes on.
        name: Whose credentials, for messages.
    """

    def __init__(self, links: Sequence[L], *, name: str, provider: str, strict: bool = False) -> None:
        self._links = links
        self._name = name
        self._provider = provider
        self._passing: tuple[type[StorageError], ...] = (MissingCredentialsError,)
        if not strict:
            self._passing = (ConfigurationError, UnauthenticatedError, NobodyThereError)
        self.found: L | None = None

    async def fetch(self) -> R:
        """
        Return what the first link has that has anything.

        Raises:
            StorageError: That of the only link, or of one that is there and in trouble;
                says of those before it why they were passed.
            UnauthenticatedError: None has any; says of each why.
            UnavailableError: The same, and the service of one did not answer.
        """
        if self.found is not None:
            again: R = await self.found.fetch()
            return again
        refusals: list[tuple[L, StorageError]] = []
        for link in self._links:
            try:
                outcome: R = await link.fetch()
            except self._passing as exc:
                refusals.append((link, exc))
                continue
            except StorageError as exc:
                if refusals:
                    exc.message = f"{link.auth_type}: {exc.message}; before it {_told(refusals)}"
                    exc.args = (exc.message,)
                raise
            self.found = link
            return outcome
        raise self._none(refusals)

    def _none(self, refusals: Sequence[tuple[L, StorageError]]) -> StorageError:
        if len(refusals) == 1:
            return refusals[0][1]
        passing = any(isinstance(error, UnavailableError) for _, error in refusals)
        kind = UnavailableError if passing else UnauthenticatedError
        return kind(f"no {self._name} credentials: {_told(refusals)}", provider=self._provider)


def _told(refusals: Sequence[tuple[Link[Any], StorageError]]) -> str:
    return "; ".join(f"{link.auth_type}: {error}" for link, error in refusals)


def configurations(auth: AuthConfig, provider: str, *aliases: str) -> list[AuthConfig]:
    """
    Return *auth* and its fallbacks, in their order.

    Args:
        provider: Whose they all have to be; *aliases* are other names of it.

    Raises:
        ConfigurationError: They are more than ten, come back to one that was
            before, or are of another provider.
    """
    chain: list[AuthConfig] = []
    link: AuthConfig | None = auth
    while link is not None:
        if link.provider not in (None, provider, *aliases):
            raise ConfigurationError(f"credentials of {link.provider!r} are of no use for {provider!r}")
        if any(_same(link, other) for other in chain):
            raise ConfigurationError(f"the fallbacks run in a circle: {_shown([*chain, link])}")
        chain.append(link)
        if len(chain) > MAX_LINKS:
            raise ConfigurationError(f"more than {MAX_LINKS} ways to find credentials: {_shown(chain)}")
        link = link.fallback
    return chain


def _same(one: AuthConfig, other: AuthConfig) -> bool:
    return one is other or _facts(one) == _facts(other)


def _facts(auth: AuthConfig) -> tuple[Any, ...]:
    return auth.auth_type, auth.region, dict(auth.settings)


def _shown(chain: Sequence[AuthConfig]) -> str:
    return " -> ".join(link.auth_type for link in chain)

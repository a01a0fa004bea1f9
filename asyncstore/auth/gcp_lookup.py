"""
Finding a Google identity: once, or in Google's own order.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from asyncstore.auth.chain import Chain, MissingCredentialsError, NobodyThereError
from asyncstore.auth.gcp_iam import Caller
from asyncstore.auth.gcp_identity import Identity, Token
from asyncstore.auth.method import Given
from asyncstore.auth.tokens import Grant
from asyncstore.config import flag

#: A token, and whose it is.
Outcome = tuple[Grant[Token], Identity]

Find = Callable[[], Awaitable[Identity]]


class Method:
    """
    One way to find an identity, chosen by the settings.

    Args:
        auth_type: Its name in the settings; what it comes to is known when it was found.
        source: Where it looks.
        caller: The credentials that it needs to do so, to be closed.
    """

    def __init__(self, auth_type: str, source: str, given: Given, find: Find, *, caller: Caller | None = None) -> None:
        self.auth_type = auth_type
        self.source = source
        self.given = given
        self._find = find
        self._caller = caller
        self._found: Identity | None = None
        self._finding = asyncio.Lock()

    async def identity(self) -> Identity:
        """
        Return what is found; files are read once, and no token of it is asked for yet.

        Raises:
            MissingCredentialsError: There is nothing.
            ConfigurationError: It is not what it should be.
        """
        async with self._finding:
            if self._found is None:
                self._found = await self._find()
                if (quota_project := value_of(self.given, "quota_project")) is not None:
                    self._found.quota_project = str(quota_project)
            return self._found

    async def fetch(self) -> Outcome:
        """
        Return a new token, and whose it is.
        """
        identity = await self.identity()
        return await identity.fetch(), identity

    async def aclose(self) -> None:
        """
        Give back what the identity holds.
        """
        if self._found is not None:
            await self._found.aclose()
        if self._caller is not None:
            await self._caller.aclose()


class FirstOf(Method):
    """
    Google's own order: the first place that has anything.
    """

    def __init__(self, given: Given, methods: list[Method]) -> None:
        super().__init__("default", ", ".join(method.source for method in methods), given, self._first)
        self._methods = methods
        self._chain: Chain[Method, Outcome] = Chain(methods, name="Google", provider="gcs", strict=True)

    async def fetch(self) -> Outcome:
        return await self._chain.fetch()

    async def identity(self) -> Identity:
        return await (self._chain.found.identity() if self._chain.found is not None else super().identity())

    async def aclose(self) -> None:
        for method in self._methods:
            await method.aclose()

    async def _first(self) -> Identity:
        for method in self._methods[:-1]:
            try:
                return await method.identity()
            except MissingCredentialsError:
                continue
        # Whether the last one is there shows by asking it.
        return (await self._chain.fetch())[1]


class IfThere(Method):
    """
    A metadata server, for the default: nobody there means that this is no such machine, if nobody ever was.
    """

    _answered = False

    async def fetch(self) -> Outcome:
        if flag(os.environ.get("NO_GCE_CHECK", "")):
            raise MissingCredentialsError("NO_GCE_CHECK is set")
        try:
            outcome = await super().fetch()
        except NobodyThereError as exc:
            if self._answered:
                raise
            raise MissingCredentialsError(f"{exc.message}; for what is public set anonymous=True") from None
        self._answered = True
        return outcome


def held(identity: Identity) -> Method:
    """
    Return a method for an identity that was found already.
    """
    return ready(identity, Given({}, ()))


def ready(identity: Identity, given: Given) -> Method:
    """
    Return a method for an identity that needs nothing to be found.
    """

    async def find() -> Identity:
        return identity

    return Method(identity.auth_type, identity.source, given, find)


def value_of(given: Given, name: str) -> Any:
    """
    Return the value of a setting; ``None`` if there is none, or the method does not take it.
    """
    return given.get(name) if any(setting.name == name for setting in given.declared) else None

"""
Finding a Google identity: by one method, or by the first that applies.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from asyncstore.auth.gcp.iam import Caller
from asyncstore.auth.gcp.identity import Identity, Token
from asyncstore.auth.methods import Chain, Method, MethodSettings
from asyncstore.auth.tokens import Grant, MissingCredentialsError, NoLocalServiceError
from asyncstore.config import flag

Find = Callable[[], Awaitable[Identity]]


class Lookup:
    """
    Finds an identity once and keeps it.

    Args:
        caller: Credentials that *find* uses; closed with the lookup.
    """

    def __init__(self, find: Find, settings: MethodSettings, *, caller: Caller | None = None) -> None:
        self._find = find
        self._settings = settings
        self._caller = caller
        self._found: Identity | None = None
        self._lock = asyncio.Lock()

    async def identity(self) -> Identity:
        """
        Return the identity. This reads its files once, but requests no token.

        Raises:
            MissingCredentialsError: The method does not apply here.
            ConfigurationError: What it found is not valid.
        """
        async with self._lock:
            if self._found is None:
                self._found = await self._find()
                if (quota_project := self._settings.get("quota_project")) is not None:
                    self._found.quota_project = str(quota_project)
            return self._found

    async def fetch(self) -> Grant[Token]:
        """
        Return a new token of the identity.
        """
        return await (await self.identity()).fetch()

    async def aclose(self) -> None:
        """
        Release what the identity and its caller hold; safe to call twice.
        """
        if self._found is not None:
            await self._found.aclose()
        if self._caller is not None:
            await self._caller.aclose()


@dataclass(frozen=True, slots=True)
class GCPMethod(Method[Token]):
    """
    One way to find a Google identity.
    """

    lookup: Lookup

    @classmethod
    def of(cls, auth_type: str, source: str, settings: MethodSettings, lookup: Lookup) -> GCPMethod:
        """
        Return the method whose tokens come from *lookup*.
        """
        return cls(auth_type, source, settings, lookup.fetch, lookup)

    async def aclose(self) -> None:
        await self.lookup.aclose()


class FirstOf(Lookup):
    """
    Uses the first method that applies.
    """

    def __init__(self, settings: MethodSettings, methods: list[GCPMethod]) -> None:
        super().__init__(self._first, settings)
        self._methods = methods
        self._chain: Chain[GCPMethod, Token] = Chain(methods, name="Google", provider="gcs", strict=True)

    async def fetch(self) -> Grant[Token]:
        return await self._chain.fetch()

    async def identity(self) -> Identity:
        found = self._chain.found
        return await (super().identity() if found is None else found.lookup.identity())

    async def aclose(self) -> None:
        for method in self._methods:
            await method.aclose()

    async def _first(self) -> Identity:
        for method in self._methods[:-1]:
            try:
                return await method.lookup.identity()
            except MissingCredentialsError:
                continue
        # Only a request for a token shows whether the last method applies.
        await self._chain.fetch()
        found = self._chain.found or self._methods[-1]
        return await found.lookup.identity()


class IfPresent(Lookup):
    """
    A metadata server in the default chain: if it never answered, this machine has none.
    """

    _answered = False

    async def fetch(self) -> Grant[Token]:
        if flag(os.environ.get("NO_GCE_CHECK", "")):
            raise MissingCredentialsError("NO_GCE_CHECK is set")
        try:
            grant = await super().fetch()
        except NoLocalServiceError as exc:
            if self._answered:
                raise
            raise MissingCredentialsError(f"{exc.message}; for public data set anonymous=True") from None
        self._answered = True
        return grant


def method_for(identity: Identity, settings: MethodSettings | None = None) -> GCPMethod:
    """
    Return a method for an identity that is known already.
    """

    async def find() -> Identity:
        return identity

    own = MethodSettings({}, ()) if settings is None else settings
    return GCPMethod.of(identity.auth_type, identity.source, own, Lookup(find, own))

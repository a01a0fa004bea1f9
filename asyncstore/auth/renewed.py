"""
Credentials that a provider's methods obtain and that are refreshed in time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from asyncstore.auth.credentials import Credentials
from asyncstore.auth.methods import Chain, Method
from asyncstore.auth.tokens import Grant, Lease, Refresh, TokenSource

T = TypeVar("T")
M = TypeVar("M", bound=Method[Any])


class RenewedCredentials(Credentials[T], Generic[T, M]):
    """
    The first of several methods that applies, and its lease.

    A provider derives its credentials from it and adds :meth:`apply`.

    Args:
        methods: In the order in which they are tried.
        region: The region, if it is known; else :meth:`_find_region` is asked once.
        timeout: Seconds that one refresh may take.

    Attributes:
        provider_name: The provider's name in messages.
    """

    provider_name: ClassVar[str]

    def __init__(self, methods: Sequence[M], *, region: str | None = None, timeout: float = 60.0) -> None:
        first = methods[0]
        self.auth_type = first.auth_type
        self.source = first.source
        self.anonymous = first.auth_type == "anonymous"
        self._methods = methods
        self._region = region
        self._region_known = region is not None
        self._chain: Chain[M, T] = Chain(methods, name=self.provider_name, provider=self.provider)
        self._tokens: TokenSource[T] = TokenSource(
            self._fetch, name=f"{self.provider_name} {first.auth_type} credentials", timeout=timeout
        )

    def on_refresh(self, listener: Callable[[Refresh], None]) -> None:
        self._tokens.on_refresh = listener

    def current(self) -> Lease[T] | None:
        return self._tokens.current()

    async def get(self) -> Lease[T]:
        return await self._tokens.get()

    async def refresh(self, stale: Lease[T] | None = None) -> Lease[T]:
        """
        Return another lease than *stale*, or *stale* itself if the method always returns the same credentials.

        Raises:
            UnauthenticatedError, UnavailableError: As :meth:`get`.
        """
        if self._used.fixed:
            return stale or await self.get()
        return await self._tokens.refresh(stale)

    async def region(self) -> str | None:
        if not self._region_known:
            self._region = await self._find_region()
            self._region_known = True
        return self._region

    def setting_sources(self) -> dict[str, str]:
        return self._used.setting_sources()

    def identity(self) -> dict[str, str]:
        return self._used.settings.identity()

    async def aclose(self) -> None:
        await self._tokens.aclose()
        for method in self._methods:
            await method.aclose()

    @property
    def _used(self) -> M:
        """The method that had credentials; the first one until then."""
        return self._chain.found or self._methods[0]

    async def _fetch(self) -> Grant[T]:
        grant = await self._chain.fetch()
        used = self._used
        self.auth_type, self.source = used.auth_type, grant.source or used.source
        return grant

    async def _find_region(self) -> str | None:
        """The region that the method knows of; called once."""
        return None

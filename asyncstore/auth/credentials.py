"""
The interface of credentials that drivers use, for all providers and methods.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from asyncstore._support.awaitable_context import Opening
from asyncstore.auth.tokens import Grant, Lease, Refresh, Scope, Secret, TokenSource
from asyncstore.errors import NotSupportedError

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

__all__ = ["Credentials", "Grant", "Lease", "Refresh", "Scope", "Secret", "TokenSource"]

T = TypeVar("T")


class Credentials(ABC, Generic[T]):
    """
    Proof to a provider of who makes the requests.

    All requests of a storage share them. Close them with :meth:`aclose`, or use
    them as an asynchronous context manager.

    Attributes:
        provider: Such as ``"s3"``.
        auth_type: The method, such as ``"static"``.
        source: Where they came from, for people to read; never a secret.
        anonymous: Whether requests are sent without credentials.
        expired_codes: The provider's error codes that a refresh can resolve.
        skew_codes: The provider's error codes for clock skew.
    """

    provider: ClassVar[str]
    auth_type: str
    source: str
    anonymous: bool = False
    expired_codes: frozenset[str] = frozenset()
    skew_codes: frozenset[str] = frozenset()

    def on_refresh(self, listener: Callable[[Refresh], None]) -> None:
        """
        Call *listener* after each refresh, successful or not; it must neither block nor raise.

        Credentials that never refresh call nothing.
        """

    @abstractmethod
    def current(self) -> Lease[T] | None:
        """
        Return the lease if it needs no refresh, else ``None``; never waits.
        """

    @abstractmethod
    async def get(self) -> Lease[T]:
        """
        Return a valid lease, fetched or refreshed if necessary.

        Cancelling the caller does not cancel the refresh: other callers may wait for it.

        Raises:
            ConfigurationError: Something that the method needs is missing.
            UnauthenticatedError: The provider issues no credentials.
            UnavailableError: The provider could not be reached.
        """

    async def refresh(self, stale: Lease[T] | None = None) -> Lease[T]:
        """
        Return another lease than *stale*, or *stale* itself if no other can be obtained.

        Raises:
            UnauthenticatedError, UnavailableError: As :meth:`get`.
        """
        return await self.get()

    def note_challenge(self, headers: Mapping[str, str]) -> None:
        """
        Note what the *headers* of a 401 demand of the next token; the caller then calls :meth:`refresh`.
        """

    async def region(self) -> str | None:
        """
        Return the region, if the method knows it.
        """
        return None

    def setting_sources(self) -> dict[str, str]:
        """
        Return the source of each setting in use: ``"settings"`` or an environment variable.
        """
        return {}

    def configuration_sources(self) -> dict[str, str]:
        """
        Return the source of each value that the provider's own configuration adds to the credentials, if any.
        """
        return {}

    def identity(self) -> dict[str, str]:
        """
        Return who makes the requests, such as a role or an account, if known without a request; no secrets.
        """
        return {}

    def expiry(self) -> datetime | None:
        """
        Return when the current credentials expire; ``None`` if they do not, or were not fetched yet.
        """
        lease = self.current()
        if lease is None or lease.ends_at is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=lease.ends_at - time.monotonic())

    def describe(self) -> dict[str, str]:
        """
        Return the method, the source and the expiry, for people to read; no secrets.
        """
        end = self.expiry()
        described = {"method": self.auth_type, "source": self.source}
        if end is not None:
            described["expires"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
        return described

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return where a signature for *url* is valid; ``None`` if it is not an address of this cloud.
        """
        return None

    def service_endpoint(self, service: str = "s3") -> str | None:
        """
        Return the URL that the settings or the environment name for *service*.
        """
        return None

    @abstractmethod
    def apply(self, request: aiohttp.ClientRequest, lease: Lease[T], clock_offset: float, scope: Scope) -> None:
        """
        Put credentials on *request*, which is about to be sent. A second call replaces them.

        Args:
            clock_offset: Seconds by which the provider's clock is ahead of ours.
        """

    def presign(
        self,
        method: str,
        url: str,
        lease: Lease[T],
        scope: Scope,
        *,
        expires: timedelta,
        clock_offset: float = 0.0,
        headers: Mapping[str, str] | None = None,
        query: Iterable[tuple[str, str]] = (),
    ) -> str:
        """
        Return *url* presigned: anyone who has it can make this request until it expires.

        Raises:
            NotSupportedError: These credentials cannot presign URLs.
            ValueError: The provider does not allow *expires*.
        """
        raise NotSupportedError(f"{self.auth_type} credentials cannot presign URLs", provider=self.provider, op="sign")

    def http_client(
        self,
        origins: Iterable[str] | None = None,
        *,
        region: str | None = None,
        service: str = "s3",
        allow_http: bool = False,
        **session_options: Any,
    ) -> Opening[aiohttp.ClientSession]:
        """
        Open a session that signs requests to this cloud only. Await the result, or use it with ``async with``.

        Redirects are followed only if a request asks for it with ``allow_redirects``;
        other origins never see the credentials.

        Args:
            origins: Such as ``"https://s3.example"``; by default the provider's own.
            region: The region to sign requests to *origins* for; by default that of the
                credentials. The provider's own hosts name their region.
            session_options: For ``aiohttp.ClientSession``.

        Raises:
            ConfigurationError: An origin is plain HTTP on another host.
        """
        # It imports aiohttp, which "import asyncstore" must not load.
        from asyncstore.auth.signed_session import check_origins, signed_session

        own = list(origins) if origins is not None else []
        check_origins(self, own, allow_http=allow_http)

        async def start() -> aiohttp.ClientSession:
            scope = Scope(region or await self.region() or "us-east-1", service)
            return signed_session(self, own, scope, by_host=origins is None, **session_options)

        return Opening(start)

    async def for_botocore(self) -> Any:
        """
        Return an aiobotocore session that signs with these credentials, renewed as needed.

        Raises:
            NotSupportedError: They are not AWS credentials.
            ConfigurationError: aiobotocore is not installed.
        """
        raise self._not_for("aiobotocore")

    def for_gcloud(self) -> Any:
        """
        Return a token object for gcloud-aio that takes its tokens from these credentials.

        Raises:
            NotSupportedError: They are not Google credentials.
            ConfigurationError: gcloud-aio is not installed.
        """
        raise self._not_for("gcloud-aio")

    async def for_azure(self) -> Any:
        """
        Return an object for the ``credential`` argument of Microsoft's SDK clients; ``None`` means anonymous.

        Raises:
            NotSupportedError: They are not Azure credentials.
            ConfigurationError: A key or SAS token needs azure-core, which is not installed.
        """
        raise self._not_for("Microsoft's SDK")

    async def for_oci(self) -> Any:
        """
        Return a signer for the clients of Oracle's SDK.

        Raises:
            NotSupportedError: They are not OCI credentials.
            ConfigurationError: The SDK is not installed.
        """
        raise self._not_for("Oracle's SDK")

    def _not_for(self, package: str) -> NotSupportedError:
        return NotSupportedError(f"{package} cannot use {self.provider} credentials", provider=self.provider)

    async def aclose(self) -> None:
        """
        Release what the method holds; safe to call twice.
        """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.auth_type} from {self.source}>"

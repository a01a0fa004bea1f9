"""
What drivers know of credentials, whatever the provider and the method.
"""

from __future__ import annotations

import ipaddress
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar
from urllib.parse import urlsplit

from asyncstore.auth.opening import Opening
from asyncstore.auth.sigv4 import Scope
from asyncstore.auth.tokens import Grant, Lease, Secret, TokenSource
from asyncstore.errors import ConfigurationError, NotSupportedError

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

__all__ = ["Credentials", "Grant", "Lease", "Scope", "Secret", "TokenSource", "is_loopback", "require_tls"]

T = TypeVar("T")


class Credentials(ABC, Generic[T]):
    """
    A way to prove to a provider who is asking.

    Close them with :meth:`aclose`, or use them as an asynchronous context
    manager. They are shared by all the requests of a storage.

    Attributes:
        provider: Such as ``"s3"``.
        auth_type: The method, such as ``"static"``.
        source: Where they came from, for people to read; never a secret.
        anonymous: Whether requests go out as they are.
        expired_codes: The provider's error codes that new credentials can cure.
        skew_codes: Its error codes for a clock that is wrong.
    """

    provider: ClassVar[str]
    auth_type: str
    source: str
    anonymous: bool = False
    expired_codes: frozenset[str] = frozenset()
    skew_codes: frozenset[str] = frozenset()

    @abstractmethod
    def current(self) -> Lease[T] | None:
        """
        Return a lease if there is one that needs no renewal; never waits.
        """

    @abstractmethod
    async def get(self) -> Lease[T]:
        """
        Return a lease that is good, fetched or renewed if it has to be.

        Cancelling the caller leaves the renewal running, for the others.

        Raises:
            ConfigurationError: What the method needs is not there.
            UnauthenticatedError: The provider gives no credentials.
            UnavailableError: The provider could not be reached.
        """

    async def refresh(self, stale: Lease[T] | None = None) -> Lease[T]:
        """
        Return another lease than *stale*, or *stale* itself if there can be no other.

        Raises:
            UnauthenticatedError, UnavailableError: As :meth:`get`.
        """
        return await self.get()

    def heed(self, headers: Mapping[str, str]) -> None:
        """
        Take note of what the *headers* of a refusal ask for; :meth:`refresh` follows at once, and heeds it.
        """

    async def region(self) -> str | None:
        """
        Return the region that the method knows of.
        """
        return None

    def setting_sources(self) -> dict[str, str]:
        """
        Return where each setting comes from that the method uses: ``"settings"`` or a variable.
        """
        return {}

    def identity(self) -> dict[str, str]:
        """
        Return who is asking, such as a role or an account, as far as it is known without a request; no secrets.
        """
        return {}

    def expiry(self) -> datetime | None:
        """
        Return when the credentials in use end; ``None`` if they do not, or there are none yet.
        """
        lease = self.current()
        if lease is None or lease.ends_at is None:
            return None
        return datetime.now(UTC) + timedelta(seconds=lease.ends_at - time.monotonic())

    def describe(self) -> dict[str, str]:
        """
        Return the method and what it came to, for people to read; no secrets.
        """
        end = self.expiry()
        described = {"method": self.auth_type, "source": self.source}
        if end is not None:
            described["expires"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
        return described

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return where a signature for *url* is valid if it is an address of this cloud, else ``None``.
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
        Put credentials on *request*, which is about to be sent; may be done again.

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
        Return *url* signed in its query, for whoever holds it.

        Raises:
            NotSupportedError: These credentials sign no URLs.
            ValueError: *expires* is not what the provider allows.
        """
        raise NotSupportedError(f"{self.auth_type} credentials sign no URLs", provider=self.provider, op="sign")

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
        Open a session that signs what goes to this cloud, and nothing else; awaited or used with ``async with``.

        Redirects are followed only where a request asks for it with
        ``allow_redirects``; other origins never see the credentials.

        Args:
            origins: Such as ``"https://s3.example"``; by default the provider's own.
            region: What requests to *origins* are signed for; by default that of the
                credentials. The provider's own hosts say it themselves.
            session_options: For ``aiohttp.ClientSession``.

        Raises:
            ConfigurationError: An origin is plain HTTP on another host.
        """
        from asyncstore.auth.middleware import check_origins, signed_session

        own = list(origins) if origins is not None else []
        check_origins(self, own, allow_http=allow_http)

        async def start() -> aiohttp.ClientSession:
            scope = Scope(region or await self.region() or "us-east-1", service)
            return signed_session(self, own, scope, by_host=origins is None, **session_options)

        return Opening(start)

    async def aclose(self) -> None:
        """
        Give back what the method holds; may be called twice.
        """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.auth_type} from {self.source}>"


def require_tls(url: str, *, allow_http: bool = False) -> None:
    """
    Check that credentials may be sent to *url*.

    Raises:
        ConfigurationError: It is plain HTTP, not on this machine and not allowed.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or allow_http or is_loopback(parts.hostname or ""):
        return
    raise ConfigurationError(
        f"credentials would travel unprotected to {parts.scheme}://{parts.hostname}: use https, or set allow_http"
    )


def is_loopback(host: str) -> bool:
    """
    Whether *host* is this machine, by its address or the name ``localhost``.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""
AWS credentials: keys from settings, variables, files, services and programs.

The methods are declared in :mod:`asyncstore.auth.aws_table`. None needs AWS's SDK.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, MutableMapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yarl import URL

from asyncstore.auth import aws_native
from asyncstore.auth.aws_endpoints import configured_endpoint, origin_of, scope_of_host
from asyncstore.auth.aws_methods import (
    AUTH_TYPES,
    SETTINGS,
    Method,
    Outcome,
    Surroundings,
    choose,
    known_settings,
    take_settings,
)
from asyncstore.auth.aws_region import environment_region, region_of
from asyncstore.auth.aws_services import payload_hash, signed_path
from asyncstore.auth.aws_table import METHODS
from asyncstore.auth.chain import MAX_LINKS, Chain, configurations
from asyncstore.auth.credentials import Credentials, require_tls
from asyncstore.auth.sigv4 import UNSIGNED_PAYLOAD, AWSKeys, Scope, presign_url, sign_headers
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Lease, TokenSource
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, NotSupportedError, UnauthenticatedError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "METHODS", "SETTINGS", "AWSCredentials", "aws_credentials"]

# Headers that S3 wants to be signed if they are sent; all of ``x-amz-`` besides.
_SIGNED: Final = frozenset({"host", "content-type", "content-md5"})


def aws_credentials(
    auth: AuthConfig | None = None,
    settings: MutableMapping[str, Any] | None = None,
    *,
    region: str | None = None,
    http: HTTPOptions | None = None,
) -> AWSCredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is read or sent yet.

    Names of :data:`SETTINGS`, some also with ``aws_`` before them, are taken out of
    *settings*; the others are left for the driver. Keys can be text, a
    :class:`Secret` or a function that returns one of them, plain or ``async``; a
    plain one is called in a thread, and again when the provider refuses the keys.

    Args:
        region: From the URI or the settings; it goes before all others.
        http: Whom to trust where keys are asked for, and which proxy leads there.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    return _credentials(auth or AuthConfig(), settings, region, TokenService(http), 1)


def _credentials(
    auth: AuthConfig,
    settings: MutableMapping[str, Any] | None,
    region: str | None,
    service: TokenService,
    depth: int,
) -> AWSCredentials:
    if depth > MAX_LINKS:
        raise ConfigurationError(f"more than {MAX_LINKS} roles, each of which assumes the next")

    def source(source_auth: AuthConfig) -> AWSCredentials:
        return _credentials(source_auth, None, region, service, depth + 1)

    taken = take_settings({} if settings is None else settings)
    methods: list[Method] = []
    for link in configurations(auth, "s3", "aws"):
        around = Surroundings(link.region or region, service, source)
        # What is set for the storage as a whole is meant for the first.
        given = known_settings(link) if methods else {**taken, **known_settings(link)}
        methods.append(choose(link.auth_type, given, around))
    return AWSCredentials(methods, region=region or auth.region)


class AWSCredentials(Credentials["AWSKeys | None"]):
    """
    An access key and whatever keeps it fresh; made by :func:`aws_credentials`.

    The value of a lease is ``None`` where requests are to stay unsigned.
    """

    provider: ClassVar[str] = "s3"
    expired_codes = frozenset(
        {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired"}
    )
    skew_codes = frozenset({"RequestTimeTooSkewed"})

    def __init__(self, methods: list[Method], *, region: str | None = None) -> None:
        self._methods = methods
        self._region = region
        self._looked = region is not None
        self.auth_type = methods[0].auth_type
        self.source = methods[0].source
        self.anonymous = self.auth_type == "anonymous"
        self._chain: Chain[Method, Outcome] = Chain(methods, name="AWS", provider=self.provider)
        self._tokens: TokenSource[AWSKeys | None] = TokenSource(self._fetch, name=f"AWS {self.auth_type} credentials")

    def current(self) -> Lease[AWSKeys | None] | None:
        return self._tokens.current()

    async def get(self) -> Lease[AWSKeys | None]:
        return await self._tokens.get()

    async def refresh(self, stale: Lease[AWSKeys | None] | None = None) -> Lease[AWSKeys | None]:
        return await self._tokens.refresh(stale)

    async def aclose(self) -> None:
        await self._tokens.aclose()
        for method in self._methods:
            if method.source_credentials is not None:
                await method.source_credentials.aclose()

    def setting_sources(self) -> dict[str, str]:
        return self._used.setting_sources()

    def identity(self) -> dict[str, str]:
        return self._used.given.identity()

    async def region(self) -> str | None:
        """
        Return the region given, else that of the environment, the profile or the instance.

        The environment is ``AWS_REGION``, then ``AWS_DEFAULT_REGION``. Only
        ``instance_profile`` asks the metadata service.
        """
        if not self._looked:
            self._region = await self._find_region()
            self._looked = True
        return self._region

    def service_endpoint(self, service: str = "s3") -> str | None:
        """
        Return ``AWS_ENDPOINT_URL_<SERVICE>``, else ``AWS_ENDPOINT_URL``.
        """
        return configured_endpoint(service)

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return the scope that the host of *url* tells; ``None`` if it is not AWS's.
        """
        endpoint = configured_endpoint("s3")
        if endpoint is not None and origin_of(endpoint, "the endpoint of s3") == url.origin():
            require_tls(endpoint)
            return Scope(self._region or environment_region() or "us-east-1")
        return scope_of_host(url, self._region)

    def apply(
        self, request: aiohttp.ClientRequest, lease: Lease[AWSKeys | None], clock_offset: float, scope: Scope
    ) -> None:
        if lease.value is not None:
            url, headers = request.url, request.headers
            signed = [
                (lower, value)
                for name, value in headers.items()
                if (lower := name.lower()) in _SIGNED or lower.startswith("x-amz-")
            ]
            added = sign_headers(
                request.method,
                url.raw_path if scope.service == "s3" else signed_path(url.raw_path),
                url.raw_query_string,
                signed,
                keys=lease.value,
                scope=scope,
                when=time.time() + clock_offset,
                payload_hash=UNSIGNED_PAYLOAD if scope.service == "s3" else payload_hash(request),
            )
            headers.update(added)

    def presign(
        self,
        method: str,
        url: str,
        lease: Lease[AWSKeys | None],
        scope: Scope,
        *,
        expires: timedelta,
        clock_offset: float = 0.0,
        headers: Mapping[str, str] | None = None,
        query: Iterable[tuple[str, str]] = (),
    ) -> str:
        if lease.value is None:
            raise NotSupportedError("without credentials no URL can be signed", provider=self.provider, op="sign")
        return presign_url(
            method,
            url,
            keys=lease.value,
            scope=scope,
            when=time.time() + clock_offset,
            expires=expires,
            headers=headers,
            query=query,
        )

    async def for_botocore(self) -> Any:
        """
        Return an aiobotocore session that signs with these credentials, renewed as needed.

        Raises:
            ConfigurationError: aiobotocore is not installed.
        """
        # A session decides once whether it signs.
        anonymous = (await self.get()).value is None
        return await aws_native.botocore_session(self._keys, region=await self.region(), anonymous=anonymous)

    async def _keys(self) -> AWSKeys:
        keys = (await self.get()).value
        if keys is None:
            raise UnauthenticatedError("these credentials are anonymous", provider=self.provider)
        return keys

    @property
    def _used(self) -> Method:
        return self._chain.found or self._methods[0]

    async def _fetch(self) -> Grant[AWSKeys | None]:
        grant, self.source = await self._chain.fetch()
        # Where there are fallbacks the first keys show what it came to.
        self.auth_type = self._used.auth_type
        return grant

    async def _find_region(self) -> str | None:
        method = self._used
        found = await region_of(None, method.profile)
        if found is None and method.region is not None:
            return await method.region()
        return found

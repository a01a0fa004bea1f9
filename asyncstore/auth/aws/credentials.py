"""
AWS credentials: keys from settings, variables, files, services and programs.

None of the methods needs AWS's SDK.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from yarl import URL

from asyncstore.auth.aws import native as aws_native
from asyncstore.auth.aws.configuration import Configuration, Found, SharedConfiguration
from asyncstore.auth.aws.endpoints import origin_of, scope_of_host
from asyncstore.auth.aws.methods import AUTH_TYPES, METHODS, SETTINGS, TABLE, AWSContext, AWSMethod
from asyncstore.auth.aws.sigv4 import UNSIGNED_PAYLOAD, AWSKeys, presign_url, sign_headers
from asyncstore.auth.credentials import Scope
from asyncstore.auth.methods import MAX_LINKS
from asyncstore.auth.renewed import RenewedCredentials
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Lease
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, NotSupportedError, UnauthenticatedError
from asyncstore.http.fast.private import body_bytes
from asyncstore.http.origin import require_tls

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "METHODS", "SETTINGS", "AWSCredentials", "aws_credentials"]

# Headers that S3 requires to be signed if they are sent, besides all of ``x-amz-``.
_SIGNED: Final = frozenset({"host", "content-type", "content-md5"})


def aws_credentials(
    auth: AuthConfig | None = None,
    settings: MutableMapping[str, Any] | None = None,
    *,
    region: str | None = None,
    http: HTTPOptions | None = None,
) -> AWSCredentials:
    """
    Return the credentials that *auth* and *settings* describe; nothing is read or sent yet.

    Names of :data:`SETTINGS`, some also with the prefix ``aws_``, are taken out of
    *settings*; the others are left for the driver. Keys can be text, a
    :class:`Secret` or a function that returns one of them, plain or ``async``. A
    function is called again when AWS rejects the keys; a plain one runs in a thread.

    Args:
        region: From the URI or the settings; overrides all other regions.
        http: TLS and proxy settings for requesting keys.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    return _credentials(auth or AuthConfig(), settings, region, http, None, 1)


def _credentials(
    auth: AuthConfig,
    settings: MutableMapping[str, Any] | None,
    region: str | None,
    http: HTTPOptions | None,
    shared: SharedConfiguration | None,
    depth: int,
) -> AWSCredentials:
    if depth > MAX_LINKS:
        raise ConfigurationError(f"more than {MAX_LINKS} roles, each assumed with the keys of the next")

    links = TABLE.links(auth, settings)
    # As in boto3, the profile that is named decides about endpoints, also where it uses other profiles.
    configurations = [shared or SharedConfiguration(known.get("profile")) for _, known in links]
    service = TokenService(http, ca_file=configurations[0].ca_file)

    def source(source_auth: AuthConfig) -> AWSCredentials:
        return _credentials(source_auth, None, region, http, configurations[0], depth + 1)

    methods = [
        TABLE.choose(link.auth_type, known, AWSContext(link.region or region, service, source, configuration))
        for (link, known), configuration in zip(links, configurations, strict=True)
    ]
    return AWSCredentials(methods, configurations, region=region or auth.region)


class AWSCredentials(RenewedCredentials["AWSKeys | None", AWSMethod]):
    """
    An access key, refreshed if it expires; made by :func:`aws_credentials`.

    The value of a lease is ``None`` for requests that are not signed. The region is that
    of the settings, else of the environment, the profile or the instance.
    """

    provider: ClassVar[str] = "s3"
    provider_name: ClassVar[str] = "AWS"
    expired_codes = frozenset(
        {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired"}
    )
    skew_codes = frozenset({"RequestTimeTooSkewed"})

    def __init__(
        self, methods: Sequence[AWSMethod], configurations: Sequence[SharedConfiguration], *, region: str | None = None
    ) -> None:
        super().__init__(methods, region=region)
        # Where requests go is decided before it is known which method has credentials.
        self._configuration = configurations[0]
        self._configurations = configurations

    async def configuration(self) -> Configuration:
        """
        Return what the environment and the profile say besides credentials.

        Raises:
            ConfigurationError: A shared file cannot be read or parsed.
        """
        return await self._configuration.get()

    @property
    def known_configuration(self) -> Configuration:
        """What :meth:`configuration` returns, or the environment alone until that has been called."""
        return self._configuration.current

    async def ca_file(self) -> Path | None:
        """
        Return the file of the certificate authorities that AWS's configuration names; raises as :meth:`configuration`.
        """
        return await self._configuration.ca_file()

    def service_endpoint(self, service: str = "s3") -> str | None:
        """
        Return ``AWS_ENDPOINT_URL_<SERVICE>``, else ``AWS_ENDPOINT_URL``, else that of the profile once it was read.
        """
        found = self.configured_endpoint(service)
        return None if found is None else found.value

    def configured_endpoint(self, service: str) -> Found | None:
        """
        Return what :meth:`service_endpoint` does, and where it comes from.
        """
        return self._configuration.current.endpoint(service)

    def configuration_sources(self) -> dict[str, str]:
        endpoint = self.configured_endpoint("s3")
        found = {} if endpoint is None else {"endpoint_url": endpoint.source}
        return {**found, **self._configuration.current.sources()}

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return the scope that the host of *url* names; ``None`` if it is not a host of AWS.
        """
        endpoint = self.service_endpoint("s3")
        if endpoint is not None and origin_of(endpoint, "the endpoint of s3") == url.origin():
            require_tls(endpoint)
            return Scope(self._region or self._configuration.current.text("region") or "us-east-1")
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
                url.raw_path if scope.service == "s3" else _signed_path(url.raw_path),
                url.raw_query_string,
                signed,
                keys=lease.value,
                scope=scope,
                when=time.time() + clock_offset,
                payload_hash=UNSIGNED_PAYLOAD if scope.service == "s3" else _payload_hash(request),
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
            raise NotSupportedError("anonymous credentials cannot presign URLs", provider=self.provider, op="sign")
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
        # A botocore session decides once whether it signs.
        anonymous = (await self.get()).value is None
        return await aws_native.botocore_session(self._keys, region=await self.region(), anonymous=anonymous)

    async def _keys(self) -> AWSKeys:
        keys = (await self.get()).value
        if keys is None:
            raise UnauthenticatedError("these credentials are anonymous", provider=self.provider)
        return keys

    async def _find_region(self) -> str | None:
        # Only instance_profile asks the metadata service.
        method = self._used
        index = next(index for index, known in enumerate(self._methods) if known is method)
        found = (await self._configurations[index].get()).text("region")
        if found is None and method.region is not None:
            return await method.region()
        return found


# Services other than S3 sign a normalized path and the hash of the body.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
def _signed_path(path: str) -> str:
    """
    Return *path* without empty and relative segments, percent-encoded again.

    >>> _signed_path("/a//b/./c/../d%20e/")
    '/a/b/d%2520e/'
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    end = "/" if parts and path.endswith("/") else ""
    return quote(f"/{'/'.join(parts)}{end}", safe="/-_.~")


def _payload_hash(request: aiohttp.ClientRequest) -> str:
    if (content := body_bytes(request)) is None:
        raise NotSupportedError("services other than S3 sign the body: pass it as bytes", provider="s3", op="sign")
    return hashlib.sha256(content).hexdigest()

"""
AWS credentials, from settings, the environment or the SDK's resolvers.

==================== ======================================================= =====
``auth_type``        where the keys come from                                 SDK
==================== ======================================================= =====
``static``           settings                                                 no
``environment``      ``AWS_ACCESS_KEY_ID`` and the other two                   no
``anonymous``        nowhere: requests are not signed                          no
``profile``          the shared files: keys, roles, SSO, web identity, process yes
``sso``              a profile's single sign-on session                       yes
``web_identity``     a token file and a role                                  yes
``container``        the metadata service of ECS and EKS                      yes
``instance_profile`` the metadata service of EC2                              yes
``default``          the environment, then all that the SDK tries             late
==================== ======================================================= =====
"""

from __future__ import annotations

import configparser
import os
import time
from collections.abc import Iterable, Mapping, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio.to_thread

from asyncstore.auth import aws_sdk
from asyncstore.auth.aws_methods import AUTH_TYPES, SETTINGS, Method, choose, known_settings, take_settings
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.sigv4 import AWSKeys, Scope, presign_url, sign_headers
from asyncstore.auth.tokens import Grant, Lease, TokenSource
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError, NotSupportedError, StorageError, UnauthenticatedError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "SETTINGS", "AWSCredentials", "aws_credentials"]

_MAX_FALLBACKS: Final = 10

# Headers that S3 wants to be signed if they are sent; all of ``x-amz-`` besides.
_SIGNED: Final = frozenset({"host", "content-type", "content-md5"})


def aws_credentials(
    auth: AuthConfig | None = None, settings: MutableMapping[str, Any] | None = None, *, region: str | None = None
) -> AWSCredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is read or sent yet.

    Names of :data:`SETTINGS`, also with ``aws_`` before them, are taken out of
    *settings*; the others are left for the driver. Keys can be text, a
    :class:`Secret` or a function that returns one of them, plain or ``async``; a
    plain one is called in a thread, and again when the provider refuses the keys.

    Args:
        region: From the URI or the settings; it goes before all others.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    chosen = auth or AuthConfig()
    taken = take_settings({} if settings is None else settings)
    first = choose(chosen.auth_type, {**taken, **known_settings(chosen)}, region)
    methods = [first]
    while chosen.fallback is not None:
        chosen = chosen.fallback
        if len(methods) == _MAX_FALLBACKS:
            raise ConfigurationError(f"more than {_MAX_FALLBACKS} ways to find credentials")
        methods.append(choose(chosen.auth_type, known_settings(chosen), region))
    return AWSCredentials(methods, region=region)


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
        self._tokens: TokenSource[AWSKeys | None] = TokenSource(self._fetch, name=f"AWS {self.auth_type} credentials")

    def current(self) -> Lease[AWSKeys | None] | None:
        return self._tokens.current()

    async def get(self) -> Lease[AWSKeys | None]:
        return await self._tokens.get()

    async def refresh(self, stale: Lease[AWSKeys | None] | None = None) -> Lease[AWSKeys | None]:
        return await self._tokens.refresh(stale)

    async def aclose(self) -> None:
        await self._tokens.aclose()

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
        if flag(os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "")):
            return None
        name = service.upper().replace("-", "_")
        return os.environ.get(f"AWS_ENDPOINT_URL_{name}") or os.environ.get("AWS_ENDPOINT_URL") or None

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
                url.raw_path,
                url.raw_query_string,
                signed,
                keys=lease.value,
                scope=scope,
                when=time.time() + clock_offset,
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
        return await aws_sdk.botocore_session(self._keys, region=await self.region(), anonymous=anonymous)

    async def _keys(self) -> AWSKeys:
        keys = (await self.get()).value
        if keys is None:
            raise UnauthenticatedError("these credentials are anonymous", provider=self.provider)
        return keys

    async def _fetch(self) -> Grant[AWSKeys | None]:
        refusals: list[StorageError] = []
        for method in self._methods:
            try:
                grant, self.source = await method.fetch()
                return grant
            except (ConfigurationError, UnauthenticatedError) as exc:
                refusals.append(exc)
        if len(refusals) == 1:
            raise refusals[0]
        raise UnauthenticatedError("no AWS credentials: " + "; ".join(map(str, refusals)), provider=self.provider)

    async def _find_region(self) -> str | None:
        method = self._methods[0]
        named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if named:
            return named
        profile = method.wanted.profile or os.environ.get("AWS_PROFILE") or "default"
        found = await anyio.to_thread.run_sync(_profile_region, profile)
        if found is None and self.auth_type == "instance_profile":
            return await aws_sdk.find_instance_region(method.wanted)
        return found


def _profile_region(profile: str) -> str | None:
    file = Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read(file, "utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return None
    for section in (f"profile {profile}", profile):
        if parser.has_section(section) and (region := parser.get(section, "region", fallback="")):
            return region
    return None

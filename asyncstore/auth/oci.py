"""
OCI credentials: keys from settings, variables and files, and session tokens from services.

The methods are declared in :mod:`asyncstore.auth.oci_table`; the SDK is needed for none.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio.to_thread
from yarl import URL

from asyncstore.auth.chain import Chain, configurations
from asyncstore.auth.credentials import Credentials, Scope, is_loopback
from asyncstore.auth.oci_endpoints import scope_of_host
from asyncstore.auth.oci_methods import (
    AUTH_TYPES,
    SETTINGS,
    Method,
    Outcome,
    Surroundings,
    choose,
    known_settings,
    take_settings,
)
from asyncstore.auth.oci_regions import find_domain, known_domain
from asyncstore.auth.oci_sdk import make_signer
from asyncstore.auth.oci_signature import OCIKeys, sign_headers
from asyncstore.auth.oci_table import METHODS
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Lease, TokenSource
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import NotSupportedError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "METHODS", "SETTINGS", "OCICredentials", "OCIKeys", "oci_credentials"]

# Requests whose document the signature covers; of PUT the bytes of objects and parts are excepted.
# https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm#ObjectStoragePut
_WITH_DOCUMENT: Final = frozenset({"POST", "PATCH"})

# Of http_client's argument "service"; the first is what it is if nobody gave one.
_OBJECT_STORAGE: Final = frozenset({"s3", "objectstorage"})


def oci_credentials(
    auth: AuthConfig | None = None,
    settings: MutableMapping[str, Any] | None = None,
    *,
    http: HTTPOptions | None = None,
) -> OCICredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is read or sent yet.

    Names of :data:`SETTINGS` are taken out of *settings*; the others are left for the
    driver. A key or passphrase can be text or a :class:`Secret`.

    Args:
        http: Whom to trust where session tokens are asked for, and which proxy leads there.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    options = http or HTTPOptions()
    service = TokenService(options)
    taken = take_settings({} if settings is None else settings)
    methods: list[Method] = []
    chosen = auth or AuthConfig()
    for link in configurations(chosen, "oci"):
        # What is set for the storage as a whole is meant for the first.
        given = known_settings(link) if methods else {**taken, **known_settings(link)}
        around = Surroundings(link.region or chosen.region, service, options.allow_http)
        methods.append(choose(link.auth_type, given, around))
    return OCICredentials(methods, region=chosen.region)


class OCICredentials(Credentials["OCIKeys | None"]):
    """
    A signing key and whatever keeps it fresh; made by :func:`oci_credentials`.

    The value of a lease is ``None`` where requests are to stay unsigned.
    """

    provider: ClassVar[str] = "oci"
    # The one code for a wrong key, a session that has ended and a clock that is off.
    # https://docs.oracle.com/iaas/Content/API/References/apierrors.htm
    expired_codes = frozenset({"NotAuthenticated"})
    skew_codes = frozenset({"NotAuthenticated"})

    def __init__(self, methods: list[Method], *, region: str | None = None) -> None:
        self._methods = methods
        self._region = region
        self._looked = region is not None
        self.auth_type = methods[0].auth_type
        self.source = methods[0].source
        self.anonymous = self.auth_type == "anonymous"
        self._chain: Chain[Method, Outcome] = Chain(methods, name="OCI", provider=self.provider)
        self._tokens: TokenSource[OCIKeys | None] = TokenSource(self._fetch, name=f"OCI {self.auth_type} credentials")

    def current(self) -> Lease[OCIKeys | None] | None:
        return self._tokens.current()

    async def get(self) -> Lease[OCIKeys | None]:
        return await self._tokens.get()

    async def refresh(self, stale: Lease[OCIKeys | None] | None = None) -> Lease[OCIKeys | None]:
        return await self._tokens.refresh(stale)

    async def aclose(self) -> None:
        await self._tokens.aclose()

    async def region(self) -> str | None:
        """
        Return the region given, else that of ``OCI_REGION`` or ``OCI_CLI_REGION``, else that of the method.

        It is in the profile, in ``OCI_RESOURCE_PRINCIPAL_REGION``, or that of the instance.
        """
        if not self._looked:
            if len(self._methods) > 1 or self._used.undecided:
                await self.get()
            self._region = await self._used.region()
            self._looked = True
        return self._region

    async def domain(self, region: str) -> str:
        """
        Return the domain of the realm that *region* is in.

        Of a region that is newer than our table an instance there knows.
        """
        if (known := known_domain(region)) is not None:
            return known
        told = await self._used.domain(region) if self._used.domain is not None else None
        return told if told is not None else await anyio.to_thread.run_sync(find_domain, region)

    def setting_sources(self) -> dict[str, str]:
        return self._used.given.sources()

    def identity(self) -> dict[str, str]:
        lease = self.current()
        named = self._used.given.identity()
        if lease is None or lease.value is None or lease.value.key_id.count("/") != 2:
            # A session's key is named by its token.
            return named
        return {**named, **dict(zip(("tenancy", "user"), lease.value.key_id.split("/"), strict=False))}

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return the service and region that the host of *url* tells; ``None`` if it is not OCI's.
        """
        endpoint = self.service_endpoint()
        if endpoint is not None and URL(endpoint).origin() == url.origin():
            protected = url.scheme == "https" or is_loopback(url.host or "")
            return Scope(self._region or "", "objectstorage") if protected else None
        return scope_of_host(url)

    def service_endpoint(self, service: str = "objectstorage") -> str | None:
        """
        Return ``OCI_CLI_ENDPOINT``, which is for whatever service is called.
        """
        return os.environ.get("OCI_CLI_ENDPOINT") or None

    def apply(
        self, request: aiohttp.ClientRequest, lease: Lease[OCIKeys | None], clock_offset: float, scope: Scope
    ) -> None:
        """
        Sign *request*. The document of a POST or PATCH has to be bytes, and that of a PUT to other services.

        Raises:
            NotSupportedError: It is a stream.
        """
        if lease.value is None:
            return
        with_document = request.method in _WITH_DOCUMENT or (
            request.method == "PUT" and scope.service not in _OBJECT_STORAGE
        )
        content = _document(request) if with_document else None
        signed = sign_headers(
            request.method,
            request.url.raw_path_qs,
            request.headers["Host"],
            keys=lease.value,
            when=time.time() + clock_offset,
            content=content,
            content_type=request.headers.get("Content-Type", "application/json"),
        )
        request.headers.update(signed)

    async def for_oci(self) -> Any:
        """
        Return a signer for clients of the official SDK, which signs with these credentials, renewed as needed.

        The SDK blocks: call its clients in threads, while this event loop runs.

        Raises:
            ConfigurationError: The SDK is not installed.
            NotSupportedError: These credentials are anonymous, and the SDK signs everything.
        """
        keys = (await self.get()).value
        if keys is None:
            raise NotSupportedError(
                "the SDK signs every request: it has no anonymous access", op="native", provider=self.provider
            )
        return await anyio.to_thread.run_sync(make_signer, self, keys, asyncio.get_running_loop())

    @property
    def _used(self) -> Method:
        return self._chain.found or self._methods[0]

    async def _fetch(self) -> Grant[OCIKeys | None]:
        grant, self.source = await self._chain.fetch()
        # Where there are fallbacks the first keys show what it came to.
        self.auth_type = self._used.auth_type
        return grant


def _document(request: aiohttp.ClientRequest) -> bytes:
    body = request.body
    content = body if isinstance(body, bytes) else getattr(body, "_value", None)
    if not isinstance(content, bytes):
        raise NotSupportedError("OCI signs the bytes of a document: a stream cannot be sent", provider="oci")
    return content

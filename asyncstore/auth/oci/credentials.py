"""
OCI credentials: keys from settings, variables and files, and session tokens from services.

None of the methods needs Oracle's SDK.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio.to_thread
from yarl import URL

from asyncstore.auth.credentials import Scope
from asyncstore.auth.oci.default import OCIMethod
from asyncstore.auth.oci.methods import AUTH_TYPES, METHODS, SETTINGS, TABLE, OCIContext
from asyncstore.auth.oci.regions import find_domain, known_domain, scope_of_host
from asyncstore.auth.oci.sdk import make_signer
from asyncstore.auth.oci.signature import OCIKeys, sign_headers
from asyncstore.auth.renewed import RenewedCredentials
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Lease
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import NotSupportedError
from asyncstore.http.fast.private import body_bytes
from asyncstore.http.origin import is_loopback

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "METHODS", "SETTINGS", "OCICredentials", "OCIKeys", "oci_credentials"]

# Requests whose document is signed. PUT is signed too, except for the data of objects and parts.
# https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm#ObjectStoragePut
_WITH_DOCUMENT: Final = frozenset({"POST", "PATCH"})

# Values of http_client's argument "service"; the first is its default.
_OBJECT_STORAGE: Final = frozenset({"s3", "objectstorage"})


def oci_credentials(
    auth: AuthConfig | None = None,
    settings: MutableMapping[str, Any] | None = None,
    *,
    http: HTTPOptions | None = None,
) -> OCICredentials:
    """
    Return the credentials that *auth* and *settings* describe; nothing is read or sent yet.

    Names of :data:`SETTINGS` are taken out of *settings*; the others are left for the
    driver. A key or passphrase can be text or a :class:`Secret`.

    Args:
        http: TLS and proxy settings for requesting session tokens.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    options = http or HTTPOptions()
    service = TokenService(options)
    region = None if auth is None else auth.region
    methods = [
        TABLE.choose(link.auth_type, own, OCIContext(link.region or region, service, options.allow_http))
        for link, own in TABLE.links(auth, settings)
    ]
    return OCICredentials(methods, region=region)


class OCICredentials(RenewedCredentials["OCIKeys | None", OCIMethod]):
    """
    A signing key, refreshed if it expires; made by :func:`oci_credentials`.

    The value of a lease is ``None`` for requests that are not signed.
    """

    provider: ClassVar[str] = "oci"
    provider_name: ClassVar[str] = "OCI"
    # The one code for a wrong key, an expired session and clock skew.
    # https://docs.oracle.com/iaas/Content/API/References/apierrors.htm
    expired_codes = frozenset({"NotAuthenticated"})
    skew_codes = frozenset({"NotAuthenticated"})

    async def region(self) -> str | None:
        """
        Return the region of the settings, else ``OCI_REGION`` or ``OCI_CLI_REGION``, else that of the method.

        The method's region is in the profile, in ``OCI_RESOURCE_PRINCIPAL_REGION``, or that
        of the instance.
        """
        return await super().region()

    async def domain(self, region: str) -> str:
        """
        Return the domain of *region*'s realm.

        For a region that is newer than our table, an instance in it knows the domain.
        """
        if (known := known_domain(region)) is not None:
            return known
        found = await self._used.domain(region) if self._used.domain is not None else None
        return found if found is not None else await anyio.to_thread.run_sync(find_domain, region)

    def identity(self) -> dict[str, str]:
        lease = self.current()
        named = super().identity()
        if lease is None or lease.value is None or lease.value.key_id.count("/") != 2:
            # The key id of a session is its token.
            return named
        return {**named, **dict(zip(("tenancy", "user"), lease.value.key_id.split("/"), strict=False))}

    def scope_of(self, url: URL) -> Scope | None:
        """
        Return the service and region in the host of *url*; ``None`` if it is not a host of OCI.
        """
        endpoint = self.service_endpoint()
        if endpoint is not None and URL(endpoint).origin() == url.origin():
            protected = url.scheme == "https" or is_loopback(url.host or "")
            return Scope(self._region or "", "objectstorage") if protected else None
        return scope_of_host(url)

    def service_endpoint(self, service: str = "objectstorage") -> str | None:
        """
        Return ``OCI_CLI_ENDPOINT``, which applies to every service.
        """
        return os.environ.get("OCI_CLI_ENDPOINT") or None

    def apply(
        self, request: aiohttp.ClientRequest, lease: Lease[OCIKeys | None], clock_offset: float, scope: Scope
    ) -> None:
        """
        Sign *request*. The document of a POST or PATCH, or of a PUT to another service, must be bytes.

        Raises:
            NotSupportedError: The document is a stream.
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
        Return a signer for the clients of Oracle's SDK; it refreshes these credentials as needed.

        The SDK blocks: call its clients in threads, while this event loop runs.

        Raises:
            ConfigurationError: The SDK is not installed.
            NotSupportedError: These credentials are anonymous, which the SDK does not support.
        """
        keys = (await self.get()).value
        if keys is None:
            raise NotSupportedError(
                "Oracle's SDK signs every request: it does not support anonymous access",
                op="native",
                provider=self.provider,
            )
        return await anyio.to_thread.run_sync(make_signer, self, keys, asyncio.get_running_loop())

    async def _find_region(self) -> str | None:
        if len(self._methods) > 1 or self._used.undecided:
            await self.get()
        return await self._used.region()


def _document(request: aiohttp.ClientRequest) -> bytes:
    if (content := body_bytes(request)) is None:
        raise NotSupportedError("OCI requires a signature over the document: a stream cannot be sent", provider="oci")
    return content

"""
OCI credentials, from settings, the environment or the user's files.

================== ================================================================
``auth_type``      where the key comes from
================== ================================================================
``user_principal`` settings, ``OCI_CLI_*`` or a profile: a user's own signing key
``session_token``  a profile of ``oci session authenticate``, read anew when it ends
``anonymous``      nowhere: requests are not signed (public buckets)
``default``        the session of a profile that has one, else its user
================== ================================================================
"""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from asyncstore.auth.credentials import Credentials, Scope
from asyncstore.auth.oci_methods import AUTH_TYPES, SETTINGS, Method, choose, known_settings, take_settings
from asyncstore.auth.oci_signature import OCIKeys, sign_headers
from asyncstore.auth.tokens import Grant, Lease, TokenSource
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, NotSupportedError, StorageError, UnauthenticatedError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "SETTINGS", "OCICredentials", "OCIKeys", "oci_credentials"]

_MAX_FALLBACKS: Final = 10

# Methods whose document the signature covers, the bytes of objects and parts excepted.
_WITH_DOCUMENT: Final = frozenset({"POST", "PATCH"})


def oci_credentials(auth: AuthConfig | None = None, settings: MutableMapping[str, Any] | None = None) -> OCICredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is read or sent yet.

    Names of :data:`SETTINGS` are taken out of *settings*; the others are left for the
    driver. A key or passphrase can be text or a :class:`Secret`.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    chosen = auth or AuthConfig()
    taken = take_settings({} if settings is None else settings)
    methods = [choose(chosen.auth_type, {**taken, **known_settings(chosen)})]
    while chosen.fallback is not None:
        chosen = chosen.fallback
        if len(methods) == _MAX_FALLBACKS:
            raise ConfigurationError(f"more than {_MAX_FALLBACKS} ways to find credentials")
        methods.append(choose(chosen.auth_type, known_settings(chosen)))
    return OCICredentials(methods)


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

    def __init__(self, methods: list[Method]) -> None:
        self._methods = methods
        self._region: str | None = None
        self._looked = False
        self.auth_type = methods[0].auth_type
        self.source = methods[0].source
        self.anonymous = self.auth_type == "anonymous"
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
        Return the region of ``OCI_REGION`` or ``OCI_CLI_REGION``, else that of the profile.
        """
        if not self._looked:
            self._region = await self._methods[0].region()
            self._looked = True
        return self._region

    def service_endpoint(self, service: str = "objectstorage") -> str | None:
        """
        Return ``OCI_CLI_ENDPOINT``, which is for whatever service is called.
        """
        return os.environ.get("OCI_CLI_ENDPOINT") or None

    def apply(
        self, request: aiohttp.ClientRequest, lease: Lease[OCIKeys | None], clock_offset: float, scope: Scope
    ) -> None:
        """
        Sign *request*. The document of a POST or PATCH has to be bytes.

        Raises:
            NotSupportedError: It is a stream.
        """
        if lease.value is None:
            return
        content = _document(request) if request.method in _WITH_DOCUMENT else None
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

    async def _fetch(self) -> Grant[OCIKeys | None]:
        refusals: list[StorageError] = []
        for method in self._methods:
            try:
                grant, self.source = await method.fetch()
                return grant
            except (ConfigurationError, UnauthenticatedError) as exc:
                refusals.append(exc)
        if len(refusals) == 1:
            raise refusals[0]
        raise UnauthenticatedError("no OCI credentials: " + "; ".join(map(str, refusals)), provider=self.provider)


def _document(request: aiohttp.ClientRequest) -> bytes:
    body = request.body
    content = body if isinstance(body, bytes) else getattr(body, "_value", None)
    if not isinstance(content, bytes):
        raise NotSupportedError("OCI signs the bytes of a document: a stream cannot be sent", provider="oci")
    return content

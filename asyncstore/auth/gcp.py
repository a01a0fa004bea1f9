"""
Google credentials, from settings, the environment, gcloud or the machine.

=================== ===========================================================
``auth_type``       where tokens come from
=================== ===========================================================
``service_account`` a key file or its JSON, exchanged for tokens or signing for itself
``authorized_user`` the file of ``gcloud auth application-default login``
``metadata``        the metadata server of the machine
``token``           settings: a token, or a function that gives one
``anonymous``       nowhere: requests go out as they are
``default``         ``GOOGLE_APPLICATION_CREDENTIALS``, gcloud's file, the metadata server
=================== ===========================================================

None of them needs an SDK; keys of service accounts need cryptography.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, ClassVar

from asyncstore.auth.credentials import Credentials
from asyncstore.auth.gcp_choice import AUTH_TYPES, SETTINGS, choose, known_settings, take_settings
from asyncstore.auth.gcp_exchange import TokenExchange
from asyncstore.auth.gcp_methods import Method, Token
from asyncstore.auth.goog4 import HMACSigner, URLSigner
from asyncstore.auth.sigv4 import Scope
from asyncstore.auth.tokens import Grant, Lease, Secret, TokenSource
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, NotSupportedError, StorageError, UnauthenticatedError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["AUTH_TYPES", "SETTINGS", "GCPCredentials", "gcp_credentials"]

_MAX_FALLBACKS = 10

_SIGN_NOTHING = frozenset({"anonymous", "authorized_user", "metadata", "token"})


def gcp_credentials(
    auth: AuthConfig | None = None,
    settings: MutableMapping[str, Any] | None = None,
    *,
    http: HTTPOptions | None = None,
) -> GCPCredentials:
    """
    Return credentials as *auth* and *settings* ask for; nothing is read or sent yet.

    Names of :data:`SETTINGS` are taken out of *settings*; the others are left for
    the driver. An HMAC key (``hmac_access_id``, ``hmac_secret``) signs URLs, and
    nothing else.

    Args:
        http: Whom to trust where tokens are asked for, and which proxy leads there.

    Raises:
        ConfigurationError: A setting is unknown, missing or contradicts another.
    """
    chosen = auth or AuthConfig()
    merged = {**take_settings({} if settings is None else settings), **known_settings(chosen)}
    exchange = TokenExchange(http)
    methods = [choose(chosen.auth_type, merged, exchange)]
    while chosen.fallback is not None:
        chosen = chosen.fallback
        if len(methods) == _MAX_FALLBACKS:
            raise ConfigurationError(f"more than {_MAX_FALLBACKS} ways to find credentials")
        methods.append(choose(chosen.auth_type, known_settings(chosen), exchange))
    return GCPCredentials(methods, hmac=_hmac(merged))


class GCPCredentials(Credentials["Secret | None"]):
    """
    A bearer token and whatever keeps it fresh; made by :func:`gcp_credentials`.

    The value of a lease is ``None`` where requests are to stay as they are.
    """

    provider: ClassVar[str] = "gcs"

    def __init__(self, methods: list[Method], *, hmac: HMACSigner | None = None) -> None:
        self._methods = methods
        self._hmac = hmac
        self._used = methods[0]
        self.auth_type = methods[0].auth_type
        self.source = methods[0].source
        self.anonymous = methods[0].auth_type == "anonymous"
        self._tokens: TokenSource[Token] = TokenSource(self._fetch, name="Google credentials")

    def current(self) -> Lease[Token] | None:
        return self._tokens.current()

    async def get(self) -> Lease[Token]:
        return await self._tokens.get()

    async def refresh(self, stale: Lease[Token] | None = None) -> Lease[Token]:
        return await self._tokens.refresh(stale)

    async def aclose(self) -> None:
        await self._tokens.aclose()

    def apply(self, request: aiohttp.ClientRequest, lease: Lease[Token], clock_offset: float, scope: Scope) -> None:
        if lease.value is not None:
            request.headers["Authorization"] = f"Bearer {lease.value.reveal()}"

    @property
    def may_sign(self) -> bool:
        """Whether URLs can be signed, as far as it is known before any file is read."""
        return self._hmac is not None or self.auth_type not in _SIGN_NOTHING

    async def url_signer(self) -> URLSigner:
        """
        Return what signs URLs: the HMAC key if one is set, else the service account's.

        Raises:
            NotSupportedError: There is neither.
        """
        signer = self._hmac or await self._used.signer()
        if signer is None:
            raise NotSupportedError(
                f"{self.auth_type} credentials sign no URLs: use the key of a service account, or set "
                "hmac_access_id and hmac_secret",
                provider=self.provider,
                op="sign",
            )
        return signer

    async def _fetch(self) -> Grant[Token]:
        refusals: list[StorageError] = []
        for method in self._methods:
            try:
                grant = await method.fetch()
            except (ConfigurationError, UnauthenticatedError) as exc:
                refusals.append(exc)
                continue
            self._used = method
            # The first token shows what the default came to.
            self.auth_type, self.source = method.auth_type, method.source
            return grant
        if len(refusals) == 1:
            raise refusals[0]
        raise UnauthenticatedError("no Google credentials: " + "; ".join(map(str, refusals)), provider=self.provider)


def _hmac(settings: dict[str, Any]) -> HMACSigner | None:
    access_id, secret = settings.get("hmac_access_id"), settings.get("hmac_secret")
    if not access_id and not secret:
        return None
    if not access_id or not secret:
        raise ConfigurationError("an HMAC key is hmac_access_id and hmac_secret: give both")
    return HMACSigner(str(access_id), secret if isinstance(secret, Secret) else Secret(str(secret)))

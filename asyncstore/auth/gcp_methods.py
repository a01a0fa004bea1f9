"""
The ways to obtain Google's tokens, one class each.
"""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asyncstore.auth.gcp_exchange import TokenExchange, WrongClockError
from asyncstore.auth.gcp_key import LIFETIME, TOKEN_URI, KeyFile, RSASigner
from asyncstore.auth.goog4 import URLSigner
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.threads import in_thread

#: https://cloud.google.com/storage/docs/oauth-scopes
SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)

#: A token that requests carry; ``None`` for requests that stay as they are.
Token = Secret | None

_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"

# The metadata server hands out the same token until 3 min 45 s before its end.
# https://github.com/googleapis/google-auth-library-python/blob/main/google/auth/_helpers.py
_METADATA_EARLY: Final = 225.0

_METADATA_HOST: Final = "metadata.google.internal"


class Method(ABC):
    """
    One way to obtain tokens.

    Attributes:
        auth_type: Its name in the settings.
        source: Where the credentials came from, for people to read.
    """

    auth_type: str
    source: str

    @abstractmethod
    async def fetch(self) -> Grant[Token]:
        """
        Return a new token.

        Raises:
            ConfigurationError: What it takes is not there.
            UnauthenticatedError, UnavailableError: None was given.
        """

    async def signer(self) -> URLSigner | None:
        """
        Return what signs URLs for this identity, if it can.
        """
        return None


class Anonymous(Method):
    """
    No token: what is public, and emulators.
    """

    auth_type = "anonymous"

    def __init__(self, source: str = "settings") -> None:
        self.source = source

    async def fetch(self) -> Grant[Token]:
        return Grant(None)


class GivenToken(Method):
    """
    A token of the caller's own, or a function that gives one.
    """

    auth_type = "token"
    source = "settings"

    def __init__(self, given: Any) -> None:
        self._given = given

    async def fetch(self) -> Grant[Token]:
        value = self._given
        if callable(value):
            value = value() if inspect.iscoroutinefunction(value) else await in_thread(value)
            if inspect.isawaitable(value):
                value = await value
        text = value.reveal() if isinstance(value, Secret) else value
        if not isinstance(text, str) or not text:
            raise UnauthenticatedError("the function that gives the token gave none", provider="gcs")
        return Grant(Secret(text))


class ServiceAccount(Method):
    """
    The key of a service account.

    Args:
        audience: Whom assertions that replace tokens are for.
    """

    auth_type = "service_account"

    def __init__(
        self,
        file: KeyFile,
        source: str,
        exchange: TokenExchange,
        *,
        scopes: Sequence[str] = SCOPES,
        subject: str | None = None,
        self_signed: bool = False,
    ) -> None:
        self.source = source
        self._file = file
        self._exchange = exchange
        self._scopes = scopes
        self._subject = subject
        # Other clouds than Google's own exchange nothing.
        self._self_signed = self_signed or file.universe_domain != "googleapis.com"
        self._signer = RSASigner(file)
        self._clock_offset = 0.0

    async def fetch(self) -> Grant[Token]:
        if self._self_signed:
            # https://google.aip.dev/auth/4111
            audience = f"https://storage.{self._file.universe_domain}/"
            claims = {"sub": self._file.client_email, "aud": audience}
            return Grant(Secret(await self._signer.assertion(claims)), float(LIFETIME))
        try:
            return await self._exchanged()
        except WrongClockError as exc:
            self._clock_offset = exc.offset
            return await self._exchanged()

    async def _exchanged(self) -> Grant[Token]:
        claims = {"scope": " ".join(self._scopes), "aud": self._file.token_uri}
        if self._subject is not None:
            claims["sub"] = self._subject
        assertion = await self._signer.assertion(claims, clock_offset=self._clock_offset)
        return await self._exchange.post(self._file.token_uri, {"grant_type": _JWT_BEARER, "assertion": assertion})

    async def signer(self) -> URLSigner:
        return self._signer


class AuthorizedUser(Method):
    """
    The refresh token that ``gcloud auth application-default login`` leaves.
    """

    auth_type = "authorized_user"

    def __init__(self, document: Mapping[str, Any], source: str, exchange: TokenExchange) -> None:
        needed = ("client_id", "client_secret", "refresh_token")
        if missing := [name for name in needed if not document.get(name)]:
            raise ConfigurationError(f"the JSON of an authorized user has {' and '.join(missing)}; this one has not")
        self.source = source
        self._url = str(document.get("token_uri") or TOKEN_URI)
        self._fields = {name: Secret(str(document[name])) for name in needed}
        self._exchange = exchange

    async def fetch(self) -> Grant[Token]:
        fields = {name: secret.reveal() for name, secret in self._fields.items()}
        return await self._exchange.post(self._url, {"grant_type": "refresh_token", **fields})


class MetadataServer(Method):
    """
    The account of the machine that this runs on.

    https://cloud.google.com/compute/docs/access/authenticate-workloads
    """

    auth_type = "metadata"

    def __init__(
        self,
        exchange: TokenExchange,
        *,
        host: str | None = None,
        account: str = "default",
        scopes: Sequence[str] = (),
    ) -> None:
        self._host = host or os.environ.get("GCE_METADATA_HOST") or _METADATA_HOST
        self.source = f"the metadata server {self._host}"
        self._account = account
        self._scopes = scopes
        self._exchange = exchange

    async def fetch(self) -> Grant[Token]:
        url = f"http://{self._host}/computeMetadata/v1/instance/service-accounts/{self._account}/token"
        query = {"scopes": ",".join(self._scopes)} if self._scopes else {}
        grant = await self._exchange.metadata(url, query)
        return Grant(grant.value, grant.ttl, _METADATA_EARLY)

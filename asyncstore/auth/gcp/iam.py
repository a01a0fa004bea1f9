"""
Google's IAM Credentials API: issues tokens and signatures of a service account to another identity.

https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import quote

from asyncstore.auth.gcp.goog4 import URLSigner
from asyncstore.auth.gcp.identity import Token, checked_token
from asyncstore.auth.gcp.oauth import refused
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant, Lease
from asyncstore.errors import ConfigurationError, PermissionDeniedError, UnavailableError

#: The scopes that the caller's token needs.
IAM_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)

_ACCOUNTS: Final = "projects/-/serviceAccounts/"


class Caller(Protocol):
    """
    The credentials that authenticate calls of this API.
    """

    auth_type: str
    source: str

    @property
    def universe_domain(self) -> str: ...

    async def get(self) -> Lease[Token]: ...

    async def refresh(self, stale: Lease[Token] | None = None) -> Lease[Token]: ...

    def headers(self, token: Token) -> dict[str, str]: ...

    async def aclose(self) -> None: ...


class IAM:
    """
    A client of the API.

    Args:
        endpoint: Such as ``https://iamcredentials.googleapis.com``.
    """

    def __init__(self, service: TokenService, caller: Caller, endpoint: str) -> None:
        self.caller = caller
        self._service = service
        self._endpoint = endpoint.rstrip("/")

    async def access_token(
        self, account: str, *, delegates: Sequence[str], scopes: Sequence[str], lifetime: int
    ) -> Grant[Token]:
        """
        Return a token of *account*.

        Args:
            delegates: The delegation chain: each account is allowed to impersonate the next.
            lifetime: Seconds.

        Raises:
            UnauthenticatedError: The caller is not allowed to impersonate *account*.
            UnavailableError: The service could not be reached or failed.
        """
        fields = {"delegates": _named(delegates), "scope": [*scopes], "lifetime": f"{lifetime}s"}
        answer = await self._call(account, "generateAccessToken", fields)
        if answer.status != 200:
            raise refused(answer, f"refused to issue a token of {account}")
        document = answer.document()
        token = document.get("accessToken")
        if not isinstance(token, str) or not token:
            raise UnavailableError(f"the reply of {answer.place} has no accessToken", provider="gcs")
        ttl = _seconds_until(document.get("expireTime"), answer)
        return Grant(checked_token(token, f"the token of {account}"), ttl)

    async def sign_blob(self, account: str, payload: bytes, *, delegates: Sequence[str] = ()) -> bytes:
        """
        Return the signature of *payload* by a Google-managed key of *account*.

        Raises:
            PermissionDeniedError: The caller is not allowed to sign for *account*.
            UnauthenticatedError, UnavailableError: As :meth:`access_token`.
        """
        fields = {"delegates": _named(delegates), "payload": base64.b64encode(payload).decode("ascii")}
        answer = await self._call(account, "signBlob", fields)
        if answer.status == 403:
            error = refused(answer, f"refused to sign for {account}")
            raise PermissionDeniedError(error.message, provider="gcs", code=error.code, status=error.status)
        if answer.status != 200:
            raise refused(answer, f"refused to sign for {account}")
        try:
            return base64.b64decode(answer.document().get("signedBlob") or "", validate=True) or _unsigned(answer)
        except (TypeError, binascii.Error):
            return _unsigned(answer)

    async def aclose(self) -> None:
        await self.caller.aclose()

    async def _call(self, account: str, verb: str, fields: Mapping[str, Any]) -> Answer:
        lease = await self.caller.get()
        answer = await self._send(account, verb, fields, lease)
        if answer.status == 401:
            renewed = await self.caller.refresh(lease)
            if renewed.value != lease.value:
                answer = await self._send(account, verb, fields, renewed)
        return answer

    async def _send(self, account: str, verb: str, fields: Mapping[str, Any], lease: Lease[Token]) -> Answer:
        url = f"{self._endpoint}/v1/{_ACCOUNTS}{quote(account, safe='@')}:{verb}"
        headers = {"Content-Type": "application/json", **self.caller.headers(lease.value)}
        if "Authorization" not in headers:
            raise ConfigurationError(f"anonymous credentials cannot request tokens of {account}")
        return await self._service.send("POST", url, headers, json.dumps(fields).encode())


class IAMSigner(URLSigner):
    """
    Signs with a Google-managed key; every signature is a request.
    """

    algorithm = "GOOG4-RSA-SHA256"
    # https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob
    lifetime = timedelta(hours=12)

    def __init__(self, iam: IAM, account: str, delegates: Sequence[str] = ()) -> None:
        self.account = account
        self._iam = iam
        self._delegates = delegates

    async def sign(self, text: bytes, scope: str) -> bytes:
        return await self._iam.sign_blob(self.account, text, delegates=self._delegates)


def _named(delegates: Sequence[str]) -> list[str]:
    return [name if name.startswith("projects/") else f"{_ACCOUNTS}{name}" for name in delegates]


def _seconds_until(expiry: Any, answer: Answer) -> float:
    try:
        end = datetime.fromisoformat(expiry)
    except (TypeError, ValueError):
        raise UnavailableError(f"the reply of {answer.place} has no expireTime", provider="gcs") from None
    # Use the server's clock: ours can be wrong.
    now = time.time() + answer.clock_offset()
    return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() - now


def _unsigned(answer: Answer) -> bytes:
    raise UnavailableError(f"the reply of {answer.place} has no signedBlob", provider="gcs")

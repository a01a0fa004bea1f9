"""
Google's IAM Credentials API: tokens and signatures of one account, for another that may have them.

https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import quote

from asyncstore.auth.gcp_exchange import refused
from asyncstore.auth.gcp_identity import Token, checked_token
from asyncstore.auth.goog4 import URLSigner
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant, Lease
from asyncstore.errors import ConfigurationError, PermissionDeniedError, UnavailableError

#: What the caller's own token has to be for.
IAM_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)

_ACCOUNTS: Final = "projects/-/serviceAccounts/"


class Caller(Protocol):
    """
    Whoever asks: the credentials of an account that may have those of another.
    """

    auth_type: str
    source: str

    @property
    def universe_domain(self) -> str: ...

    async def get(self) -> Lease[Token]: ...

    async def refresh(self, stale: Lease[Token] | None = None) -> Lease[Token]: ...

    def headers(self, lease: Lease[Token]) -> dict[str, str]: ...

    async def aclose(self) -> None: ...


class IAM:
    """
    The API, and who calls it.

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
            delegates: Accounts in between: each may have tokens of the next one.
            lifetime: Seconds.

        Raises:
            UnauthenticatedError: The caller may not have it.
            UnavailableError: There was no answer, or one of a service in trouble.
        """
        fields = {"delegates": _named(delegates), "scope": [*scopes], "lifetime": f"{lifetime}s"}
        answer = await self._call(account, "generateAccessToken", fields)
        if answer.status != 200:
            raise refused(answer, f"gives no token of {account}")
        said = answer.document()
        token = said.get("accessToken")
        if not isinstance(token, str) or not token:
            raise UnavailableError(f"the reply of {answer.place} has no accessToken", provider="gcs")
        return Grant(checked_token(token, f"the token of {account}"), _seconds_until(said.get("expireTime"), answer))

    async def sign_blob(self, account: str, payload: bytes, *, delegates: Sequence[str] = ()) -> bytes:
        """
        Return the signature of *payload* by a key of *account* that only Google has.

        Raises:
            PermissionDeniedError: The caller may not sign for *account*.
            UnauthenticatedError, UnavailableError: As :meth:`access_token`.
        """
        fields = {"delegates": _named(delegates), "payload": base64.b64encode(payload).decode("ascii")}
        answer = await self._call(account, "signBlob", fields)
        if answer.status == 403:
            error = refused(answer, f"does not sign for {account}")
            raise PermissionDeniedError(error.message, provider="gcs", code=error.code, status=error.status)
        if answer.status != 200:
            raise refused(answer, f"does not sign for {account}")
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
        headers = {"Content-Type": "application/json", **self.caller.headers(lease)}
        if "Authorization" not in headers:
            raise ConfigurationError(f"tokens of {account} are for somebody, and these credentials are anonymous")
        return await self._service.send("POST", url, headers, json.dumps(fields).encode())


class IAMSigner(URLSigner):
    """
    Signs with a key that only Google has, by a request for each signature.
    """

    algorithm = "GOOG4-RSA-SHA256"

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
    # By the clock of whoever wrote it: ours can be wrong.
    now = time.time() + answer.clock_offset()
    return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() - now


def _unsigned(answer: Answer) -> bytes:
    raise UnavailableError(f"the reply of {answer.place} has no signedBlob", provider="gcs")

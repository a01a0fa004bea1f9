"""
Session tokens: their keys, the requests for them, and their lifetime.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from asyncstore._support.redact import redact
from asyncstore._support.threads import in_thread
from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.oci.signature import OCIKeys, scheme, sign_headers
from asyncstore.auth.rsa_keys import generate_rsa_key, public_key_text
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant
from asyncstore.errors import StorageError, UnavailableError
from asyncstore.http.clock import TOLERANCE, ServerClock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KeyGrant = Grant["OCIKeys | None"]

# Seconds after which a token file that another program refreshes is read again.
_FILE_CHECK: Final = 60.0

#: The prefix of a key id that contains a session token.
PREFIX: Final = "ST$"

_TOO_MANY: Final = 429

# Other characters are not valid in a quoted header value.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")


async def new_session_key() -> tuple[RSAPrivateKey, str]:
    """
    Return a new private key for one session, and its public key in base64.
    """
    return await in_thread(_new_key)


def _new_key() -> tuple[RSAPrivateKey, str]:
    scheme()
    key = generate_rsa_key()
    return key, public_key_text(key)


def session_grant(token: str, key: RSAPrivateKey, clock_offset: float, place: str) -> KeyGrant:
    """
    Return the grant of a new token, which is refreshed at half of its lifetime.

    Args:
        clock_offset: Seconds by which the issuer's clock is ahead of ours.
        place: The issuer, for messages.

    Raises:
        UnavailableError: It is not a token, or has no expiry.
    """
    token = token.strip().removeprefix(PREFIX)
    ends = expiry_of(token)
    if ends is None or not is_token(token):
        raise UnavailableError(f"{place} returned a malformed session token", provider="oci")
    # A small offset means nothing: the Date header has whole seconds.
    ttl = ends - (time.time() + (clock_offset if abs(clock_offset) > TOLERANCE else 0.0))
    return Grant(OCIKeys(PREFIX + token, key), ttl, ttl / 2)


def is_token(text: str) -> bool:
    """
    Return whether *text* can be a token.
    """
    return _TOKEN.fullmatch(text) is not None


def file_grant(keys: OCIKeys, ttl: float | None) -> KeyGrant:
    """
    Return the grant of a token from a file, which is read again after a minute.
    """
    if ttl is None or ttl <= 2 * _FILE_CHECK:
        return Grant(keys, ttl)
    return Grant(keys, ttl, ttl - _FILE_CHECK)


class SignedRequests:
    """
    Sends signed requests for session tokens; recovers from clock skew.
    """

    def __init__(self, service: TokenService) -> None:
        self._service = service
        self._clock = ServerClock()

    async def send(
        self,
        method: str,
        url: str,
        keys: OCIKeys,
        document: Mapping[str, Any] | None = None,
        *,
        sign_host: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """
        Return the successful reply.

        Raises:
            UnauthenticatedError: The keys were rejected.
            UnavailableError: The service could not be reached or failed.
        """
        content = None if document is None else json.dumps(document).encode()
        answer = await self._send(method, url, keys, content, sign_host, headers or {})
        if answer.status == 401 and self._clock.learn(answer.headers):
            answer = await self._send(method, url, keys, content, sign_host, headers or {})
        if answer.status != 200:
            raise refused(answer, "refused to issue a session token")
        return answer

    async def _send(
        self, method: str, url: str, keys: OCIKeys, content: bytes | None, sign_host: bool, headers: Mapping[str, str]
    ) -> Answer:
        parts = urlsplit(url)
        signed = sign_headers(
            method,
            f"{parts.path}?{parts.query}" if parts.query else parts.path,
            parts.netloc if sign_host else None,
            keys=keys,
            when=self._clock.now(),
            content=content,
        )
        return await self._service.send(method, url, {**headers, **signed}, content)


def token_of(answer: Answer, name: str = "token") -> str:
    """
    Return the token in the field *name* of a JSON reply.

    Raises:
        UnavailableError: The field is missing.
    """
    token = answer.document().get(name)
    if not isinstance(token, str) or not token:
        raise UnavailableError(f"the reply of {answer.place} has no {name}", provider="oci", status=answer.status)
    return token


def refused(answer: Answer, what: str, advice: str = "") -> StorageError:
    """
    Return the error for a failed request.

    Args:
        what: What failed, such as ``"refused to issue a session token"``.
        advice: Text to append to the message.
    """
    document = answer.document()
    code, message = document.get("code"), document.get("message")
    after = answer.headers.get("Retry-After", "")
    reason = f": {redact(message)[:300]}" if isinstance(message, str) else ""
    return answer.refusal(
        f"{answer.place} {what}{reason}{advice}",
        provider="oci",
        code=code,
        throttled=answer.status == _TOO_MANY,
        request_id=answer.headers.get("opc-request-id"),
        retry_after=float(after) if after.isdecimal() else None,
    )

"""
Session tokens: the key that goes with each, the request for it, and how long it is good.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from asyncstore.auth.json_web_token import expiry_of
from asyncstore.auth.oci_signature import OCIKeys, scheme, sign_headers
from asyncstore.auth.redact import redact
from asyncstore.auth.rsa_keys import generate_rsa_key, public_key_text
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant
from asyncstore.errors import StorageError, ThrottledError, UnauthenticatedError, UnavailableError
from asyncstore.threads import in_thread

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KeyGrant = Grant["OCIKeys | None"]

#: Seconds after which files that somebody else renews are looked at again.
FILE_CHECK: Final = 60.0

#: What a key id has before a session token.
PREFIX: Final = "ST$"

_TOO_MANY: Final = 429

# What a token is made of; anything else could not stand between quotes in a header.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")

# Clocks closer than this are the same clock: OCI allows five minutes.
# https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm
_CLOCK_TOLERANCE: Final = 60.0


async def new_session_key() -> tuple[RSAPrivateKey, str]:
    """
    Return a key for one session, and its public half in base64: each has its own, which never leaves this process.
    """
    return await in_thread(_new_key)


def _new_key() -> tuple[RSAPrivateKey, str]:
    scheme()
    key = generate_rsa_key()
    return key, public_key_text(key)


def session_grant(token: str, key: RSAPrivateKey, clock_offset: float, place: str) -> KeyGrant:
    """
    Return the grant on a token that has just been given, renewed at half of its life.

    Args:
        clock_offset: Seconds by which the clock of whoever gave it is ahead of ours.
        place: Who gave it, for messages.

    Raises:
        UnavailableError: It is no token, or says no end.
    """
    token = token.strip().removeprefix(PREFIX)
    ends = expiry_of(token)
    if ends is None or not is_token(token):
        raise UnavailableError(f"{place} gives something else than a session token", provider="oci")
    # A date has whole seconds: a small difference says nothing.
    ttl = ends - (time.time() + (clock_offset if abs(clock_offset) > _CLOCK_TOLERANCE else 0.0))
    return Grant(OCIKeys(PREFIX + token, key), ttl, ttl / 2)


def is_token(text: str) -> bool:
    """
    Whether *text* can be a token of OCI's.
    """
    return _TOKEN.fullmatch(text) is not None


def file_grant(keys: OCIKeys, ttl: float | None) -> KeyGrant:
    """
    Return the grant on a token from a file, which is looked at again after a minute.
    """
    if ttl is None or ttl <= 2 * FILE_CHECK:
        return Grant(keys, ttl)
    return Grant(keys, ttl, ttl - FILE_CHECK)


class SignedRequests:
    """
    Sends what asks for session tokens, and learns what time it is there.
    """

    def __init__(self, service: TokenService) -> None:
        self._service = service
        self._clock_offset = 0.0

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
        Return the reply, which is a success.

        Raises:
            UnauthenticatedError: The keys are refused.
            UnavailableError: Nobody replied, or somebody in trouble.
        """
        content = None if document is None else json.dumps(document).encode()
        answer = await self._send(method, url, keys, content, sign_host, headers or {})
        offset = answer.clock_offset()
        if answer.status == 401 and abs(offset - self._clock_offset) > _CLOCK_TOLERANCE:
            self._clock_offset = offset
            answer = await self._send(method, url, keys, content, sign_host, headers or {})
        if answer.status != 200:
            raise refused(answer, "gives no session token")
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
            when=time.time() + self._clock_offset,
            content=content,
        )
        return await self._service.send(method, url, {**headers, **signed}, content)


def token_of(answer: Answer, name: str = "token") -> str:
    """
    Return the text *name* of a JSON reply.

    Raises:
        UnavailableError: It has none.
    """
    token = answer.document().get(name)
    if not isinstance(token, str) or not token:
        raise UnavailableError(f"{answer.place} answers without {name}", provider="oci", status=answer.status)
    return token


def refused(answer: Answer, what: str, advice: str = "") -> StorageError:
    """
    Return the error that tells who did not give what, and why.
    """
    document = answer.document()
    code, words = document.get("code"), document.get("message")
    kind: type[StorageError] = UnavailableError if answer.passing else UnauthenticatedError
    kind = ThrottledError if answer.status == _TOO_MANY else kind
    after = answer.headers.get("Retry-After", "")
    said = f": {redact(words)[:300]}" if isinstance(words, str) else ""
    return kind(
        f"{answer.place} {what}{said}{advice}",
        provider="oci",
        code=code if isinstance(code, str) else None,
        status=answer.status,
        request_id=answer.headers.get("opc-request-id"),
        retry_after=float(after) if after.isdecimal() else None,
    )

"""
AWS's token service: roles are assumed here.

https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
"""

from __future__ import annotations

import hashlib
import html
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urlencode

from yarl import URL

from asyncstore.auth.aws_document import KeyGrant, grant_of
from asyncstore.auth.aws_endpoints import sts_endpoint
from asyncstore.auth.redact import redact
from asyncstore.auth.sigv4 import AWSKeys, sign_headers
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

_VERSION: Final = "2011-06-15"
_FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"

# Signatures are good for minutes: clocks that differ by less are not what is refused.
_CLOCK_TOLERANCE: Final = 60.0

# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
_PASSING: Final = frozenset({"Throttling", "ThrottlingException", "IDPCommunicationError", "RequestThrottled"})
EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})


class STS:
    """
    Asks the token service, once for each call; a wrong clock is corrected and asked with again.

    Args:
        region: Says which one is asked; without any it is that for the world.
        endpoint: Instead of the region's own.
    """

    def __init__(
        self, service: TokenService, *, region: Callable[[], Awaitable[str | None]], endpoint: str | None = None
    ) -> None:
        self._service = service
        self._region = region
        self._endpoint = endpoint
        self._clock_offset = 0.0

    async def keys(self, action: str, fields: Mapping[str, str], signer: AWSKeys | None) -> KeyGrant:
        """
        Return the keys that *action* gives.

        Args:
            signer: Whose signature the request has; ``None`` leaves it without one.

        Raises:
            UnauthenticatedError: It was refused.
            UnavailableError: There was no answer, or one of a service in trouble.
        """
        answer = await self.call(action, fields, signer)
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        return grant_of({name: found for name in names if (found := element(answer, name))}, f"STS {action}")

    async def call(self, action: str, fields: Mapping[str, str], signer: AWSKeys | None) -> Answer:
        """
        Return the reply to *action*, which is a success.
        """
        answer = await self._send(action, fields, signer)
        offset = answer.clock_offset()
        if answer.status in (400, 403) and signer and abs(offset - self._clock_offset) > _CLOCK_TOLERANCE:
            self._clock_offset = offset
            answer = await self._send(action, fields, signer)
        if answer.status != 200:
            raise _refusal(answer, action, _secrets(fields, signer))
        return answer

    async def _send(self, action: str, fields: Mapping[str, str], signer: AWSKeys | None) -> Answer:
        address, scope = sts_endpoint(await self._region(), self._endpoint)
        body = urlencode({"Action": action, "Version": _VERSION, **fields}).encode()
        headers = {"Content-Type": _FORM}
        url = _url(address)
        if signer is not None:
            headers |= sign_headers(
                "POST",
                url.raw_path,
                "",
                [("host", str(url.host_port_subcomponent)), ("content-type", _FORM)],
                keys=signer,
                scope=scope,
                when=time.time() + self._clock_offset,
                payload_hash=hashlib.sha256(body).hexdigest(),
            )
        # A proxy wants a path, though it be empty.
        return await self._service.send("POST", f"{url.origin()}{url.raw_path}", headers, body)


def element(answer: Answer, name: str) -> str | None:
    """
    Return the text of the first element called *name*; there are no nested ones of interest.
    """
    match = re.search(rf"<{name}>\s*([^<]*?)\s*</{name}>", answer.text())
    return html.unescape(match[1]) if match and match[1] else None


def _url(address: str) -> URL:
    try:
        url = URL(address)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.raw_host or url.raw_query_string:
        raise ConfigurationError("the address of the token service is no URL of one")
    return url


def _secrets(fields: Mapping[str, str], signer: AWSKeys | None) -> list[str]:
    sent = [fields[name] for name in ("WebIdentityToken", "TokenCode") if name in fields]
    if signer is not None:
        sent += [secret for secret in (signer.secret_access_key, signer.session_token) if secret]
    return sent


def _refusal(answer: Answer, action: str, secrets: Iterable[str]) -> StorageError:
    code = element(answer, "Code")
    kind = UnavailableError if answer.passing or code in _PASSING else UnauthenticatedError
    # The message names the caller and the role; what looks like a secret is taken out.
    words = element(answer, "Message") or ""
    for secret in secrets:
        words = words.replace(secret, "***")
    words = redact(words)[:300]
    text = f"STS {action} was refused" + (f": {words}" if words else "")
    return kind(text, provider="s3", code=code, status=answer.status, request_id=element(answer, "RequestId"))

"""
AWS's token service: roles are assumed here.

https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
"""

from __future__ import annotations

import hashlib
import html
import re
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

from asyncstore.auth.aws_document import KeyGrant, grant_of
from asyncstore.auth.aws_endpoints import sts_endpoint
from asyncstore.auth.redact import redact
from asyncstore.auth.sigv4 import AWSKeys, sign_headers
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import StorageError, UnauthenticatedError, UnavailableError

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
        endpoint: Instead of the region's own.
    """

    def __init__(self, service: TokenService, *, region: str | None = None, endpoint: str | None = None) -> None:
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
            raise _refusal(answer, action)
        return answer

    async def _send(self, action: str, fields: Mapping[str, str], signer: AWSKeys | None) -> Answer:
        url, scope = sts_endpoint(self._region)
        url = self._endpoint or url
        body = urlencode({"Action": action, "Version": _VERSION, **fields}).encode()
        headers = {"Content-Type": _FORM}
        parts = urlsplit(url)
        if signer is not None:
            headers |= sign_headers(
                "POST",
                parts.path or "/",
                "",
                [("host", parts.netloc), ("content-type", _FORM)],
                keys=signer,
                scope=scope,
                when=time.time() + self._clock_offset,
                payload_hash=hashlib.sha256(body).hexdigest(),
            )
        return await self._service.send("POST", url, headers, body)


def element(answer: Answer, name: str) -> str | None:
    """
    Return the text of the first element called *name*; there are no nested ones of interest.
    """
    match = re.search(rf"<{name}>\s*([^<]*?)\s*</{name}>", answer.text())
    return html.unescape(match[1]) if match and match[1] else None


def _refusal(answer: Answer, action: str) -> StorageError:
    code = element(answer, "Code")
    kind = UnavailableError if answer.passing or code in _PASSING else UnauthenticatedError
    # The message names the caller and the role; what looks like a secret is taken out.
    words = redact(element(answer, "Message") or "")[:300]
    text = f"STS {action} was refused" + (f": {words}" if words else "")
    return kind(text, provider="s3", code=code, status=answer.status, request_id=element(answer, "RequestId"))

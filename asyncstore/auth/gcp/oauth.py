"""
OAuth token requests: exchange an assertion, a refresh token or a foreign token for an access token.

https://datatracker.ietf.org/doc/html/rfc6749#section-5
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from asyncstore._support.redact import redact
from asyncstore.auth.gcp.identity import Token, checked_token
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import StorageError, UnauthenticatedError, UnavailableError
from asyncstore.http.clock import ServerClock

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}

_MAX_MESSAGE: Final = 300


class ClockSkewError(UnauthenticatedError):
    """
    The service rejected a dated request, and its clock differs from what was known of it.
    """


async def request_token(
    service: TokenService,
    url: str,
    fields: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    *,
    clock: ServerClock | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """
    Post a form and return the successful reply.

    Args:
        clock: The service's clock, if *fields* are dated by it. It is corrected when a
            refusal shows another time.
        tls: The TLS context with the client's own certificate.

    Raises:
        ConfigurationError: *url* is plain HTTP to another host.
        ClockSkewError: The request was refused and *clock* has been corrected; retry once.
        UnauthenticatedError: The request was refused.
        UnavailableError: The service could not be reached or failed.
    """
    answer = await service.send("POST", url, {**_FORM, **(headers or {})}, urlencode(fields).encode(), tls=tls)
    if answer.status == 200:
        return answer
    error = refused(answer, "refused to issue a token")
    if clock is not None and error.code == "invalid_grant" and clock.learn(answer.headers):
        raise ClockSkewError(error.message, provider="gcs", code=error.code, status=error.status)
    raise error


def basic_auth(client_id: str, client_secret: str) -> Secret:
    """
    Return the ``Authorization`` header of a client.

    https://datatracker.ietf.org/doc/html/rfc6749#section-2.3.1
    """
    return Secret(f"Basic {base64.b64encode(f'{client_id}:{client_secret}'.encode()).decode('ascii')}")


def grant_of(answer: Answer, early: float | None = None) -> Grant[Token]:
    """
    Return the token in a successful reply.

    Args:
        early: Seconds before its expiry at which to refresh it.

    Raises:
        UnavailableError: The reply has no token.
    """
    document = answer.document()
    token = document.get("access_token")
    if not isinstance(token, str) or not token:
        raise UnavailableError(f"the reply of {answer.place} has no access_token", provider="gcs")
    return Grant(checked_token(token, f"the token of {answer.place}"), _seconds(document.get("expires_in")), early)


def refused(answer: Answer, what: str) -> StorageError:
    """
    Return the error for a failed request to a Google service.

    Args:
        what: What failed, such as ``"refused to issue a token"``.
    """
    code, message = _code_and_message(answer)
    reason = message or code or f"status {answer.status}"
    return answer.refusal(f"{answer.place} {what}: {reason}", provider="gcs", code=code)


def _code_and_message(answer: Answer) -> tuple[str | None, str]:
    # In OAuth replies "error" is text, in those of other Google services an object.
    document = answer.document()
    error = document.get("error")
    if isinstance(error, dict):
        code, message = error.get("status"), error.get("message")
    else:
        code, message = error, document.get("error_description")
    # The message can quote the request, so secrets are redacted.
    return (code if isinstance(code, str) else None), redact(message or "")[:_MAX_MESSAGE]


def _seconds(ttl: Any) -> float | None:
    # Some services write the number as text.
    try:
        return None if ttl is None else float(ttl)
    except (TypeError, ValueError):
        return None

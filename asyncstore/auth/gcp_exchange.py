"""
Exchanging one thing for another: an assertion, a refresh token or a foreign token for a token of Google's.

https://datatracker.ietf.org/doc/html/rfc6749#section-5
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from asyncstore.auth.gcp_identity import Token, checked_token
from asyncstore.auth.redact import redact
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import StorageError, UnauthenticatedError, UnavailableError

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}

#: Assertions are dated in seconds, so clocks that differ by less are not what is refused.
CLOCK_TOLERANCE: Final = 60.0

_MAX_WORDS: Final = 300


class WrongClockError(UnauthenticatedError):
    """
    The token was refused, and our clock is not that of whoever refused it.

    Attributes:
        offset: Seconds by which the other clock is ahead of ours.
    """

    def __init__(self, message: str, offset: float, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.offset = offset


async def exchange(
    service: TokenService,
    url: str,
    fields: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    *,
    clock_offset: float = 0.0,
) -> Answer:
    """
    Send a form, and return the reply, which is a success.

    Args:
        clock_offset: What was known of the other clock when *fields* were dated.

    Raises:
        ConfigurationError: *url* is plain HTTP to another host.
        WrongClockError: The request was refused, and the clocks differ.
        UnauthenticatedError: The request was refused.
        UnavailableError: There was no answer, or one of a server in trouble.
    """
    answer = await service.send("POST", url, {**_FORM, **(headers or {})}, urlencode(fields).encode())
    if answer.status != 200:
        raise _refusal(answer, clock_offset)
    return answer


def basic_auth(client_id: str, client_secret: str) -> Secret:
    """
    Return the header by which a client shows who it is.

    https://datatracker.ietf.org/doc/html/rfc6749#section-2.3.1
    """
    return Secret(f"Basic {base64.b64encode(f'{client_id}:{client_secret}'.encode()).decode('ascii')}")


def grant_of(answer: Answer, early: float | None = None) -> Grant[Token]:
    """
    Return the token in a reply that is a success.

    Args:
        early: Seconds before its end at which to renew it.

    Raises:
        UnavailableError: There is none.
    """
    said = answer.document()
    token = said.get("access_token")
    if not isinstance(token, str) or not token:
        raise UnavailableError(f"the reply of {answer.place} has no access_token", provider="gcs")
    return Grant(checked_token(token, f"the token of {answer.place}"), _seconds(said.get("expires_in")), early)


def refused(answer: Answer, what: str) -> StorageError:
    """
    Return the error that a reply of a service of Google's is.

    Args:
        what: What it did not do, for the message.
    """
    code, words = _words(answer)
    kind = UnavailableError if answer.passing else UnauthenticatedError
    told = words or code or f"status {answer.status}"
    return kind(f"{answer.place} {what}: {told}", provider="gcs", code=code, status=answer.status)


def _refusal(answer: Answer, clock_offset: float) -> StorageError:
    error = refused(answer, "gives no token")
    offset = answer.clock_offset()
    if error.code == "invalid_grant" and abs(offset - clock_offset) > CLOCK_TOLERANCE:
        return WrongClockError(error.message, offset, provider="gcs", code=error.code, status=error.status)
    return error


def _words(answer: Answer) -> tuple[str | None, str]:
    # OAuth has texts here; all other services of Google's an object.
    said = answer.document()
    error = said.get("error")
    if isinstance(error, dict):
        code, words = error.get("status"), error.get("message")
    else:
        code, words = error, said.get("error_description")
    # What is refused can be quoted; what looks like a secret is taken out.
    return (code if isinstance(code, str) else None), redact(words or "")[:_MAX_WORDS]


def _seconds(ttl: Any) -> float | None:
    # Some services write it as text.
    try:
        return None if ttl is None else float(ttl)
    except (TypeError, ValueError):
        return None

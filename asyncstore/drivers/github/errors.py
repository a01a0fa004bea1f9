"""
The errors of GitHub, by status and by what their bodies say.

https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RangeNotSatisfiableError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.http.reply import Reply

#: Characters of GitHub's own words that are kept.
_MAX_MESSAGE: Final = 500

#: Seconds to wait where GitHub does not say: "wait for at least one minute before retrying"
#: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
_SECONDARY_WAIT: Final = 60.0

ALREADY_EXISTS: Final = "already_exists"

_BY_STATUS: Final[Mapping[int, type[StorageError]]] = {
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: UnavailableError,
    410: NotFoundError,
    416: RangeNotSatisfiableError,
    429: ThrottledError,
    451: PermissionDeniedError,
}


async def refusal(reply: Reply) -> StorageError:
    """
    Read the error that *reply* is, and let go of the reply.
    """
    return named(reply, await reply.read_error())


def named(reply: Reply, body: bytes) -> StorageError:
    """
    Name the error in *body*, which may be empty or of another making.
    """
    said = _document(body)
    message, code = _message(said), _code(said)
    kind = _kind(reply, message, code)
    facts: dict[str, Any] = {"code": code, "request_id": reply.request_id, "status": reply.status, "provider": "github"}
    wait = reply.retry_after
    if kind is ThrottledError:
        wait = limit_wait(reply) if wait is None else wait
        wait = _SECONDARY_WAIT if wait is None and reply.status < 500 else wait
    if reply.status in (301, 302, 307, 308):
        message = "the repository has another name now: use that"
    return kind((message or f"GitHub answered {reply.status}")[:_MAX_MESSAGE], retry_after=wait, **facts)


def limit_wait(reply: Reply) -> float | None:
    """
    Return the seconds until more requests are allowed; ``None`` if some are left.

    By GitHub's own clock, so it holds also where ours is wrong.
    """
    headers = reply.headers
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") != "0" or not reset.isdecimal():
        return None
    try:
        now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except ValueError:
        now = time.time()
    return max(0.0, int(reset) - now)


def _kind(reply: Reply, message: str, code: str | None) -> type[StorageError]:
    status = reply.status
    if status in (403, 429) and _is_limit(reply, message):
        return ThrottledError
    if status == 422 and code == ALREADY_EXISTS:
        return AlreadyExistsError
    if status in (301, 302, 307, 308):
        return NotFoundError
    if (kind := _BY_STATUS.get(status)) is not None:
        return kind
    return UnavailableError if status >= 500 else InvalidRequestError


def _is_limit(reply: Reply, message: str) -> bool:
    if reply.headers.get("x-ratelimit-remaining") == "0" or "Retry-After" in reply.headers:
        return True
    words = message.lower()
    return "rate limit" in words or "abuse detection" in words


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _message(said: Mapping[str, Any]) -> str:
    texts = [said.get("message"), *[_detail(item) for item in _errors(said)]]
    return ": ".join([text for text in texts if isinstance(text, str) and text])


def _detail(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    if isinstance(message := item.get("message"), str):
        return message
    return " ".join([str(item[name]) for name in ("resource", "field", "code") if name in item])


def _code(said: Mapping[str, Any]) -> str | None:
    codes = [item.get("code") for item in _errors(said) if isinstance(item, dict)]
    return next((code for code in codes if isinstance(code, str)), None)


def _errors(said: Mapping[str, Any]) -> list[Any]:
    errors = said.get("errors")
    return errors if isinstance(errors, list) else []

"""
The errors of GitHub, from their bodies.

https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from asyncstore.errors import (
    AlreadyExistsError,
    NotFoundError,
    StorageError,
    ThrottledError,
    UnavailableError,
)
from asyncstore.http.clock import server_offset
from asyncstore.http.errors import error_kind, service_error
from asyncstore.http.reply import Reply

#: Seconds to wait if the reply does not say: "wait for at least one minute before retrying"
#: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
_SECONDARY_WAIT: Final = 60.0

#: Statuses of redirects to the present path of a repository.
REDIRECTS: Final = frozenset({301, 302, 307, 308})

ALREADY_EXISTS: Final = "already_exists"


def named(reply: Reply, body: bytes) -> StorageError:
    """
    Return the error in *body*, which may be empty or written by a proxy.
    """
    document = _document(body)
    message, code = _message(document), _code(document)
    kind = _kind(reply, message, code)
    wait = reply.retry_after
    if kind is ThrottledError:
        wait = limit_wait(reply) if wait is None else wait
        wait = _SECONDARY_WAIT if wait is None and reply.status < 500 else wait
    if reply.status in REDIRECTS:
        message = "the repository was renamed, and the redirect to it cannot be followed: use its new name"
    return service_error(
        kind,
        message,
        provider="github",
        code=code,
        status=reply.status,
        request_id=reply.request_id,
        retry_after=wait,
    )


def limit_wait(reply: Reply) -> float | None:
    """
    Return the seconds until more requests are allowed; ``None`` if some are left.

    Computed with GitHub's clock, so it is right even if the local clock is wrong.
    """
    headers = reply.headers
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") != "0" or not reset.isdecimal():
        return None
    return max(0.0, int(reset) - time.time() - (server_offset(headers) or 0.0))


def _kind(reply: Reply, message: str, code: str | None) -> type[StorageError]:
    status = reply.status
    if status in (403, 429) and _is_limit(reply, message):
        return ThrottledError
    if status == 422 and code == ALREADY_EXISTS:
        return AlreadyExistsError
    if status in REDIRECTS:
        return NotFoundError
    return UnavailableError if status >= 500 else error_kind(status)


def _is_limit(reply: Reply, message: str) -> bool:
    if reply.headers.get("x-ratelimit-remaining") == "0" or "Retry-After" in reply.headers:
        return True
    words = message.lower()
    return "rate limit" in words or "abuse detection" in words


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _message(document: Mapping[str, Any]) -> str:
    texts = [document.get("message"), *[_detail(item) for item in _errors(document)]]
    return ": ".join([text for text in texts if isinstance(text, str) and text])


def _detail(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    if isinstance(message := item.get("message"), str):
        return message
    return " ".join([str(item[name]) for name in ("resource", "field", "code") if name in item])


def _code(document: Mapping[str, Any]) -> str | None:
    codes = [item.get("code") for item in _errors(document) if isinstance(item, dict)]
    return next((code for code in codes if isinstance(code, str)), None)


def _errors(document: Mapping[str, Any]) -> list[Any]:
    errors = document.get("errors")
    return errors if isinstance(errors, list) else []

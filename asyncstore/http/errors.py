"""
Maps failures below HTTP, and the statuses and codes of replies, to error classes, for all providers.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import aiohttp

from asyncstore._support.redact import redact
from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionFailedError,
    QuotaExceededError,
    RangeNotSatisfiableError,
    StorageError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)

#: What aiohttp and the operating system raise while sending a request or receiving a reply.
FAILURES: Final = (aiohttp.ClientError, OSError, TimeoutError, ssl.CertificateError)


class SlowHeadError(aiohttp.SocketTimeoutError):
    """
    The head of a reply was not complete in time, although bytes kept arriving.
    """


def translated(error: BaseException) -> StorageError:
    """
    Return our error for one of :data:`FAILURES`.

    ``sent`` is false for a failure before the request was sent.

    The message is our own, since that of aiohttp can contain the headers of the request, credentials
    included. Raise the result ``from None`` for the same reason.
    """
    found = _translated(error)
    found.sent = not isinstance(error, _BEFORE_SENDING)
    return found


# What fails while a connection is being opened, when nothing of the request has been sent.
_BEFORE_SENDING: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    ConnectionRefusedError,
    ssl.CertificateError,
)


def _translated(error: BaseException) -> StorageError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.CertificateError):
        return UnavailableError(f"the server's certificate is not trusted: {_reason(error)}", retryable=False)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return UnavailableError(f"the proxy refused the connection with status {error.status}", status=error.status)
    if isinstance(error, aiohttp.InvalidURL):
        return InvalidRequestError("the URL of the request is not valid")
    for kind, message in _MESSAGES:
        if isinstance(error, kind):
            return UnavailableError(message)
    return UnavailableError(f"the connection failed: {_reason(error)}")


# The first match counts, so subclasses come first.
_MESSAGES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (SlowHeadError, "the server did not complete the head of its reply within stall_timeout"),
    (aiohttp.ConnectionTimeoutError, "the connection was not established within connect_timeout"),
    (aiohttp.ServerTimeoutError, "the server sent nothing within stall_timeout"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection before it replied"),
    (aiohttp.ClientPayloadError, "the connection closed before the end of the reply"),
    (aiohttp.ClientResponseError, "the reply is not valid HTTP, or its headers are too large"),
    (aiohttp.ClientConnectionResetError, "the connection was closed while the request was being sent"),
    (TimeoutError, "the request timed out"),
)


def _reason(error: BaseException) -> str:
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return getattr(cause, "strerror", None) or getattr(cause, "verify_message", None) or type(cause).__name__


#: Characters of the provider's own message that are kept.
MAX_MESSAGE: Final = 500
#: Characters of a code that are kept; a real one is shorter.
MAX_CODE: Final = 100

# https://www.rfc-editor.org/rfc/rfc9110#name-status-codes, for replies without a known code:
# those to HEAD requests, and those of proxies.
_BY_STATUS: Final[Mapping[int, type[StorageError]]] = {
    304: NotModifiedError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: UnavailableError,
    410: NotFoundError,
    412: PreconditionFailedError,
    416: RangeNotSatisfiableError,
    429: ThrottledError,
    451: PermissionDeniedError,
    501: NotSupportedError,
    503: ThrottledError,
    507: QuotaExceededError,
}

_NO_CODES: Final[Mapping[str, type[StorageError]]] = MappingProxyType({})


def error_kind(
    status: int | None, code: str | None = None, by_code: Mapping[str, type[StorageError]] = _NO_CODES
) -> type[StorageError]:
    """
    Return the error class of a reply.

    Args:
        status: ``None`` for an error inside a reply that is itself a success.
        code: The provider's own code.
        by_code: The classes of the provider's codes, which take precedence over the status.
    """
    if code is not None and (kind := by_code.get(code)) is not None:
        return kind
    if status is None:
        return UnavailableError if code is None else InvalidRequestError
    if (kind := _BY_STATUS.get(status)) is not None:
        return kind
    # A success with an error in it says nothing about the request.
    return UnavailableError if status >= 500 or status < 300 else InvalidRequestError


def service_error(
    kind: type[StorageError],
    message: str,
    *,
    provider: str,
    code: str | None = None,
    status: int | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    create_only: bool = False,
) -> StorageError:
    """
    Return the error for a provider's reply.

    Args:
        message: The provider's own message, in which secrets are masked; if empty, the default of *kind*.
        create_only: The request was to write only where no object exists.
    """
    if create_only and kind is PreconditionFailedError:
        kind = AlreadyExistsError
    text = redact(message.strip())[:MAX_MESSAGE]
    code = code and redact(code)[:MAX_CODE]
    return kind(text, code=code, provider=provider, request_id=request_id, status=status, retry_after=retry_after)


class ErrorTable:
    """
    The errors of one provider.

    Args:
        codes: The provider's codes for each class, separated by white space.
        target_exists: The codes of a create-only write that found an object, separated by white space. A
            failed condition with any other code is another one, such as that on the source of a copy, a lease
            or a policy. By default, and without a code, the condition that was sent is blamed.
    """

    def __init__(
        self, provider: str, codes: Mapping[type[StorageError], str], *, target_exists: str | None = None
    ) -> None:
        self._provider = provider
        self._target_exists = None if target_exists is None else frozenset(target_exists.split())
        self._kinds = {code: kind for kind, names in codes.items() for code in names.split()}

    def kind(self, status: int | None, code: str | None, message: str) -> type[StorageError]:
        """
        Return the class of an error; see :func:`error_kind`.
        """
        return error_kind(status, code, self._kinds)

    def error(
        self,
        code: str | None,
        message: str,
        *,
        kind: type[StorageError] | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        create_only: bool = False,
    ) -> StorageError:
        """
        Return the error that the provider calls *code*; the arguments are those of :func:`service_error`.
        """
        return service_error(
            kind or self.kind(status, code, message),
            message,
            provider=self._provider,
            code=code,
            status=status,
            request_id=request_id,
            retry_after=retry_after,
            create_only=create_only and self._blames_target(code),
        )

    def _blames_target(self, code: str | None) -> bool:
        return code is None or self._target_exists is None or code.replace(" ", "") in self._target_exists

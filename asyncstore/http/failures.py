"""
What went wrong below HTTP, named once for all drivers.
"""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp

from asyncstore.errors import InvalidRequestError, StorageError, UnavailableError

#: What aiohttp and the operating system raise while a request or a reply is on its way.
FAILURES: Final = (aiohttp.ClientError, OSError, TimeoutError, ssl.CertificateError)


def translated(error: BaseException) -> StorageError:
    """
    Return our error for one of :data:`FAILURES`.

    The text is our own: that of aiohttp can hold the headers of the request,
    credentials included. Raise the result ``from None`` for the same reason.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.CertificateError):
        return UnavailableError(f"the server's certificate is not trusted: {_reason(error)}", retryable=False)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return UnavailableError(f"the proxy answered {error.status}", status=error.status)
    if isinstance(error, aiohttp.InvalidURL):
        return InvalidRequestError("the address of the request is not a valid URL")
    for kind, message in _MESSAGES:
        if isinstance(error, kind):
            return UnavailableError(message)
    return UnavailableError(f"the connection failed: {_reason(error)}")


# From the narrow to the wide: the first that fits is taken.
_MESSAGES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, "no connection within the connect timeout"),
    (aiohttp.ServerTimeoutError, "not a single byte came within the stall timeout"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection before it answered"),
    (aiohttp.ClientPayloadError, "the connection ended before the reply did"),
    (aiohttp.ClientResponseError, "the reply is not valid HTTP, or its headers are too large"),
    (aiohttp.ClientConnectionResetError, "the connection was closed while the request was being sent"),
    (TimeoutError, "a time-out while the request was on its way"),
)


def _reason(error: BaseException) -> str:
    cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return getattr(cause, "strerror", None) or getattr(cause, "verify_message", None) or type(cause).__name__

"""
What AWS's SDK raises and logs, without the secrets in it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from asyncstore.auth.redact import redact
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

_BODY: Final = re.compile(r"(Received non 200 response \d+).*", re.DOTALL)

# What prints whole requests and replies at DEBUG, secrets included.
_CHATTY: Final = ("botocore.parsers", "botocore.endpoint", "botocore.auth", "botocore.hooks", "botocore.httpsession")


def storage_error(exc: Exception, what: str) -> StorageError:
    """
    Return what *exc* means, without the requests and secrets in it.

    Args:
        what: What was asked for, for the message.
    """
    from botocore.exceptions import ClientError

    if isinstance(exc, ClientError):
        return _service_error(exc, what)
    kind, text = _KINDS.get(type(exc).__name__, (None, ""))
    if kind is None and isinstance(exc, OSError | TimeoutError):
        kind = UnavailableError
    if getattr(exc, "kwargs", {}).get("provider") == "custom-process":
        # Its message is all that the process wrote to stderr.
        kind, text = UnauthenticatedError, "credential_process ended with an error"
    # What follows the status is the body of the reply.
    told = redact(_BODY.sub(r"\1", str(exc)))[:300]
    return (kind or UnauthenticatedError)(f"{what}: {text or told or type(exc).__name__}")


_KINDS: Final[Mapping[str, tuple[type[StorageError], str]]] = {
    "ConfigParseError": (ConfigurationError, ""),
    "InfiniteLoopConfigError": (ConfigurationError, ""),
    "InvalidConfigError": (ConfigurationError, ""),
    "PartialCredentialsError": (ConfigurationError, ""),
    "ProfileNotFound": (ConfigurationError, ""),
    "UnknownCredentialError": (ConfigurationError, ""),
    "FileNotFoundError": (ConfigurationError, ""),
    "JSONDecodeError": (UnauthenticatedError, "credential_process printed no valid JSON document"),
    "TimeoutError": (UnavailableError, "no answer in time"),
    "EndpointConnectionError": (UnavailableError, ""),
    "ConnectionClosedError": (UnavailableError, ""),
    "HTTPClientError": (UnavailableError, ""),
    "MetadataRetrievalError": (UnavailableError, ""),
    "CredentialRetrievalError": (UnavailableError, ""),
}


def _service_error(exc: Any, what: str) -> StorageError:
    meta = exc.response.get("ResponseMetadata", {})
    code = exc.response.get("Error", {}).get("Code")
    status = meta.get("HTTPStatusCode") or 0
    passing = status >= 500 or status == 429 or code in ("Throttling", "ThrottlingException")
    return (UnavailableError if passing else UnauthenticatedError)(
        f"{what}: {exc.operation_name} was refused", code=code, status=status, request_id=meta.get("RequestId")
    )


# What warns of a failure with its traceback: that ends in what the service said.
_TRACING: Final = ("aiobotocore.credentials", "aiobotocore.tokens", "botocore.credentials")


class _Redacting(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        # The body of a reply can be anything.
        record.msg = "Response body: ***" if text.startswith("Response body") else redact(text)
        record.args = None
        # Whoever asked for credentials gets the error itself.
        record.exc_info = record.exc_text = None
        return True


@cache
def hush() -> None:
    """
    Keep secrets out of what the SDK logs.
    """
    for name in (*_CHATTY, *_TRACING):
        logging.getLogger(name).addFilter(_Redacting())

"""
Which failures of a resumable transfer another attempt would meet again.
"""

from __future__ import annotations

from typing import Final

from asyncstore.errors import (
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    NotSupportedError,
    PreconditionFailedError,
    SourceChangedError,
)

# After these the same bytes would fail again, or cannot be trusted.
_PERMANENT: Final = (
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotModifiedError,
    NotSupportedError,
    PreconditionFailedError,
    SourceChangedError,
)


def is_permanent(error: BaseException) -> bool:
    """
    Return whether what was transferred before *error* is of no use to another attempt.
    """
    return isinstance(error, _PERMANENT)

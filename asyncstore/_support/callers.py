"""
Errors of functions that a caller passed in: they pass through unchanged, whatever raises them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

_MARK: Final = "_asyncstore_raised_by_caller"


def mark_callers(error: Exception) -> None:
    """
    Note that a function of the caller raised *error*, while a request was under way.
    """
    # Exceptions with slots cannot be marked.
    with suppress(AttributeError):
        setattr(error, _MARK, True)


def is_callers(error: Exception) -> bool:
    """
    Return whether a function of the caller raised *error*.
    """
    return getattr(error, _MARK, False)

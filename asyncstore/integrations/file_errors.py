"""
Errors of storages as those of files, for interfaces whose users expect the latter.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from asyncstore.errors import (
    AlreadyExistsError,
    ConfigurationError,
    DeadlineExceededError,
    InvalidURIError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    QuotaExceededError,
    StorageError,
    UnauthenticatedError,
)

# OSError makes the subclass that belongs to a number, such as FileNotFoundError.
_NUMBERS: Final = (
    (NotFoundError, errno.ENOENT),
    (AlreadyExistsError, errno.EEXIST),
    ((PermissionDeniedError, UnauthenticatedError), errno.EACCES),
    (QuotaExceededError, errno.ENOSPC),
    (DeadlineExceededError, errno.ETIMEDOUT),
    (StorageError, errno.EIO),
)


@contextmanager
def file_errors() -> Iterator[None]:
    """
    Raise the errors of the block as those of files.

    Errors in URIs and settings stay as they are: they are a ``ValueError``.
    """
    try:
        yield
    except StorageError as exc:
        if isinstance(exc, InvalidURIError | ConfigurationError):
            raise
        raise as_file_error(exc) from exc


def as_file_error(error: StorageError) -> OSError:
    """
    Return *error* as an :class:`OSError` with the number that a file system would give it.
    """
    if isinstance(error, NotSupportedError):
        return io.UnsupportedOperation(str(error))
    number = next(number for kind, number in _NUMBERS if isinstance(error, kind))
    return OSError(number, str(error))

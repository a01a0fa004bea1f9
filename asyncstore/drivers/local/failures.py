"""
Errors of the operating system as ours.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from asyncstore.errors import (
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    QuotaExceededError,
    StorageError,
    UnavailableError,
)

_KINDS: Final[dict[int, type[StorageError]]] = {
    errno.ENOENT: NotFoundError,
    errno.ENOTDIR: NotFoundError,
    errno.EACCES: PermissionDeniedError,
    errno.EPERM: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.ELOOP: PermissionDeniedError,
    errno.ENOSPC: QuotaExceededError,
    errno.EDQUOT: QuotaExceededError,
    errno.EFBIG: QuotaExceededError,
    errno.ENAMETOOLONG: InvalidRequestError,
    errno.EINVAL: InvalidRequestError,
    errno.EISDIR: InvalidRequestError,
    errno.EXDEV: NotSupportedError,
    errno.EIO: UnavailableError,
    errno.ESTALE: UnavailableError,
    errno.EAGAIN: UnavailableError,
    errno.EBUSY: UnavailableError,
    errno.EMFILE: UnavailableError,
    errno.ENFILE: UnavailableError,
    errno.ENOLCK: UnavailableError,
    errno.ETIMEDOUT: UnavailableError,
}


def classify(error: Exception) -> StorageError | None:
    """
    Name an :class:`OSError`; ``None`` for anything else.
    """
    if not isinstance(error, OSError) or error.errno is None:
        return None
    kind = _KINDS.get(error.errno, StorageError)
    return kind(os.strerror(error.errno), code=errno.errorcode.get(error.errno))

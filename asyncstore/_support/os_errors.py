"""
Operating system errors as :class:`StorageError`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    QuotaExceededError,
    StorageError,
    UnavailableError,
)

_KINDS: dict[int, type[StorageError]] = {
    errno.ENOENT: NotFoundError,
    errno.ENOTDIR: NotFoundError,
    errno.EEXIST: AlreadyExistsError,
    errno.EACCES: PermissionDeniedError,
    errno.EPERM: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.ELOOP: PermissionDeniedError,
    errno.ENOSPC: QuotaExceededError,
    errno.EDQUOT: QuotaExceededError,
    errno.EFBIG: QuotaExceededError,
    errno.ENAMETOOLONG: InvalidRequestError,
    errno.EISDIR: InvalidRequestError,
    errno.EINVAL: InvalidRequestError,
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


def from_oserror(error: OSError, path: Path | str | None = None) -> StorageError:
    """
    Return *error* as a :class:`StorageError` that names *path*.

    The file that the system names is left out: it can be one of our temporary files.
    """
    number = error.errno or 0
    kind = _KINDS.get(number, StorageError)
    what = error.strerror or type(error).__name__
    if number == errno.EMFILE:
        what += " (raise the limit, as with ulimit -n, or lower max_concurrency)"
    return kind(f"{what}: {path}" if path is not None else what, code=errno.errorcode.get(number))


@contextmanager
def local_errors(path: Path) -> Iterator[None]:
    """
    Turn operating system errors about *path* into :class:`StorageError`.
    """
    try:
        yield
    except OSError as exc:
        raise from_oserror(exc, path) from exc
    except ValueError as exc:
        if "\0" not in str(path):
            raise
        raise InvalidRequestError(f"{str(path)!r} is not a path: it has a NUL character") from exc

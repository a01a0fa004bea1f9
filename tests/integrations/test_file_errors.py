"""
Each error of a storage has its error of a file.
"""

from __future__ import annotations

import errno
import io

import pytest

from asyncstore import (
    AlreadyExistsError,
    ConfigurationError,
    DeadlineExceededError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    QuotaExceededError,
    StorageError,
    UnauthenticatedError,
    UnavailableError,
)
from asyncstore.integrations.file_errors import file_errors


@pytest.mark.parametrize(
    ("error", "kind", "number"),
    [
        (NotFoundError(uri="s3://bucket/key"), FileNotFoundError, errno.ENOENT),
        (AlreadyExistsError(uri="s3://bucket/key"), FileExistsError, errno.EEXIST),
        (PermissionDeniedError(uri="s3://bucket/key"), PermissionError, errno.EACCES),
        (UnauthenticatedError(uri="s3://bucket/key"), PermissionError, errno.EACCES),
        (QuotaExceededError(uri="s3://bucket/key"), OSError, errno.ENOSPC),
        (DeadlineExceededError(uri="s3://bucket/key"), TimeoutError, errno.ETIMEDOUT),
        (UnavailableError(uri="s3://bucket/key"), OSError, errno.EIO),
        (NotSupportedError(uri="s3://bucket/key"), io.UnsupportedOperation, None),
    ],
)
def test_error(error: StorageError, kind: type[OSError], number: int | None) -> None:
    """
    The class and number are those of files, the message and the cause the storage's.
    """
    with pytest.raises(kind, match=f"{error}$") as raised, file_errors():
        raise error

    assert number == raised.value.errno
    assert error is raised.value.__cause__


def test_errors_of_settings_stay() -> None:
    """
    What a program configured wrongly is no error of a file.
    """
    with pytest.raises(ConfigurationError), file_errors():
        raise ConfigurationError("no")

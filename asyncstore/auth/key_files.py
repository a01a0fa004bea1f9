"""
Reads files that hold secrets; warns if other users can read them too.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

from asyncstore.errors import ConfigurationError

#: Bytes of the longest file of credentials.
MAX_FILE: Final = 256 * 1024

# A log message rather than a Python warning: it is for the operator, names each file, and never
# becomes an exception.
_log = logging.getLogger(__name__)

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_warned: set[str] = set()


def read_key_file(path: str | Path, what: str, *, warn: bool = True) -> bytes:
    """
    Return the content of a file of secrets; blocks, so call it in a thread.

    If other users can read the file, this logs a warning, once per file.

    Args:
        what: What the file holds, for messages.
        warn: ``False`` if the file may hold no secrets; see :func:`warn_if_shared`.

    Raises:
        ConfigurationError: It does not exist, cannot be read, or is too long.
    """
    file = Path(path).expanduser()
    try:
        with file.open("rb") as opened:
            if warn:
                _check_mode(os.fstat(opened.fileno()), str(file))
            content = opened.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"the {what} {file} does not exist") from None
    except OSError as exc:
        raise ConfigurationError(f"the {what} {file} cannot be read: {exc.strerror or type(exc).__name__}") from None
    if len(content) > MAX_FILE:
        raise ConfigurationError(f"the {what} {file} has more than {MAX_FILE} bytes")
    return content


def read_token_file(path: str | Path, what: str, limit: int) -> str:
    """
    Return the token that a machine or cluster keeps current in a file; blocks.

    It never warns: a whole pod or machine may read such files.

    Raises:
        ConfigurationError: It cannot be read, is empty, or has more than *limit* bytes.
    """
    try:
        with Path(path).expanduser().open("rb") as opened:
            content = opened.read(limit + 1)
    except OSError as exc:
        raise ConfigurationError(f"{what} {path} cannot be read: {exc.strerror or type(exc).__name__}") from None
    token = content.decode("utf-8", "replace").strip()
    if not token or len(content) > limit:
        raise ConfigurationError(f"{what} {path} does not hold a token")
    return token


def warn_if_shared(path: str | Path) -> None:
    """
    Log a warning if other users can read the file of secrets at *path*; blocks.
    """
    file = Path(path).expanduser()
    try:
        _check_mode(file.stat(), str(file))
    except OSError:
        return


def _check_mode(found: os.stat_result, name: str) -> None:
    if os.name != "posix" or not stat.S_ISREG(found.st_mode):
        return
    if found.st_mode & _OTHERS and name not in _warned:
        _warned.add(name)
        _log.warning(
            "%s holds secrets and other users can access it: its mode is %03o, make it 600",
            name,
            found.st_mode & 0o777,
        )

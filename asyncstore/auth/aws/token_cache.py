"""
Tokens that AWS's tools keep in files of JSON, which other programs read and renew too.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from asyncstore.auth.aws.document import seconds_until
from asyncstore.auth.key_files import read_key_file
from asyncstore.errors import UnauthenticatedError

T = TypeVar("T")

# Seconds between looks into the file after a refusal. The service may refuse a token that another
# process has just used before that process has stored what it got for it.
_LOOKS: Final = (0.0, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class StoredToken:
    """
    What a file holds.
    """

    file: Path
    document: dict[str, Any] = field(repr=False)


def read_token(file: Path, what: str, advice: str) -> StoredToken:
    """
    Read a file; blocks.

    Args:
        what: What it holds, for messages.
        advice: How to get a new one, for messages.

    Raises:
        UnauthenticatedError: It does not exist, or does not hold a JSON object.
    """
    if not file.exists():
        raise UnauthenticatedError(f"not signed in: there is no {what} in {file.parent}: {advice}")
    content = read_key_file(file, what)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UnauthenticatedError(f"{file} does not hold a {what}: {advice}")
    return StoredToken(file, document)


def store_token(file: Path, document: dict[str, Any]) -> None:
    """
    Replace the content of a file; blocks.

    It is readable by its owner only, and replaced atomically: other programs read it at any time.
    """
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(document, opened)
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def seconds_left(end: Any, what: str) -> float:
    """
    Return the seconds until a time in a document; 0 for ``None``.

    Raises:
        UnauthenticatedError: It is not a time.
    """
    # Older programs write UTC instead of Z.
    text = end.replace("UTC", "Z") if isinstance(end, str) else end
    return seconds_until(text, what) or 0.0


async def renewed_by_another(look: Callable[[], Awaitable[T | None]], *, patient: bool) -> T | None:
    """
    Return what another process has stored in the meantime; ``None`` if none has.

    Args:
        look: Reads the file; returns ``None`` while it holds what was refused.
        patient: Whether to look more than once, for up to two seconds.
    """
    for wait in _LOOKS if patient else _LOOKS[:1]:
        await anyio.sleep(wait)
        if (found := await look()) is not None:
            return found
    return None

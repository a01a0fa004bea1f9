"""
Paths of files from keys: a key that others chose never leads out of a directory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from asyncstore.errors import InvalidRequestError

# The longest file name that common file systems allow, in bytes.
_MAX_NAME: Final = 255

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_WINDOWS: Final = os.name == "nt"
_WINDOWS_CHARACTERS: Final = re.compile(r'[<>:"|?*\\\x00-\x1f]')
_WINDOWS_DEVICE: Final = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])\s*(?:\.|$)", re.IGNORECASE
)


def safe_path(directory: Path | str, key: str) -> Path:
    """
    Return the path below *directory* that *key* names, for keys that others may have chosen.

    ::

        downloads = [Download(info.uri, safe_path("copy", info.name)) async for info in storage.list()]

    Nothing is encoded or shortened: different keys have different paths. Only the text is
    looked at: symbolic links that are in *directory* already are followed.

    Raises:
        InvalidRequestError: *key* is not a safe relative path: it is absolute or empty, has
            an empty segment, ``.``, ``..`` or NUL, or a segment that is too long for a file
            name. On Windows also a drive letter, a reserved name or a character that Windows
            does not allow.
    """
    return Path(directory, *relative_parts(key))


def relative_parts(key: str) -> tuple[str, ...]:
    """
    Return the segments of the relative path that *key* names.

    Raises:
        InvalidRequestError: As :func:`safe_path`.
    """
    parts = tuple(key.split("/"))
    if problem := _problem(key, parts) or (_WINDOWS and _windows_problem(key, parts)):
        raise InvalidRequestError(f"the key {key[:200]!r} is not a safe file path: {problem}")
    return parts


def is_utf8(text: str) -> bool:
    """
    Return whether *text* has no lone surrogates.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _problem(key: str, parts: Sequence[str]) -> str | None:
    if not key:
        return "it is empty"
    if not is_utf8(key):
        return "it is not UTF-8"
    if key.startswith("/"):
        return "it is absolute"
    if "\0" in key:
        return "it contains NUL"
    if "" in parts:
        return "it has an empty segment"
    if "." in parts or ".." in parts:
        return "it has the segment . or .."
    if any(len(part.encode()) > _MAX_NAME for part in parts if len(part) > _MAX_NAME // 4):
        return f"it has a segment longer than {_MAX_NAME} bytes"
    return None


def _windows_problem(key: str, parts: Sequence[str]) -> str | None:
    if re.match(r"[A-Za-z]:", key):
        return "it starts with a drive letter"
    if found := _WINDOWS_CHARACTERS.search(key):
        return f"Windows does not allow {found.group()!r} in file names"
    for part in parts:
        if _WINDOWS_DEVICE.match(part):
            return f"{part!r} is the name of a device on Windows"
        if part.endswith((".", " ")):
            return f"Windows drops the last character of {part!r}"
    return None

"""
Modification times of files, kept in the metadata of objects as rclone keeps them.

The key is ``mtime`` everywhere. rclone writes seconds since the epoch on S3 and OCI, and RFC 3339 on Azure and
GCS, both with nanoseconds, and reads only what it writes; gsutil writes whole seconds as ``goog-reserved-file-mtime``.
All of them are read from every provider.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from asyncstore.types import ObjectInfo

KEY: Final = "mtime"

_GSUTIL: Final = "goog-reserved-file-mtime"
_NANO: Final = 1_000_000_000
_DATED: Final = frozenset({"azure", "gcs"})

# What files and datetime can have: the years 1 to 9999.
_EARLIEST: Final = -62_135_596_800
_LATEST: Final = 253_402_300_799

_SECONDS: Final = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]+))?", re.ASCII)
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)


def encoded(nanoseconds: int, provider: str) -> str:
    """
    Return the value that rclone writes for *provider*.

    Args:
        nanoseconds: Since the epoch.
    """
    seconds, rest = divmod(nanoseconds, _NANO)
    if provider in _DATED and _EARLIEST <= seconds <= _LATEST:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09}Z".rjust(30, "0")
    seconds, rest = divmod(abs(nanoseconds), _NANO)
    return f"{'-' if nanoseconds < 0 else ''}{seconds}.{rest:09}"


def decoded(metadata: Mapping[str, str]) -> int | None:
    """
    Return the time in *metadata*, in nanoseconds since the epoch; ``None`` if there is none, or it is no time.
    """
    for key in (KEY, _GSUTIL):
        if (value := metadata.get(key)) is not None and (found := _parsed(value.strip())) is not None:
            return found
    return None


def _parsed(text: str) -> int | None:
    if match := _SECONDS.fullmatch(text):
        sign, whole, fraction = match.groups()
        nanoseconds = (int(whole) * _NANO + _fraction(fraction)) * (-1 if sign else 1)
    elif match := _RFC3339.fullmatch(text):
        day, hours, fraction, sign, hour, minute = match.groups()
        zone = timedelta(hours=int(hour or 0), minutes=int(minute or 0)) * (-1 if sign == "-" else 1)
        try:
            moment = datetime.fromisoformat(f"{day}T{hours}").replace(tzinfo=timezone(zone))
        except ValueError:
            return None
        nanoseconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * _NANO + _fraction(fraction)
    else:
        return None
    return nanoseconds if _EARLIEST <= nanoseconds // _NANO <= _LATEST else None


def _fraction(digits: str | None) -> int:
    return int((digits or "0")[:9].ljust(9, "0"))


def written(info: ObjectInfo) -> int | None:
    """
    Return when an object was written, in nanoseconds since the epoch, if that is known.
    """
    return None if info.last_modified is None else round(info.last_modified.timestamp() * 1_000_000) * 1000


def modified(info: ObjectInfo) -> int | None:
    """
    Return the modification time of the file that *info* was made from, else when it was written.
    """
    kept = decoded(getattr(info, "metadata", {}))
    return written(info) if kept is None else kept


def of_file(path: Path) -> int:
    """
    Return the modification time of a file, in nanoseconds since the epoch.
    """
    return path.stat().st_mtime_ns


def set_mtime(path: Path, nanoseconds: int | None) -> None:
    """
    Give a file a modification time, if that is known and the file system allows it.
    """
    if nanoseconds is not None:
        with suppress(OSError, OverflowError):
            os.utime(path, ns=(nanoseconds, nanoseconds))

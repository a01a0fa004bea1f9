"""
One range of bytes, as in https://www.rfc-editor.org/rfc/rfc7233#section-2.1
"""

from __future__ import annotations

import re
from typing import Final

from asyncstore.testing.servers.oci.errors import ServiceError

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """
    Return where to start and stop (not included); ``None`` if no range is asked for.

    Raises:
        ServiceError: 416 if no byte is in the range, 400 if there is more than one.
    """
    if header is None:
        return None
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        raise ServiceError(400, "InvalidRange", f"'{header}' is not a range of bytes; only a single one is supported")
    first, last = found.groups()
    if first and last and int(last) < int(first):
        raise ServiceError(400, "InvalidRange", f"'{header}' ends before it starts")
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise ServiceError(416, "InvalidRange", "No byte is in the range", {"Content-Range": f"bytes */{size}"})
    return start, stop

"""
Until when an object is protected from being deleted or replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from asyncstore._support.argument_types import check_field_types

#: ``governance``: those with a special permission can shorten or remove it; ``compliance``: nobody can.
RetentionMode = Literal["governance", "compliance"]


@dataclass(frozen=True, slots=True)
class Retention:
    """
    An object cannot be deleted or replaced until a moment.

    The object lock of S3, the retention of an object on GCS, the immutability policy of a blob on Azure.

    Attributes:
        until: The moment at which it ends, with a time zone. S3 and Azure count in seconds.
        mode: ``governance`` (GCS and Azure: unlocked) can be shortened or removed by those with the permission to;
            ``compliance`` (locked) can only be extended, by nobody be shortened.
    """

    until: datetime
    mode: RetentionMode = "governance"

    def __post_init__(self) -> None:
        check_field_types(self)
        if self.until.tzinfo is None:
            raise ValueError("until must have a time zone, such as datetime.now(UTC) + timedelta(days=30)")

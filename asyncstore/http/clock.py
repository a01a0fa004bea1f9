"""
The server's clock, learned from its replies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

#: Seconds by which two clocks may differ before the difference counts as clock skew. The providers
#: allow 5 to 15 minutes: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
TOLERANCE: Final = 60.0


class ServerClock:
    """
    Returns the server's time, which signatures and tokens are checked against.

    Attributes:
        offset: Seconds by which the server's clock is ahead of this machine's.
    """

    __slots__ = ("_noted", "_wall_clock", "offset")

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self.offset = 0.0
        self._noted: tuple[Mapping[str, str], float] | None = None
        self._wall_clock = wall_clock

    def now(self) -> float:
        """
        Return the server's time in seconds since the epoch.
        """
        return self._wall_clock() + self.offset

    def note(self, headers: Mapping[str, str]) -> None:
        """
        Note the ``Date`` of a reply that has just arrived, for :meth:`precise`.
        """
        # Parsed only when needed: most dates never are.
        self._noted = headers, self._wall_clock()

    def precise(self) -> float:
        """
        Return the server's time to the second, by the last date that was noted; without one as :meth:`now`.

        Signatures do not need this: an offset that changed with each reply would only cost signing keys.
        """
        if self._noted is None:
            return self.now()
        headers, arrived = self._noted
        offset = server_offset(headers, lambda: arrived)
        return self.now() if offset is None else self._wall_clock() + offset

    def learn(self, headers: Mapping[str, str]) -> bool:
        """
        Set the clock from a reply's ``Date`` header; return whether that changed the offset.

        A missing or invalid date, or one that agrees within :data:`TOLERANCE`, changes nothing.
        """
        offset = server_offset(headers, self._wall_clock)
        if offset is None or abs(offset - self.offset) <= TOLERANCE:
            return False
        self.offset = offset
        return True


def server_offset(headers: Mapping[str, str], wall_clock: Callable[[], float] = time.time) -> float | None:
    """
    Return the seconds by which the sender of *headers* is ahead of this machine; ``None`` without a valid date.
    """
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp() - wall_clock()
    except (ValueError, OverflowError):
        return None

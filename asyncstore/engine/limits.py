"""
Limits of one storage: requests in flight and bytes in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asyncstore.engine.budget import Budget
from asyncstore.engine.request_budget import RequestBudget
from asyncstore.options import MiB

# Two parts of usual size: with less a process would send or receive one at a time.
_LEAST_BYTES: Final = 32 * MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """
    Counts of one storage.

    Attributes:
        requests_in_flight: Requests in flight now.
        requests_allowed: The most that may be in flight now: the number that was found so far. It starts low,
            grows to ``max_requests`` while that helps, and falls when the provider throttles.
        requests_ceiling: The most that it can become: ``max_requests``.
        requests_peak: The most in flight at the same time so far.
        requests_waiting: Requests that wait for a place in the budget.
        bytes_buffered: Bytes reserved for data in transfer now.
        bytes_peak: The most reserved at the same time so far: at most ``max_buffer_bytes``, except for what a
            stream given to ``put()`` reads or writes with the same storage, and for parts that are allowed while all
            other reserved bytes belong to open files or stalled streams.
        requests: Requests sent, including retries.
        retries: Retries.
        throttled: Requests that the provider refused because they were too many (429, or 503 SlowDown).
        hedged: Second requests for ranges whose replies were late; see :attr:`ReadOptions.hedge_after`.
        hedges_won: Those of them that answered first.
    """

    requests_in_flight: int
    requests_allowed: int
    requests_ceiling: int
    requests_peak: int
    requests_waiting: int
    bytes_buffered: int
    bytes_peak: int
    requests: int
    retries: int
    throttled: int
    hedged: int
    hedges_won: int


class Limits:
    """
    The budgets of one storage, shared by all its operations.

    Always reserve bytes before a request, never the other way round: a request in
    flight ends without waiting for bytes, so the two cannot deadlock. An operation that waits
    for a caller's stream holds bytes, but no request.
    """

    def __init__(self, max_requests: int, max_buffer_bytes: int) -> None:
        self.requests = RequestBudget(max_requests)
        self.bytes = Budget(max_buffer_bytes)

    def share(self, processes: int) -> None:
        """
        Keep the part of these limits that belongs to one of so many *processes*, before the first request.
        """
        self.requests.lower(max(1, self.requests.most // processes))
        self.bytes.total = max(min(self.bytes.total, _LEAST_BYTES), self.bytes.total // processes)

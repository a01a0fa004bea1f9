"""
What a stand-in was asked, and which of it fails.

Faults on the wire itself (a reply cut short, stalled or slow) are
:class:`asyncstore.testing.faults_proxy.FaultProxy`'s, in front of any server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Received:
    """
    One request, as its head came.

    Attributes:
        path: With the query, as it came over the wire.
        headers: With lower-case names.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Fault:
    """
    One way to fail, and the requests that it is for.

    Attributes:
        status: Of the reply sent instead; ``None`` sends none and ends the connection.
        headers: Of that reply.
        body: Of that reply.
        method: Only requests of this method.
        path: Only requests in whose path and query this regular expression is found.
        times: How many requests it still meets; ``None`` is all that come.
        after: How many matching requests it still lets pass.
        after_work: The request is carried out first, so that only its reply is lost.
        delay: Seconds before anything happens.
        met: How many requests it has met.
    """

    status: int | None = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    method: str | None = None
    path: str | None = None
    times: int | None = 1
    after: int = 0
    after_work: bool = False
    delay: float = 0.0
    met: int = 0

    def meets(self, request: Received) -> bool:
        """
        Count *request* in, and return whether the fault is for it.
        """
        if self.times == 0 or (self.method is not None and self.method != request.method):
            return False
        if self.path is not None and re.search(self.path, request.path) is None:
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.met += 1
        return True


class Faults:
    """
    All the faults of a server, in the order in which they were given.
    """

    def __init__(self) -> None:
        self._given: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """
        Add *fault* after the others.
        """
        self._given.append(fault)
        return fault

    def meeting(self, request: Received) -> Fault | None:
        """
        Return the first fault that is for *request*.
        """
        return next((fault for fault in self._given if fault.meets(request)), None)

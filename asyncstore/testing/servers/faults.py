"""
The requests that a stand-in server received, and the ones that it makes fail.

For faults on the wire itself (a reply cut short, stalled or slow), put
:class:`asyncstore.testing.faults_proxy.FaultProxy` between client and server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Received:
    """
    The head of one request.

    Attributes:
        path: Path and query, as received.
        headers: Headers, with lower-case names.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Fault:
    """
    A failure, and the requests that it applies to.

    Attributes:
        status: Status of the reply sent instead; ``None`` sends no reply and closes the connection.
        headers: Headers of that reply.
        body: Body of that reply.
        method: Apply only to requests with this method.
        path: Apply only to requests whose path and query match this regular expression anywhere.
        times: How many more requests fail; ``None`` means all.
        after: How many more matching requests succeed first.
        after_work: Carry out the request first, so that only its reply is lost.
        delay: Seconds to wait before anything happens.
        met: How many requests have failed so far.
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

    def applies_to(self, request: Received) -> bool:
        """
        Return whether the fault applies to *request*, and count it.
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
    The faults of a server, in the order in which they were added.
    """

    def __init__(self) -> None:
        self._added: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """
        Add *fault* after the others.
        """
        self._added.append(fault)
        return fault

    def matching(self, request: Received) -> Fault | None:
        """
        Return the first fault that applies to *request*.
        """
        return next((fault for fault in self._added if fault.applies_to(request)), None)

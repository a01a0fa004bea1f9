"""
What can go wrong on the wire, and when it shall.

Offsets count bytes of payload: chunk sizes and trailers are not counted. A fault at an
offset that the body does not reach does not happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus

from asyncstore.testing.http_framing import Head


class Ending(Enum):
    """How the proxy treats the client's connection after a fault."""

    FIN = "closed in good order"
    RST = "reset"
    STALL = "held open, silent, until the client closes it"


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """
    What happens to one body on its way.

    Attributes:
        stop_after: Pass on this much and no more.
        flip_at: Invert the bits of the byte at this offset.
        bytes_per_second: Pass on no faster than this.
    """

    stop_after: int | None = None
    flip_at: int | None = None
    bytes_per_second: float | None = None

    def apply(self, payload: bytes, offset: int) -> bytes:
        """Return what is passed on of *payload*, which begins at *offset*."""
        if self.flip_at is not None and 0 <= (at := self.flip_at - offset) < len(payload):
            payload = payload[:at] + bytes([payload[at] ^ 0xFF]) + payload[at + 1 :]
        return payload if self.stop_after is None else payload[: self.stop_after - offset]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong. By itself it does nothing, which can be used to count."""

    @property
    def request_plan(self) -> BodyPlan:
        return BodyPlan()

    @property
    def reply_plan(self) -> BodyPlan:
        return BodyPlan()

    @property
    def ending(self) -> Ending:
        """What follows when a body has been stopped."""
        return Ending.STALL


@dataclass(frozen=True, slots=True)
class RefuseConnection(Fault):
    """
    Reset a new connection before reading from it.

    The client's connect may succeed first; `FaultProxy.refusing` closes the port.
    """


@dataclass(frozen=True, slots=True)
class ResetBeforeForwarding(Fault):
    """Read the request's head, forward nothing, reset the connection."""


@dataclass(frozen=True, slots=True)
class LoseReply(Fault):
    """Forward the request, wait for all of the reply, and end the connection: done, but unanswered."""

    how: Ending = Ending.RST

    @property
    def ending(self) -> Ending:
        return self.how


@dataclass(frozen=True, slots=True)
class CutReply(Fault):
    """End the connection after so many bytes of the reply's body."""

    after: int
    how: Ending = Ending.FIN

    @property
    def reply_plan(self) -> BodyPlan:
        return BodyPlan(stop_after=self.after)

    @property
    def ending(self) -> Ending:
        return self.how


@dataclass(frozen=True, slots=True)
class StallReply(Fault):
    """Fall silent after so many bytes of the reply's body, or before its head if *after* is None."""

    after: int | None = None

    @property
    def reply_plan(self) -> BodyPlan:
        return BodyPlan(stop_after=self.after)


@dataclass(frozen=True, slots=True)
class StallRequest(Fault):
    """
    Stop reading and forwarding the request's body after so many bytes.

    Kernels take some hundreds of kilobytes more before the client's writes block. A
    client that goes away is noticed only when the proxy or the upstream closes: what
    is left unread hides its going.
    """

    after: int

    @property
    def request_plan(self) -> BodyPlan:
        return BodyPlan(stop_after=self.after)


@dataclass(frozen=True, slots=True)
class DelayReply(Fault):
    """Hold the reply's first byte back, in seconds; the upstream has already acted."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SlowReply(Fault):
    """Send the reply's body at so many bytes a second."""

    bytes_per_second: float

    @property
    def reply_plan(self) -> BodyPlan:
        return BodyPlan(bytes_per_second=self.bytes_per_second)


@dataclass(frozen=True, slots=True)
class CorruptReply(Fault):
    """Change the byte at that offset of the reply's body."""

    at: int

    @property
    def reply_plan(self) -> BodyPlan:
        return BodyPlan(flip_at=self.at)


@dataclass(frozen=True, slots=True)
class CorruptRequest(Fault):
    """Change the byte at that offset of the request's body."""

    at: int

    @property
    def request_plan(self) -> BodyPlan:
        return BodyPlan(flip_at=self.at)


@dataclass(frozen=True, slots=True)
class CannedReply(Fault):
    """
    Answer in the upstream's place, by default as an overloaded S3 does.

    Attributes:
        code: What the XML error body gives as its `Code`.
        retry_after: Seconds or a date for the header of that name.
        drain: Read the request's body first. If not, the answer comes at once and
            the connection ends: with FIN, then after *linger* seconds with RST.
    """

    status: int = 503
    code: str = "SlowDown"
    retry_after: str | None = None
    drain: bool = True
    linger: float = 1.0

    def render(self, method: str, *, close: bool) -> bytes:
        """Return the reply as it goes over the wire."""
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{self.code}</Code></Error>'.encode()
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "Content-Type: application/xml",
            f"Content-Length: {len(body)}",
        ]
        if self.retry_after is not None:
            lines.append(f"Retry-After: {self.retry_after}")
        if close:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode()
        return head if method == "HEAD" else head + body


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """
    Which requests a fault is for.

    Attributes:
        method: Any, if None.
        target: Must occur in the target as sent: path and query, percent-encoded.
        nth: The first one, from 1, of those that match.
    """

    method: str | None = None
    target: str = ""
    nth: int = 1

    def matches(self, method: str, target: str) -> bool:
        return self.method in (None, method) and self.target in target


@dataclass(slots=True)
class RequestRecord:
    """
    One request as it came over the wire.

    Attributes:
        number: In order of arrival, from 1.
        connection: The number of the connection it came on, from 1.
        target: Path and query as sent.
        body_length: Bytes of payload read so far; it grows.
        status: Of the reply, once there is one: the upstream's or a canned one.
        fault: What was done to it.
    """

    number: int
    connection: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body_length: int = 0
    status: int | None = None
    fault: Fault | None = None

    @classmethod
    def of(cls, head: Head, *, number: int, connection: int) -> RequestRecord:
        return cls(number, connection, head.start[0], head.start[1], head.headers)

    def header(self, name: str) -> str | None:
        """Return the first header of that name, in whatever case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def count(self, size: int) -> None:
        self.body_length += size


@dataclass(slots=True)
class Rule:
    """
    A fault, whom it is for and how often; `fired` counts how often it was.
    """

    fault: Fault
    when: When = field(default_factory=When)
    times: int | None = 1
    matched: int = 0
    fired: int = 0

    def wants(self, method: str, target: str) -> bool:
        """Count a request if it matches, and return whether the fault is for it."""
        if not self.when.matches(method, target):
            return False
        self.matched += 1
        return self.matched >= self.when.nth and (self.times is None or self.fired < self.times)


class Rules:
    """
    Rules in the order they were added: each counts all that match it, the first that applies is used.
    """

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        self._rules.append(rule)

    def clear(self) -> None:
        self._rules.clear()

    def for_connection(self) -> Fault | None:
        """Return the fault for a connection just accepted."""
        return self._choose([rule for rule in self._rules if isinstance(rule.fault, RefuseConnection)], "", "")

    def for_request(self, method: str, target: str) -> Fault | None:
        """Return the fault for a request just received."""
        rules = [rule for rule in self._rules if not isinstance(rule.fault, RefuseConnection)]
        return self._choose(rules, method, target)

    def _choose(self, rules: list[Rule], method: str, target: str) -> Fault | None:
        willing = [rule for rule in rules if rule.wants(method, target)]
        if not willing:
            return None
        willing[0].fired += 1
        return willing[0].fault

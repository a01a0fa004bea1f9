"""
Network faults, and the rules that select requests for them.

Offsets count bytes of payload, without chunk sizes and trailers. A fault at an offset
beyond the end of the body does not happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus

from asyncstore.testing.http_framing import Head


class Ending(Enum):
    """How the proxy treats the client's connection after a fault."""

    FIN = "closed normally"
    RST = "reset"
    STALL = "held open without a reply until the client closes it"


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """
    What the proxy does to one body.

    Attributes:
        stop_after: Forward only this many bytes.
        flip_at: Invert the bits of the byte at this offset.
        bytes_per_second: Forward no faster than this.
    """

    stop_after: int | None = None
    flip_at: int | None = None
    bytes_per_second: float | None = None

    def apply(self, payload: bytes, offset: int) -> bytes:
        """Return the bytes to forward of *payload*, which starts at *offset*."""
        if self.flip_at is not None and 0 <= (at := self.flip_at - offset) < len(payload):
            payload = payload[:at] + bytes([payload[at] ^ 0xFF]) + payload[at + 1 :]
        return payload if self.stop_after is None else payload[: self.stop_after - offset]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. The base class does nothing, and is useful for counting requests."""

    @property
    def request_plan(self) -> BodyPlan:
        return BodyPlan()

    @property
    def reply_plan(self) -> BodyPlan:
        return BodyPlan()

    @property
    def ending(self) -> Ending:
        """How the connection ends after a body was stopped."""
        return Ending.STALL


@dataclass(frozen=True, slots=True)
class RefuseConnection(Fault):
    """
    Reset a new connection before reading from it.

    The client's connect can succeed first; `FaultProxy.refusing` closes the port.
    """


@dataclass(frozen=True, slots=True)
class ResetBeforeForwarding(Fault):
    """Read the request's head, forward nothing, and reset the connection."""


@dataclass(frozen=True, slots=True)
class LoseReply(Fault):
    """Forward the request, read the whole reply, and end the connection without returning it."""

    how: Ending = Ending.RST

    @property
    def ending(self) -> Ending:
        return self.how


@dataclass(frozen=True, slots=True)
class CutReply(Fault):
    """End the connection after *after* bytes of the reply's body."""

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
    """Stop sending after *after* bytes of the reply's body, or before its head if *after* is None."""

    after: int | None = None

    @property
    def reply_plan(self) -> BodyPlan:
        return BodyPlan(stop_after=self.after)


@dataclass(frozen=True, slots=True)
class StallRequest(Fault):
    """
    Stop reading and forwarding the request's body after *after* bytes.

    The kernels buffer some hundred kilobytes more before the client's writes block. The
    proxy does not notice that the client closes, because of the unread bytes, until the
    proxy or the upstream closes.
    """

    after: int

    @property
    def request_plan(self) -> BodyPlan:
        return BodyPlan(stop_after=self.after)


@dataclass(frozen=True, slots=True)
class DelayReply(Fault):
    """Delay the reply's first byte by *seconds*; the upstream has already handled the request."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SlowReply(Fault):
    """Send the reply's body at *bytes_per_second*."""

    bytes_per_second: float

    @property
    def reply_plan(self) -> BodyPlan:
        return BodyPlan(bytes_per_second=self.bytes_per_second)


@dataclass(frozen=True, slots=True)
class CorruptReply(Fault):
    """Invert the byte at offset *at* of the reply's body."""

    at: int

    @property
    def reply_plan(self) -> BodyPlan:
        return BodyPlan(flip_at=self.at)


@dataclass(frozen=True, slots=True)
class CorruptRequest(Fault):
    """Invert the byte at offset *at* of the request's body."""

    at: int

    @property
    def request_plan(self) -> BodyPlan:
        return BodyPlan(flip_at=self.at)


@dataclass(frozen=True, slots=True)
class CannedReply(Fault):
    """
    Reply in place of the upstream; the default is the reply of an overloaded S3.

    Attributes:
        code: The `Code` of the XML error body, where there is no *body*.
        retry_after: The value of the Retry-After header: seconds or a date.
        drain: Read the request's body first. If False, reply at once and end the
            connection: with FIN, then after *linger* seconds with RST.
        body: The body instead of XML, for providers with errors of another form.
        content_type: The Content-Type of *body*.
    """

    status: int = 503
    code: str = "SlowDown"
    retry_after: str | None = None
    drain: bool = True
    linger: float = 1.0
    body: bytes | None = None
    content_type: str = "application/xml"

    def render(self, method: str, *, close: bool) -> bytes:
        """Return the reply as sent over the wire."""
        body = self.body
        if body is None:
            body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{self.code}</Code></Error>'.encode()
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Content-Type: {self.content_type}",
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
    Which requests a fault applies to.

    Attributes:
        method: The request's method; None for any.
        target: A part of the target as sent: path and query, percent-encoded.
        nth: Start with the nth matching request, counted from 1.
    """

    method: str | None = None
    target: str = ""
    nth: int = 1

    def matches(self, method: str, target: str) -> bool:
        return self.method in (None, method) and self.target in target


@dataclass(slots=True)
class RequestRecord:
    """
    One request as received from the client.

    Attributes:
        number: The order of arrival, from 1.
        connection: The number of the connection, from 1.
        target: Path and query as sent.
        body_length: Bytes of payload read so far.
        status: The status of the reply, from the upstream or canned, once there is one.
        fault: The fault that was applied to the request.
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
        """Return the first header called *name*, ignoring case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def count(self, size: int) -> None:
        self.body_length += size


@dataclass(slots=True)
class Rule:
    """
    A fault, the requests that it applies to, and how often.

    Attributes:
        matched: Requests that matched *when* so far.
        fired: How often the fault was applied so far.
    """

    fault: Fault
    when: When = field(default_factory=When)
    times: int | None = 1
    matched: int = 0
    fired: int = 0

    def applies(self, method: str, target: str) -> bool:
        """Count a request if it matches, and return whether the fault applies to it."""
        if not self.when.matches(method, target):
            return False
        self.matched += 1
        return self.matched >= self.when.nth and (self.times is None or self.fired < self.times)


class Rules:
    """
    Rules in the order in which they were added.

    Every rule counts all requests that match it; the first one that applies is used.
    """

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        self._rules.append(rule)

    def clear(self) -> None:
        self._rules.clear()

    def for_connection(self) -> Fault | None:
        """Return the fault for a new connection."""
        return self._choose([rule for rule in self._rules if isinstance(rule.fault, RefuseConnection)], "", "")

    def for_request(self, method: str, target: str) -> Fault | None:
        """Return the fault for a new request."""
        rules = [rule for rule in self._rules if not isinstance(rule.fault, RefuseConnection)]
        return self._choose(rules, method, target)

    def _choose(self, rules: list[Rule], method: str, target: str) -> Fault | None:
        applicable = [rule for rule in rules if rule.applies(method, target)]
        if not applicable:
            return None
        applicable[0].fired += 1
        return applicable[0].fault

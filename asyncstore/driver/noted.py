"""
The HTTP requests of a driver's call, noted for observers.

Nothing is noted unless somebody listens: the storage then sets :data:`NOTED` for the call.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedRequest:
    """
    One HTTP request as it was sent.

    Attributes:
        method: Such as ``"GET"``.
        url: Without the query, which can have a signature, and with known secrets of its path as ``***``.
        host: The server's name.
        port: The server's port.
        status: Of the reply; ``None`` without one.
        error: What ended the request without a reply, such as a broken connection or a cancellation.
        started: When it was sent, in nanoseconds since the epoch.
        seconds: Until the head of the reply had arrived.
        sent: Bytes of the body.
        received: Bytes of the body of the reply, if its head says so.
    """

    method: str
    url: str
    host: str
    port: int
    status: int | None
    error: BaseException | None
    started: int
    seconds: float
    sent: int
    received: int | None


#: Where the requests of the call under way are noted; ``None`` if nobody listens.
NOTED: Final[ContextVar[list[NotedRequest] | None]] = ContextVar("asyncstore_noted_requests", default=None)

"""
Which fault meets which call: rules in the order in which a test gave them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from asyncstore.uri import ObjectURI

#: Carries a call out; a fault decides whether, when and how often.
Send = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """
    One call of a driver, for a test to choose among.

    Attributes:
        op: The driver's method, or ``"read"`` and ``"write"`` for the bytes of a body.
        uri: The object, or the target of a copy, or the prefix of a listing.
        source: What a copy reads.
        number: Of a part.
    """

    op: str
    uri: ObjectURI
    source: ObjectURI | None = None
    number: int | None = None


@dataclass(slots=True)
class Rule:
    """
    One fault, and the calls that it is for.

    Attributes:
        op: Calls of this name.
        times: How many calls it still meets; ``None`` is all that come.
        after: How many matching calls it still lets pass.
        where: Only calls for which this is true.
        act: What happens around a call.
        mangle: What happens to the bytes of a body instead: ``"corrupt"`` or ``"truncate"``.
        limit: Bytes that a truncated body still has.
    """

    op: str
    times: int | None = 1
    after: int = 0
    where: Callable[[Call], bool] | None = None
    act: Callable[[Send], Awaitable[Any]] | None = None
    mangle: str | None = None
    limit: int = 0

    def meets(self, call: Call) -> bool:
        """
        Count *call* in, and return whether the fault is for it.
        """
        if self.times == 0 or self.op != call.op or (self.where is not None and not self.where(call)):
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass(slots=True)
class Rules:
    """
    All the faults of a driver.
    """

    given: list[Rule] = field(default_factory=list)

    def around(self, call: Call) -> Callable[[Send], Awaitable[Any]] | None:
        """
        Return what happens around *call*; ``None`` is nothing.
        """
        return next((rule.act for rule in self.given if rule.act is not None and rule.meets(call)), None)

    def mangling(self, call: Call) -> Rule | None:
        """
        Return the rule for the bytes of the body of *call*, if there is one.
        """
        return next((rule for rule in self.given if rule.mangle is not None and rule.meets(call)), None)

    def concern(self, op: str) -> bool:
        """
        Whether any rule is left for *op*.
        """
        return any(rule.op == op and rule.times != 0 for rule in self.given)


class Hang:
    """
    A place where calls stand still until they are cancelled or released.

    Attributes:
        waiting: Calls that stand there now.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self) -> None:
        """
        Return once the first call has come here.
        """
        await self._reached.wait()

    def release(self) -> None:
        """
        Let all calls go on, those to come as well.
        """
        self._released.set()

    async def wait(self) -> None:
        """
        Stand still; for the driver.
        """
        self.waiting += 1
        self._reached.set()
        try:
            await self._released.wait()
        finally:
            self.waiting -= 1

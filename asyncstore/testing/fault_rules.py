"""
The rules that select the fault of a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from asyncstore.uri import ObjectURI

#: Makes the call; a fault decides whether and when.
Send = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """
    One call of a driver, as passed to the *where* of a fault.

    Attributes:
        op: The driver's method, or ``"read"`` and ``"write"`` for the bytes of a body.
        uri: The object, the target of a copy, or the prefix of a listing.
        source: The source of a copy.
        number: The number of a part.
    """

    op: str
    uri: ObjectURI
    source: ObjectURI | None = None
    number: int | None = None


@dataclass(slots=True)
class Rule:
    """
    One fault, and the calls that it applies to.

    Attributes:
        op: The operation.
        times: How many more calls it applies to; ``None`` for all.
        after: How many more matching calls it lets pass first.
        where: Returns true for the calls that it applies to; ``None`` for all.
        act: Runs in place of the call.
        alter: What happens to the bytes of the body instead: ``"corrupt"`` or ``"truncate"``.
        limit: The bytes before a truncated body breaks.
    """

    op: str
    times: int | None = 1
    after: int = 0
    where: Callable[[Call], bool] | None = None
    act: Callable[[Send], Awaitable[Any]] | None = None
    alter: str | None = None
    limit: int = 0

    def applies(self, call: Call) -> bool:
        """
        Count *call* if it matches, and return whether the fault applies to it.
        """
        if self.times == 0 or self.op != call.op or (self.where is not None and not self.where(call)):
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Rules:
    """
    The rules of a driver, in the order in which they were added.
    """

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        self._rules.append(rule)

    def clear(self) -> None:
        self._rules.clear()

    def action_for(self, call: Call) -> Callable[[Send], Awaitable[Any]] | None:
        """
        Return what runs in place of *call*; ``None`` for the call itself.
        """
        return next((rule.act for rule in self._rules if rule.act is not None and rule.applies(call)), None)

    def alteration_for(self, call: Call) -> Rule | None:
        """
        Return the rule that alters the bytes of the body of *call*, if any.
        """
        return next((rule for rule in self._rules if rule.alter is not None and rule.applies(call)), None)

    def has_rule_for(self, op: str) -> bool:
        """
        Return whether a rule for *op* still applies to calls to come.
        """
        return any(rule.op == op and rule.times != 0 for rule in self._rules)


class Hang:
    """
    A point at which calls hang until they are cancelled or released.

    Attributes:
        waiting: The number of calls that hang there now.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self) -> None:
        """
        Wait until the first call hangs here.
        """
        await self._reached.wait()

    def release(self) -> None:
        """
        Let all calls continue, those to come as well.
        """
        self._released.set()

    async def wait(self) -> None:
        """
        Hang here; called by the driver.
        """
        self.waiting += 1
        self._reached.set()
        try:
            await self._released.wait()
        finally:
            self.waiting -= 1

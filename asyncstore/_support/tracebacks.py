"""
Errors that are kept without the memory of the calls that raised them.
"""

from __future__ import annotations


def without_frames(error: BaseException) -> None:
    """
    Drop the tracebacks of *error*, its causes and its contexts.

    A traceback keeps every frame that the error passed through, and with them their local variables: the
    bytes that were being sent, for instance. Drop them from errors that are collected.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        current = left.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = None
        left += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            left += current.exceptions

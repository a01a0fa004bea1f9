"""
Secrets as they are given: text, a :class:`Secret`, or a function that returns one.
"""

from __future__ import annotations

import inspect
from typing import Any

import anyio.to_thread

from asyncstore.auth.tokens import Secret
from asyncstore.errors import ConfigurationError


async def secret_text(name: str, value: Any) -> str | None:
    """
    Return the text of a secret, called for if it is a function; a plain one in a thread.

    Raises:
        ConfigurationError: It is none of these, or the function returns none of these.
    """
    if inspect.iscoroutinefunction(value):
        value = await value()
    elif callable(value):
        # It can wait for a person: whoever gives up is not held.
        value = await anyio.to_thread.run_sync(value, abandon_on_cancel=True)
        value = await value if inspect.isawaitable(value) else value
    if isinstance(value, Secret):
        value = value.reveal()
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} is text, a Secret or a function that returns one, not {type(value).__name__}")
    return value

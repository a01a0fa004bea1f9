"""
Keys from a program that prints them.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from asyncstore.auth.aws_document import KeyGrant, grant_of
from asyncstore.auth.method import Given
from asyncstore.auth.program import command_of, run_program
from asyncstore.errors import ConfigurationError, UnauthenticatedError

#: Seconds for the program, if nothing else is set.
TIMEOUT: Final = 50.0

_GIVER: Final = "credential_process"


class CredentialProcess:
    """
    Runs a program, without a shell. What it writes to stderr is thrown away: it may be secret.

    Raises:
        ConfigurationError: There is no program, or the time is none.
    """

    def __init__(self, given: Given) -> None:
        self._command = _command(given.get("credential_process"))
        self._timeout = _seconds(given.get("process_timeout"))

    async def fetch(self) -> KeyGrant:
        """
        Return the keys that the program prints.
        """
        ended = await run_program(self._command, name=_GIVER, timeout=self._timeout)
        if ended.code != 0:
            raise UnauthenticatedError(f"{_GIVER} ended with {ended.code}")
        return _grant(ended.output)


def _grant(output: bytes) -> KeyGrant:
    try:
        document = json.loads(output)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnauthenticatedError(f"{_GIVER} printed no valid JSON document")
    if document.get("Version") != 1:
        raise UnauthenticatedError(f"{_GIVER} printed a document of another Version than 1")
    return grant_of(document, _GIVER)


def _command(value: Any) -> Sequence[str]:
    command = command_of(value)
    if not command:
        raise ConfigurationError("credential_process is a program with its arguments, as a list or as text")
    return command


def _seconds(value: Any) -> float:
    try:
        seconds = TIMEOUT if value is None else float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds <= TIMEOUT:
        raise ConfigurationError(f"process_timeout is a number of seconds up to {TIMEOUT:g}, not {value!r}")
    return seconds

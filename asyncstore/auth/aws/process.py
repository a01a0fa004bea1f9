"""
Keys from a program that prints them.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

from __future__ import annotations

import json
from typing import Final

from asyncstore.auth.aws.document import KeyGrant, grant_of
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.program import MAX_TIMEOUT, command_of, run_program, timeout_of
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_NAME: Final = "credential_process"


class CredentialProcess:
    """
    Runs a program without a shell. Its standard error, which may be secret, is discarded.

    Raises:
        ConfigurationError: The program or the timeout is missing or not valid.
    """

    def __init__(self, settings: MethodSettings) -> None:
        self._command = command_of(settings.get("credential_process"))
        if not self._command:
            raise ConfigurationError("credential_process is a program with its arguments, as a list or as text")
        self._timeout = timeout_of(settings.get("process_timeout"), MAX_TIMEOUT)

    async def fetch(self) -> KeyGrant:
        """
        Return the keys that the program prints.

        Raises:
            UnauthenticatedError: It failed, or its output is not valid.
            UnavailableError: It did not exit in time.
        """
        result = await run_program(self._command, name=_NAME, timeout=self._timeout)
        if result.code != 0:
            raise UnauthenticatedError(f"{_NAME} exited with code {result.code}")
        return _grant(result.output)


def _grant(output: bytes) -> KeyGrant:
    try:
        document = json.loads(output)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UnauthenticatedError(f"{_NAME} did not print a JSON document")
    if document.get("Version") != 1:
        raise UnauthenticatedError(f"{_NAME} printed a document whose Version is not 1")
    return grant_of(document, _NAME)

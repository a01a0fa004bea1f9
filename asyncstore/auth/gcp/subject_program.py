"""
Subject tokens from an executable, which must be enabled by an environment variable.

https://google.aip.dev/auth/4117#determining-the-subject-token-in-executable-sourced-credentials
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from asyncstore._support.redact import redact
from asyncstore._support.threads import in_thread
from asyncstore.auth.gcp.subject import SubjectToken
from asyncstore.auth.key_files import read_key_file
from asyncstore.auth.program import command_of, run_program
from asyncstore.errors import ConfigurationError, UnauthenticatedError

#: Without this variable a credentials file could run any program.
ALLOW: Final = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"

_NAME: Final = "the executable of the credential_source"
_VERSION: Final = 1
_DEFAULT_MILLIS: Final = 30_000
_MILLIS: Final = range(5_000, 120_001)
_FIELDS: Final = {
    "urn:ietf:params:oauth:token-type:jwt": "id_token",
    "urn:ietf:params:oauth:token-type:id_token": "id_token",
    "urn:ietf:params:oauth:token-type:saml2": "saml_response",
}


class ProgramToken(SubjectToken):
    """
    Runs a program without a shell, unless its output file has a token that has not expired.

    Args:
        described: The ``executable`` of a ``credential_source``.
        variables: Environment variables to add for the program.

    Raises:
        ConfigurationError: The command is missing, or the timeout is not between 5 and 120 seconds.
    """

    def __init__(self, described: Any, variables: Mapping[str, str]) -> None:
        table = described if isinstance(described, Mapping) else {}
        command = table.get("command")
        self._command = command_of(command) if isinstance(command, str) else []
        if not self._command:
            raise ConfigurationError("the executable of a credential_source needs a command, as text")
        millis = table.get("timeout_millis", _DEFAULT_MILLIS)
        if not isinstance(millis, int) or millis not in _MILLIS:
            raise ConfigurationError(f"timeout_millis must be {_MILLIS.start} to {_MILLIS.stop - 1}, not {millis!r}")
        self._timeout = millis / 1000
        self._file = table.get("output_file")
        self._variables = {
            **variables,
            "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE": "0",
            "GOOGLE_EXTERNAL_ACCOUNT_REVOKE": "0",
        }
        if self._file:
            self._variables["GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE"] = str(self._file)

    async def fetch(self, clock_offset: float) -> str:
        if os.environ.get(ALLOW) != "1":
            raise ConfigurationError(f"{_NAME} runs only if the variable {ALLOW} is set to 1")
        cached = await in_thread(_cached, Path(str(self._file))) if self._file else None
        return _token(cached or await self._run())

    async def _run(self) -> Mapping[str, Any]:
        ended = await run_program(self._command, name=_NAME, timeout=self._timeout, environment=self._variables)
        if ended.code != 0:
            raise UnauthenticatedError(f"{_NAME} exited with status {ended.code}", provider="gcs")
        output = ended.output
        if not output.strip() and self._file:
            output = await in_thread(read_key_file, str(self._file), "output_file of the executable")
        document = _object(output)
        if document is None:
            raise UnauthenticatedError(f"the output of {_NAME} is not a JSON object", provider="gcs")
        return document


def _cached(file: Path) -> Mapping[str, Any] | None:
    try:
        document = _object(read_key_file(file, "output_file of the executable"))
    except ConfigurationError:
        # The program has not written it yet.
        return None
    if document is None or document.get("success") is not True:
        return None
    end = document.get("expiration_time")
    return document if isinstance(end, int | float) and end > time.time() else None


def _object(text: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _token(document: Mapping[str, Any]) -> str:
    version = document.get("version")
    if not isinstance(version, int) or version > _VERSION:
        raise UnauthenticatedError(f"{_NAME} returned another version than {_VERSION}", provider="gcs")
    if document.get("success") is not True:
        code, message = (redact(document.get(name) or "")[:200] for name in ("code", "message"))
        raise UnauthenticatedError(f"{_NAME} returned no token: {code} {message}".rstrip(), provider="gcs")
    end = document.get("expiration_time")
    if isinstance(end, int | float) and end <= time.time():
        raise UnauthenticatedError(f"{_NAME} returned an expired token", provider="gcs")
    kind = document.get("token_type")
    token = document.get(_FIELDS[kind]) if isinstance(kind, str) and kind in _FIELDS else None
    if not isinstance(token, str) or not token:
        raise UnauthenticatedError(f"{_NAME} returned no token of a known type: {', '.join(_FIELDS)}", provider="gcs")
    return token

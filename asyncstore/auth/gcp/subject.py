"""
Subject tokens of other identity providers: from a setting, a file or a URL.

https://google.aip.dev/auth/4117
"""

from __future__ import annotations

import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from asyncstore._support.threads import in_thread
from asyncstore.auth.gcp.metadata import is_near
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.token_service import MAX_REPLY, TokenService
from asyncstore.auth.tokens import secret_text
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_FORMATS: Final = ("text", "json")


class SubjectToken(ABC):
    """
    A source of subject tokens. It is read for every exchange, because its issuer replaces the token.

    Attributes:
        dated: Whether we create the token, and date it.
    """

    dated: ClassVar[bool] = False

    @abstractmethod
    async def fetch(self, clock_offset: float) -> str:
        """
        Return the current token.

        Args:
            clock_offset: Seconds by which Google's clock is ahead of ours.

        Raises:
            ConfigurationError: Something that it needs is missing.
            UnauthenticatedError: The source has no token.
            UnavailableError: The source could not be reached or failed.
        """

    async def client_tls(self) -> ssl.SSLContext | None:
        """
        Return the TLS context with the workload's own certificate; ``None`` if it has none.
        """
        return None

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """
        Release what it holds; safe to call twice.
        """


@dataclass(frozen=True, slots=True)
class Format:
    """
    The format of a file or reply that contains a token: plain text, or a field of a JSON object.

    Attributes:
        field: Name of the JSON field; ``None`` for plain text.
    """

    field: str | None = None

    @classmethod
    def read(cls, described: Any) -> Format:
        """
        Parse the ``format`` of a ``credential_source``.

        Raises:
            ConfigurationError: It is not valid.
        """
        table = {} if described is None else described
        kind = table.get("type", "text") if isinstance(table, Mapping) else None
        if kind not in _FORMATS:
            raise ConfigurationError(f"the format of a credential_source must have type {' or '.join(_FORMATS)}")
        if kind == "text":
            return cls()
        name = table.get("subject_token_field_name")
        if not isinstance(name, str) or not name:
            raise ConfigurationError("a credential_source with format json needs subject_token_field_name")
        return cls(name)

    def token(self, text: str, place: str) -> str:
        """
        Return the token in *text*, which came from *place*.

        Raises:
            UnauthenticatedError: The field is missing.
        """
        if self.field is None:
            return text
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        found = document.get(self.field) if isinstance(document, dict) else None
        if not isinstance(found, str) or not found:
            raise UnauthenticatedError(f"{place} has no token in the field {self.field!r}", provider="gcs")
        return found


class SettingSubject(SubjectToken):
    """
    A token in the settings, or a function that returns one.
    """

    def __init__(self, value: Any) -> None:
        self._value = value

    async def fetch(self, clock_offset: float) -> str:
        token = await secret_text("subject_token", self._value)
        if not token:
            raise UnauthenticatedError("the function for subject_token returned no token", provider="gcs")
        return token


class FileToken(SubjectToken):
    """
    A file that the cluster or machine keeps up to date.
    """

    def __init__(self, file: str, described: Any = None) -> None:
        self._file = Path(file)
        self._format = Format.read(described)

    async def fetch(self, clock_offset: float) -> str:
        what = "the file of the credential_source"
        text = await in_thread(read_token_file, self._file, what, MAX_REPLY)
        return self._format.token(text, f"{what} {self._file}")


class URLToken(SubjectToken):
    """
    A service that issues tokens, usually on the machine itself.

    It must use TLS unless it is on this machine or a link-local address, which are never
    accessed through a proxy.

    Raises:
        ConfigurationError: The URL, headers or format are not valid.
    """

    def __init__(self, url: str, service: TokenService, headers: Any = None, described: Any = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("the url of a credential_source must be an http or https URL")
        if headers is not None and not isinstance(headers, Mapping):
            raise ConfigurationError("the headers of a credential_source must be a mapping of names to values")
        self._url = url
        self._near = is_near(parts.hostname)
        self._service = service
        self._headers = {str(name): str(value) for name, value in (headers or {}).items()}
        self._format = Format.read(described)

    async def fetch(self, clock_offset: float) -> str:
        answer = await self._service.send("GET", self._url, self._headers, near=self._near)
        if answer.status != 200:
            raise answer.refusal(f"{answer.place} returned no subject token", provider="gcs")
        text = answer.text()
        if not text:
            raise UnauthenticatedError(f"{answer.place} returned an empty subject token", provider="gcs")
        return self._format.token(text, answer.place)

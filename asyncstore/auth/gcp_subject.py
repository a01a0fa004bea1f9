"""
Tokens of somebody else's, which Google takes for its own: from a file, or from an address.

https://google.aip.dev/auth/4117
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from asyncstore.auth.gcp_metadata import is_near
from asyncstore.auth.key_files import read_token_file
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.token_service import MAX_REPLY, TokenService
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from asyncstore.threads import in_thread

_FORMATS: Final = ("text", "json")


class SubjectToken(ABC):
    """
    Where the foreign token comes from; asked again each time, since it is replaced by whoever issues it.

    Attributes:
        dated: Whether it is made by us, and dated by our clock.
    """

    dated: ClassVar[bool] = False

    @abstractmethod
    async def fetch(self, clock_offset: float) -> str:
        """
        Return the token as it is now.

        Args:
            clock_offset: Seconds by which Google's clock is ahead of ours.

        Raises:
            ConfigurationError, UnauthenticatedError, UnavailableError: There is none.
        """

    async def aclose(self) -> None:  # noqa: B027 - most hold nothing
        """
        Give back what it holds; may be called twice.
        """


@dataclass(frozen=True, slots=True)
class Format:
    """
    How a token stands in a file or a reply: alone, or as a field of a JSON object.

    Attributes:
        field: Its name; ``None`` for a token alone.
    """

    field: str | None = None

    @classmethod
    def read(cls, described: Any) -> Format:
        """
        Take it from the ``format`` of a ``credential_source``.

        Raises:
            ConfigurationError: It is none.
        """
        given = {} if described is None else described
        kind = given.get("type", "text") if isinstance(given, Mapping) else None
        if kind not in _FORMATS:
            raise ConfigurationError(f"the format of a credential_source is of type {' or '.join(_FORMATS)}")
        if kind == "text":
            return cls()
        name = given.get("subject_token_field_name")
        if not isinstance(name, str) or not name:
            raise ConfigurationError("a credential_source in the format json has subject_token_field_name")
        return cls(name)

    def token(self, text: str, place: str) -> str:
        """
        Return the token in *text*, which came from *place*.

        Raises:
            UnauthenticatedError: There is none.
        """
        if self.field is None:
            return text
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        found = document.get(self.field) if isinstance(document, dict) else None
        if not isinstance(found, str) or not found:
            raise UnauthenticatedError(f"{place} has no field {self.field!r} with a token", provider="gcs")
        return found


class GivenSubject(SubjectToken):
    """
    A token of the caller's own, or a function that gives one.
    """

    def __init__(self, given: Any) -> None:
        self._given = given

    async def fetch(self, clock_offset: float) -> str:
        token = await secret_text("subject_token", self._given)
        if not token:
            raise UnauthenticatedError("the function that gives subject_token gave none", provider="gcs")
        return token


class FileToken(SubjectToken):
    """
    A file that a cluster or a machine keeps up to date.
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
    A service that gives tokens, most often of the machine itself.

    It is asked over TLS, or on this machine or its link, and then never through a proxy.

    Raises:
        ConfigurationError: The address or the format is none.
    """

    def __init__(self, url: str, service: TokenService, headers: Any = None, described: Any = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("the url of a credential_source is an address with http or https")
        if headers is not None and not isinstance(headers, Mapping):
            raise ConfigurationError("the headers of a credential_source are names with their values")
        self._url = url
        self._near = is_near(parts.hostname)
        self._service = service
        self._headers = {str(name): str(value) for name, value in (headers or {}).items()}
        self._format = Format.read(described)

    async def fetch(self, clock_offset: float) -> str:
        answer = await self._service.send("GET", self._url, self._headers, near=self._near)
        if answer.status != 200:
            kind = UnavailableError if answer.passing else UnauthenticatedError
            raise kind(f"{answer.place} gives no token for Google", provider="gcs", status=answer.status)
        text = answer.text()
        if not text:
            raise UnauthenticatedError(f"{answer.place} gives an empty token for Google", provider="gcs")
        return self._format.token(text, answer.place)

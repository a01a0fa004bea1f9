"""
The base class of Google identities, and the two kinds that send no request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from asyncstore.auth.gcp.goog4 import URLSigner
from asyncstore.auth.tokens import Grant, Secret, secret_text
from asyncstore.errors import UnauthenticatedError

#: https://cloud.google.com/storage/docs/oauth-scopes
SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)

#: Domain of Google's public cloud, as opposed to other universes.
UNIVERSE: Final = "googleapis.com"

#: An access token; ``None`` for anonymous requests.
Token = Secret | None


class Identity(ABC):
    """
    A user or account that requests are made for, and how to obtain its tokens.

    Attributes:
        auth_type: The method's name in the settings.
        source: Where the credentials came from, for people to read.
        account: Email of the service account, if it is one and known.
        quota_project: The project to bill and count quota for, if not the identity's own.
        universe_domain: Domain of the cloud that it belongs to.
    """

    auth_type: str
    source: str
    account: str | None = None
    quota_project: str | None = None
    universe_domain: str = UNIVERSE

    @abstractmethod
    async def fetch(self) -> Grant[Token]:
        """
        Return a new token.

        Raises:
            ConfigurationError: Something that it needs is missing.
            UnauthenticatedError: The service refused to issue a token.
            UnavailableError: The service could not be reached or failed.
        """

    async def signer(self) -> URLSigner | None:
        """
        Return a signer of URLs for this identity; ``None`` if it cannot sign.

        Raises:
            StorageError: A request for details failed.
        """
        return None

    async def region(self) -> str | None:
        """
        Return the region of this machine, if the token service knows it.
        """
        return None

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """
        Release what it holds; safe to call twice.
        """


class Anonymous(Identity):
    """
    No token, for public data and emulators.
    """

    auth_type = "anonymous"
    source = "settings"

    async def fetch(self) -> Grant[Token]:
        return Grant(None)


class SettingToken(Identity):
    """
    A token in the settings, or a function that returns one.
    """

    auth_type = "token"
    source = "settings"

    def __init__(self, value: Any) -> None:
        self._value = value

    async def fetch(self) -> Grant[Token]:
        text = (await secret_text("token", self._value) or "").strip()
        if not text:
            raise UnauthenticatedError("the function for token returned no token", provider="gcs")
        return Grant(checked_token(text, "the token in the settings"))


def checked_token(text: str, what: str) -> Secret:
    """
    Return a token after checking that it can be sent in a header.

    Raises:
        UnauthenticatedError: It has characters that are not valid in a header.
    """
    if not text.isascii() or not text.isprintable():
        raise UnauthenticatedError(f"{what} has characters that are not valid in a header", provider="gcs")
    return Secret(text)


def split_list(value: Any) -> tuple[str, ...]:
    """
    Return the items of a list, or of text separated by spaces or commas.
    """
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    return tuple(str(item) for item in value or ())

"""
What all kinds of Google identities have in common, and the two that ask nobody.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from asyncstore.auth.goog4 import URLSigner
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.errors import UnauthenticatedError

#: https://cloud.google.com/storage/docs/oauth-scopes
SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write",)

#: Google's own cloud, among those that run its software.
UNIVERSE: Final = "googleapis.com"

#: A token that requests carry; ``None`` for requests that stay as they are.
Token = Secret | None


class Identity(ABC):
    """
    Whoever requests speak for, and how to obtain tokens that say so.

    Attributes:
        auth_type: The method's name in the settings.
        source: Where the credentials came from, for people to read.
        account: The address of the service account, if it is one and is known.
        quota_project: The project that use is counted for, where it is not the identity's own.
        universe_domain: The cloud that it belongs to.
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
            ConfigurationError: What it takes is not there.
            UnauthenticatedError, UnavailableError: None was given.
        """

    async def signer(self) -> URLSigner | None:
        """
        Return what signs URLs for this identity, if anything can.

        Raises:
            StorageError: It could not be found out.
        """
        return None

    async def region(self) -> str | None:
        """
        Return where this machine is, if whoever gives the tokens knows.
        """
        return None

    async def aclose(self) -> None:  # noqa: B027 - most hold nothing
        """
        Give back what it holds; may be called twice.
        """


class Anonymous(Identity):
    """
    No token: what is public, and emulators.
    """

    auth_type = "anonymous"
    source = "settings"

    async def fetch(self) -> Grant[Token]:
        return Grant(None)


class GivenToken(Identity):
    """
    A token of the caller's own, or a function that gives one.
    """

    auth_type = "token"
    source = "settings"

    def __init__(self, given: Any) -> None:
        self._given = given

    async def fetch(self) -> Grant[Token]:
        text = (await secret_text("token", self._given) or "").strip()
        if not text:
            raise UnauthenticatedError("the function that gives the token gave none", provider="gcs")
        return Grant(checked_token(text, "the token given"))


def checked_token(text: str, what: str) -> Secret:
    """
    Return a token that can be sent in a header.

    Raises:
        UnauthenticatedError: It has characters that no header takes.
    """
    if not text.isascii() or not text.isprintable():
        raise UnauthenticatedError(f"{what} has characters that no header takes", provider="gcs")
    return Secret(text)


def words_of(value: Any) -> tuple[str, ...]:
    """
    Return texts, given as a list, or as one with spaces or commas between them.
    """
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    return tuple(str(item) for item in value or ())

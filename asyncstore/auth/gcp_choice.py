"""
Which way to find Google's tokens some settings mean; and Google's own order of looking.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from asyncstore.auth.gcp_exchange import TokenExchange
from asyncstore.auth.gcp_key import KeyFile
from asyncstore.auth.gcp_methods import (
    SCOPES,
    Anonymous,
    AuthorizedUser,
    GivenToken,
    MetadataServer,
    Method,
    ServiceAccount,
    Token,
)
from asyncstore.auth.goog4 import URLSigner
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.config import AuthConfig, flag
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from asyncstore.threads import in_thread

#: Settings that :func:`~asyncstore.auth.gcp.gcp_credentials` takes.
SETTINGS: Final = (
    "credentials_file",
    "credentials_json",
    "token",
    "anonymous",
    "scopes",
    "subject",
    "self_signed_jwt",
    "service_account",
    "metadata_host",
    "hmac_access_id",
    "hmac_secret",
)

AUTH_TYPES: Final = ("default", "service_account", "authorized_user", "metadata", "token", "anonymous")

_FILES: Final = ("service_account", "authorized_user")

# What each setting, if it is given, says about the method.
_IMPLIED: Final = {
    "token": "token",
    "credentials_file": "file",
    "credentials_json": "file",
    "service_account": "metadata",
    "metadata_host": "metadata",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What the settings ask for.
    """

    auth_type: str
    settings: Mapping[str, Any] = field(repr=False)
    exchange: TokenExchange

    @property
    def scopes(self) -> tuple[str, ...]:
        given = self.settings.get("scopes")
        if given is None:
            return SCOPES
        return tuple(given.replace(",", " ").split()) if isinstance(given, str) else tuple(map(str, given))


def take_settings(settings: MutableMapping[str, Any]) -> dict[str, Any]:
    """
    Take the names of :data:`SETTINGS` out of *settings*.
    """
    taken = {name: settings.pop(name) for name in SETTINGS if name in settings}
    return {name: value for name, value in taken.items() if value is not None}


def known_settings(auth: AuthConfig) -> dict[str, Any]:
    """
    Return the settings of *auth*, all of which must be known.
    """
    rest = dict(auth.settings)
    known = take_settings(rest)
    if rest:
        raise ConfigurationError(
            f"unknown settings {sorted(rest)} for Google credentials; known are {sorted(SETTINGS)}"
        )
    return known


def choose(auth_type: str, settings: Mapping[str, Any], exchange: TokenExchange) -> Method:
    """
    Return the method that *auth_type* names, or that the settings imply.

    Raises:
        ConfigurationError: There is none such, or settings contradict each other.
    """
    if auth_type not in AUTH_TYPES:
        raise ConfigurationError(f"Google has no auth_type {auth_type!r}; it has {', '.join(AUTH_TYPES)}")
    anonymous = flag(settings.get("anonymous", False))
    implied = {_IMPLIED[name]: name for name in settings if name in _IMPLIED}
    if auth_type == "anonymous" or (anonymous and auth_type == "default"):
        if implied:
            raise ConfigurationError(f"anonymous access needs no {' or '.join(implied.values())}: leave out one")
        return Anonymous()
    if anonymous:
        raise ConfigurationError(f"auth_type {auth_type!r} is not anonymous: leave out one or the other")
    wanted = Wanted(auth_type, settings, exchange)
    meant = "file" if auth_type in _FILES else auth_type
    if len({*implied, meant} - {"default"}) > 1:
        raise ConfigurationError(f"give one of {', '.join(sorted(implied.values()))} for auth_type {auth_type!r}")
    if meant == "default" and implied:
        meant = next(iter(implied))
    return _METHODS[meant](wanted)


class _FromFile(Method):
    """
    What a JSON document of credentials says, which is read when it is first needed.
    """

    def __init__(self, wanted: Wanted) -> None:
        given = [name for name in ("credentials_file", "credentials_json") if name in wanted.settings]
        if len(given) > 1:
            raise ConfigurationError("give credentials_file or credentials_json, not both")
        self.auth_type = wanted.auth_type if wanted.auth_type in _FILES else "credentials"
        self._wanted = wanted
        self._named = wanted.settings.get("credentials_file") or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        if not given and not self._named:
            raise ConfigurationError(
                f"auth_type {wanted.auth_type!r} needs credentials_file, credentials_json or "
                "GOOGLE_APPLICATION_CREDENTIALS"
            )
        self.source = "settings" if "credentials_json" in wanted.settings else f"{self._named}"
        self._found: Method | None = None

    async def fetch(self) -> Grant[Token]:
        return await (await self._read()).fetch()

    async def signer(self) -> URLSigner | None:
        return await (await self._read()).signer()

    async def _read(self) -> Method:
        if self._found is None:
            given = self._wanted.settings.get("credentials_json")
            document = _parsed(given) if given is not None else await in_thread(_loaded, Path(str(self._named)))
            self._found = from_document(document, self.source, self._wanted)
            if self._wanted.auth_type in _FILES and self._found.auth_type != self._wanted.auth_type:
                raise ConfigurationError(
                    f"{self.source} is of type {self._found.auth_type!r}, not {self._wanted.auth_type!r}"
                )
            self.auth_type = self._found.auth_type
        return self._found


class _Default(Method):
    """
    Google's own order: the environment's file, that of gcloud, the metadata server.

    https://cloud.google.com/docs/authentication/application-default-credentials
    """

    auth_type = "default"
    source = "the environment, gcloud's file or the metadata server"

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._found: Method | None = None

    async def fetch(self) -> Grant[Token]:
        found = self._found or await self._look()
        try:
            grant = await found.fetch()
        except UnavailableError as exc:
            if self._found is None and exc.status is None and isinstance(found, MetadataServer):
                raise UnauthenticatedError(
                    f"no Google credentials: GOOGLE_APPLICATION_CREDENTIALS is not set, there is no file {_gcloud()}, "
                    f"and {exc.message}; for what is public set anonymous=True",
                    provider="gcs",
                ) from None
            raise
        self._found, self.source, self.auth_type = found, found.source, found.auth_type
        return grant

    async def signer(self) -> URLSigner | None:
        return await (self._found or await self._look()).signer()

    async def _look(self) -> Method:
        named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        file = Path(named) if named else _gcloud()
        if not named and not await in_thread(_exists, file):
            return _metadata(self._wanted)
        return from_document(await in_thread(_loaded, file), str(file), self._wanted)


def from_document(document: Mapping[str, Any], source: str, wanted: Wanted) -> Method:
    """
    Return the method that a JSON document of credentials describes.

    Raises:
        ConfigurationError: It is of a type that is not known, or not whole.
    """
    settings, kind = wanted.settings, document.get("type")
    if kind == "service_account":
        return ServiceAccount(
            KeyFile.read(document),
            source,
            wanted.exchange,
            scopes=wanted.scopes,
            subject=settings.get("subject"),
            self_signed=flag(settings.get("self_signed_jwt", False)),
        )
    if kind == "authorized_user":
        return AuthorizedUser(document, source, wanted.exchange)
    raise ConfigurationError(f"{source} has credentials of type {kind!r}; known are {', '.join(_FILES)}")


def _metadata(wanted: Wanted) -> Method:
    settings = wanted.settings
    return MetadataServer(
        wanted.exchange,
        host=settings.get("metadata_host"),
        account=str(settings.get("service_account") or "default"),
        scopes=wanted.scopes if "scopes" in settings else (),
    )


def _token(wanted: Wanted) -> Method:
    given = wanted.settings.get("token")
    if not given:
        raise ConfigurationError("auth_type 'token' needs token")
    if not (isinstance(given, str | Secret) or callable(given)):
        raise ConfigurationError(f"token is text or a function that gives it, not {type(given).__name__}")
    return GivenToken(given)


def _loaded(file: Path) -> dict[str, Any]:
    try:
        return _parsed(file.expanduser().read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"there is no credentials file {file}") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"the credentials file {file} cannot be read: {type(exc).__name__}") from None


def _parsed(given: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    text = given.reveal() if isinstance(given, Secret) else given
    try:
        document = json.loads(text)
    except (ValueError, TypeError):
        document = None
    if not isinstance(document, dict):
        # Not quoted: it may hold a key all the same.
        raise ConfigurationError("the Google credentials are no JSON object")
    return document


def _exists(file: Path) -> bool:
    return file.is_file()


def _gcloud() -> Path:
    folder = os.environ.get("CLOUDSDK_CONFIG")
    base = Path(folder) if folder else Path("~/.config/gcloud").expanduser()
    return base / "application_default_credentials.json"


_METHODS: Final[Mapping[str, Callable[[Wanted], Method]]] = {
    "default": _Default,
    "file": _FromFile,
    "metadata": _metadata,
    "token": _token,
}

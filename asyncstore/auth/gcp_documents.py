"""
The JSON documents that Google's credentials come in, and what each kind of them means.

https://google.aip.dev/auth/4110
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from asyncstore.auth.chain import MAX_LINKS
from asyncstore.auth.gcp_external import ExternalAccount
from asyncstore.auth.gcp_iam import IAM, IAM_SCOPES, Caller
from asyncstore.auth.gcp_identity import SCOPES, UNIVERSE, Identity, words_of
from asyncstore.auth.gcp_impersonation import (
    Impersonated,
    Target,
    lifetime_of,
    parse_impersonation_url,
)
from asyncstore.auth.gcp_key import KeyFile
from asyncstore.auth.gcp_service_account import ServiceAccount
from asyncstore.auth.gcp_user import AuthorizedUser, ExternalUser
from asyncstore.auth.key_files import read_key_file, warn_if_shared
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Secret
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError

#: The file that ``gcloud auth application-default login`` writes.
_GCLOUD_FILE: Final = "application_default_credentials.json"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What all methods of one configuration share.

    Attributes:
        hold: Makes credentials of an identity, for another that needs its tokens.
        credentials: Makes credentials of a configuration, for the same purpose.
        scopes: What tokens are for where the settings do not say it.
        alone: Whether there is no other configuration to fall back on.
    """

    service: TokenService
    http: HTTPOptions | None
    hold: Callable[[Identity], Caller]
    credentials: Callable[[AuthConfig], Caller]
    scopes: tuple[str, ...] | None = None
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What is asked of an identity beyond what its document says; ``None`` leaves that to the document.

    Attributes:
        scopes: What tokens are for.
        subject: The user whom a service account speaks for.
        self_signed: Whether a service account signs tokens instead of asking for them.
        delegates: Accounts in between, where the tokens of another account are asked for.
        lifetime: Seconds that these last.
        aws: Whose keys sign what proves an identity of AWS.
        subject_token: What proves an identity elsewhere, or a function that gives it.
        universe_domain: The cloud.
        iam_endpoint: Where tokens and signatures of other accounts are asked for.
    """

    scopes: tuple[str, ...] | None = None
    subject: str | None = None
    self_signed: bool = False
    delegates: tuple[str, ...] | None = None
    lifetime: int | None = None
    aws: AuthConfig | None = None
    subject_token: Any = field(default=None, repr=False)
    universe_domain: str | None = None
    iam_endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    document: Mapping[str, Any] = field(repr=False)
    source: str
    wanted: Wanted
    around: Surroundings
    depth: int


def identity_of(
    document: Mapping[str, Any], source: str, wanted: Wanted, around: Surroundings, *, depth: int = 1
) -> Identity:
    """
    Return the identity that a document describes.

    Args:
        source: Where the document came from.
        depth: Documents around this one, itself included.

    Raises:
        ConfigurationError: It is of a type that is not known, or not whole, or of
            another cloud than the one that is wanted.
    """
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigurationError(f"{source} has credentials of type {kind!r}; known are {', '.join(_KINDS)}")
    if wanted.subject is not None and kind != ServiceAccount.auth_type:
        raise ConfigurationError(f"{source} is of type {kind!r}, and only a service_account speaks for a subject")
    if depth > MAX_LINKS:
        raise ConfigurationError(f"{source} has more than {MAX_LINKS} credentials, each in the next")
    whole = {**document, "universe_domain": _universe(document, source, wanted)}
    identity = _KINDS[kind](_Reading(whole, source, wanted, around, depth))
    identity.quota_project = document.get("quota_project_id") or None
    return identity


def load_document(file: Path) -> dict[str, Any]:
    """
    Return the document in *file*; blocks, so call it in a thread.

    Others than its owner who can read a file with a secret are worth a warning.

    Raises:
        ConfigurationError: It cannot be read, or is no JSON object.
    """
    document = parse_document(read_key_file(file, "credentials file", warn=False))
    if document.get("type") != ExternalAccount.auth_type or document.get("client_secret"):
        warn_if_shared(file)
    return document


def parse_document(given: Any) -> dict[str, Any]:
    """
    Return a document that was given as text, as a secret or as itself.

    Raises:
        ConfigurationError: It is no JSON object.
    """
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


def gcloud_file() -> Path:
    """
    Return where gcloud keeps the credentials for programs.
    """
    folder = os.environ.get("CLOUDSDK_CONFIG")
    base = Path(folder) if folder else Path("~/.config/gcloud").expanduser()
    return base / _GCLOUD_FILE


def _universe(document: Mapping[str, Any], source: str, wanted: Wanted) -> str:
    own = document.get("universe_domain")
    if own and wanted.universe_domain and own != wanted.universe_domain:
        raise ConfigurationError(f"{source} is of the cloud {own}, and universe_domain is {wanted.universe_domain}")
    return str(own or wanted.universe_domain or UNIVERSE)


def _service_account(reading: _Reading) -> Identity:
    wanted = reading.wanted
    return ServiceAccount(
        KeyFile.read(reading.document),
        reading.source,
        reading.around.service,
        scopes=wanted.scopes or SCOPES,
        subject=wanted.subject,
        self_signed=wanted.self_signed,
    )


def _authorized_user(reading: _Reading) -> Identity:
    return AuthorizedUser(reading.document, reading.source, reading.around.service)


def _external_user(reading: _Reading) -> Identity:
    return ExternalUser(reading.document, reading.source, reading.around.service)


def _external_account(reading: _Reading) -> Identity:
    around, wanted = reading.around, reading.wanted
    url = reading.document.get("service_account_impersonation_url")
    external = ExternalAccount(
        reading.document,
        reading.source,
        around.service,
        scopes=IAM_SCOPES if url else wanted.scopes or SCOPES,
        given=wanted.subject_token,
        aws=wanted.aws,
        http=around.http,
    )
    return _impersonated(reading, external) if url else external


def _impersonated_account(reading: _Reading) -> Identity:
    inner = reading.document.get("source_credentials")
    if not isinstance(inner, Mapping):
        raise ConfigurationError("the JSON of an impersonated_service_account has source_credentials")
    needed = Wanted(
        scopes=IAM_SCOPES,
        aws=reading.wanted.aws,
        subject_token=reading.wanted.subject_token,
        universe_domain=reading.document["universe_domain"],
    )
    return _impersonated(reading, identity_of(inner, reading.source, needed, reading.around, depth=reading.depth + 1))


def _impersonated(reading: _Reading, caller: Identity) -> Identity:
    document, wanted, around = reading.document, reading.wanted, reading.around
    endpoint, account = parse_impersonation_url(document.get("service_account_impersonation_url"))
    options = document.get("service_account_impersonation")
    lifetime = options.get("token_lifetime_seconds") if isinstance(options, Mapping) else None
    target = Target(
        account,
        words_of(document.get("delegates")) if wanted.delegates is None else wanted.delegates,
        lifetime_of(lifetime) if wanted.lifetime is None else wanted.lifetime,
        wanted.scopes or words_of(document.get("scopes")) or SCOPES,
    )
    return Impersonated(
        IAM(around.service, around.hold(caller), wanted.iam_endpoint or endpoint),
        target,
        reading.source,
        auth_type=str(document["type"]),
        universe_domain=document["universe_domain"],
    )


_KINDS: Final[Mapping[Any, Callable[[_Reading], Identity]]] = {
    "service_account": _service_account,
    "authorized_user": _authorized_user,
    "external_account_authorized_user": _external_user,
    "external_account": _external_account,
    "impersonated_service_account": _impersonated_account,
}

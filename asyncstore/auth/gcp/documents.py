"""
Google's JSON credential documents, and the identity that each type describes.

https://google.aip.dev/auth/4110
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from asyncstore.auth.gcp.external import ExternalAccount
from asyncstore.auth.gcp.iam import IAM, IAM_SCOPES, Caller
from asyncstore.auth.gcp.identity import SCOPES, UNIVERSE, Identity, split_list
from asyncstore.auth.gcp.impersonation import (
    Impersonated,
    Target,
    lifetime_of,
    parse_impersonation_url,
)
from asyncstore.auth.gcp.service_account import KeyFile, ServiceAccount
from asyncstore.auth.gcp.user import AuthorizedUser, ExternalUser
from asyncstore.auth.key_files import read_key_file, warn_if_shared
from asyncstore.auth.methods import MAX_LINKS
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Secret
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError

#: The file that ``gcloud auth application-default login`` writes.
_GCLOUD_FILE: Final = "application_default_credentials.json"


@dataclass(frozen=True, slots=True)
class GCPContext:
    """
    What all methods of one configuration share.

    Attributes:
        credentials_of: Creates credentials from an identity, to request tokens of another.
        credentials: Creates credentials from a configuration, for the same purpose.
        scopes: The OAuth scopes of tokens if the settings have none.
        has_fallback: Whether another configuration follows this one.
    """

    service: TokenService
    http: HTTPOptions | None
    credentials_of: Callable[[Identity], Caller]
    credentials: Callable[[AuthConfig], Caller]
    scopes: tuple[str, ...] | None = None
    has_fallback: bool = False


@dataclass(frozen=True, slots=True)
class IdentityOptions:
    """
    Settings that complete or override a document; ``None`` keeps the document's value.

    Attributes:
        scopes: OAuth scopes of the tokens.
        subject: The user that a service account acts for (domain-wide delegation).
        self_signed: Let a service account sign its tokens instead of requesting them.
        delegates: The delegation chain of an impersonated account.
        lifetime: Lifetime of an impersonated account's tokens in seconds.
        aws: The AWS credentials of a workload on AWS.
        subject_token: The token of another identity provider, or a function that returns it.
        universe_domain: Domain of the cloud.
        iam_endpoint: URL of the IAM Credentials API.
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
class _Input:
    document: Mapping[str, Any] = field(repr=False)
    source: str
    options: IdentityOptions
    context: GCPContext
    depth: int


def identity_of(
    document: Mapping[str, Any], source: str, options: IdentityOptions, context: GCPContext, *, depth: int = 1
) -> Identity:
    """
    Return the identity that a document describes.

    Args:
        source: Where the document came from, for messages.
        depth: Nesting level of the document, starting at 1.

    Raises:
        ConfigurationError: The type is unknown, a field is missing, or the document
            belongs to another cloud.
    """
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigurationError(f"{source} has unknown type {kind!r}; known types: {', '.join(_KINDS)}")
    if options.subject is not None and kind != ServiceAccount.auth_type:
        raise ConfigurationError(f"{source} has type {kind!r}, but subject requires a service_account")
    if depth > MAX_LINKS:
        raise ConfigurationError(f"{source} nests more than {MAX_LINKS} credentials")
    whole = {**document, "universe_domain": _universe(document, source, options)}
    identity = _KINDS[kind](_Input(whole, source, options, context, depth))
    identity.quota_project = document.get("quota_project_id") or None
    return identity


def load_document(file: Path) -> dict[str, Any]:
    """
    Return the document in *file*. Blocks: call it in a thread.

    Logs a warning if the file contains a secret and other users can read it.

    Raises:
        ConfigurationError: The file cannot be read, or is not a JSON object.
    """
    document = parse_document(read_key_file(file, "credentials file", warn=False))
    if document.get("type") != ExternalAccount.auth_type or document.get("client_secret"):
        warn_if_shared(file)
    return document


def parse_document(value: Any) -> dict[str, Any]:
    """
    Return a document from text, a :class:`Secret` or a mapping.

    Raises:
        ConfigurationError: It is not a JSON object.
    """
    if isinstance(value, Mapping):
        return dict(value)
    text = value.reveal() if isinstance(value, Secret) else value
    try:
        document = json.loads(text)
    except (ValueError, TypeError):
        document = None
    if not isinstance(document, dict):
        # Not quoted: it can still contain a key.
        raise ConfigurationError("the Google credentials are not a JSON object")
    return document


def gcloud_file() -> Path:
    """
    Return the path of gcloud's application default credentials.
    """
    folder = os.environ.get("CLOUDSDK_CONFIG")
    base = Path(folder) if folder else Path("~/.config/gcloud").expanduser()
    return base / _GCLOUD_FILE


def _universe(document: Mapping[str, Any], source: str, options: IdentityOptions) -> str:
    own = document.get("universe_domain")
    if own and options.universe_domain and own != options.universe_domain:
        raise ConfigurationError(
            f"{source} has universe_domain {own}, which contradicts the setting {options.universe_domain}"
        )
    return str(own or options.universe_domain or UNIVERSE)


def _service_account(given: _Input) -> Identity:
    options = given.options
    return ServiceAccount(
        KeyFile.read(given.document),
        given.source,
        given.context.service,
        scopes=options.scopes or SCOPES,
        subject=options.subject,
        self_signed=options.self_signed,
    )


def _authorized_user(given: _Input) -> Identity:
    return AuthorizedUser(given.document, given.source, given.context.service)


def _external_user(given: _Input) -> Identity:
    return ExternalUser(given.document, given.source, given.context.service)


def _external_account(given: _Input) -> Identity:
    context, options = given.context, given.options
    url = given.document.get("service_account_impersonation_url")
    external = ExternalAccount(
        given.document,
        given.source,
        context.service,
        scopes=IAM_SCOPES if url else options.scopes or SCOPES,
        subject_token=options.subject_token,
        aws=options.aws,
        http=context.http,
        folder=gcloud_file().parent,
    )
    return _impersonated(given, external) if url else external


def _impersonated_account(given: _Input) -> Identity:
    inner = given.document.get("source_credentials")
    if not isinstance(inner, Mapping):
        raise ConfigurationError("the JSON of the impersonated_service_account has no source_credentials")
    needed = IdentityOptions(
        scopes=IAM_SCOPES,
        aws=given.options.aws,
        subject_token=given.options.subject_token,
        universe_domain=given.document["universe_domain"],
    )
    return _impersonated(given, identity_of(inner, given.source, needed, given.context, depth=given.depth + 1))


def _impersonated(given: _Input, caller: Identity) -> Identity:
    document, options, context = given.document, given.options, given.context
    endpoint, account = parse_impersonation_url(document.get("service_account_impersonation_url"))
    nested = document.get("service_account_impersonation")
    lifetime = nested.get("token_lifetime_seconds") if isinstance(nested, Mapping) else None
    target = Target(
        account,
        split_list(document.get("delegates")) if options.delegates is None else options.delegates,
        lifetime_of(lifetime) if options.lifetime is None else options.lifetime,
        options.scopes or split_list(document.get("scopes")) or SCOPES,
    )
    return Impersonated(
        IAM(context.service, context.credentials_of(caller), options.iam_endpoint or endpoint),
        target,
        given.source,
        auth_type=str(document["type"]),
        universe_domain=document["universe_domain"],
    )


_KINDS: Final[Mapping[Any, Callable[[_Input], Identity]]] = {
    "service_account": _service_account,
    "authorized_user": _authorized_user,
    "external_account_authorized_user": _external_user,
    "external_account": _external_account,
    "impersonated_service_account": _impersonated_account,
}

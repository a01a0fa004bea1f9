"""
Workload and workforce identity federation: exchange another provider's token for an access token.

https://cloud.google.com/iam/docs/workload-identity-federation
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from asyncstore.auth.gcp.identity import UNIVERSE, Identity, Token
from asyncstore.auth.gcp.impersonation import parse_impersonation_url
from asyncstore.auth.gcp.oauth import ClockSkewError, basic_auth, grant_of, request_token
from asyncstore.auth.gcp.subject import FileToken, SettingSubject, SubjectToken, URLToken
from asyncstore.auth.gcp.subject_aws import AWSToken
from asyncstore.auth.gcp.subject_certificate import CertificateToken
from asyncstore.auth.gcp.subject_program import ProgramToken
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError
from asyncstore.http.clock import ServerClock

_GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_REQUESTED: Final = "urn:ietf:params:oauth:token-type:access_token"
_NEEDED: Final = ("audience", "subject_token_type")
_SOURCES: Final = ("file", "url", "environment_id", "executable", "certificate")


class ExternalAccount(Identity):
    """
    An identity of another provider that Google trusts.

    Tokens are exchanged by https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token

    Args:
        subject_token: The other provider's token, or a function that returns it, instead of
            the ``credential_source``.
        aws: The AWS credentials of a workload on AWS.
        folder: gcloud's folder of configuration, with the default configuration of certificates.

    Raises:
        ConfigurationError: The document is incomplete, or its source is of an unknown kind.
    """

    auth_type = "external_account"

    def __init__(
        self,
        document: Mapping[str, Any],
        source: str,
        service: TokenService,
        *,
        scopes: Sequence[str],
        subject_token: Any = None,
        aws: AuthConfig | None = None,
        http: HTTPOptions | None = None,
        folder: Path = Path(),
    ) -> None:
        needed = _NEEDED if subject_token is not None else (*_NEEDED, "credential_source")
        if missing := [name for name in needed if not document.get(name)]:
            raise ConfigurationError(f"the JSON of the external_account has no {' and no '.join(missing)}")
        self.source = source
        self.universe_domain = str(document.get("universe_domain") or UNIVERSE)
        self._service = service
        own = SettingSubject(subject_token) if subject_token is not None else None
        self._subject = own or _subject_token(document, service, aws, http, folder)
        self._url = str(document.get("token_url") or f"https://{_host(self._subject)}.{self.universe_domain}/v1/token")
        self._fields = _fields(document, scopes)
        self._client = _client(document)
        self._clock = ServerClock()

    async def fetch(self) -> Grant[Token]:
        try:
            return await self._exchange()
        except ClockSkewError:
            return await self._exchange()

    async def aclose(self) -> None:
        await self._subject.aclose()

    async def _exchange(self) -> Grant[Token]:
        subject = await self._subject.fetch(self._clock.offset)
        headers = {} if self._client is None else {"Authorization": self._client.reveal()}
        fields = {**self._fields, "subject_token": subject}
        clock = self._clock if self._subject.dated else None
        tls = await self._subject.client_tls()
        return grant_of(await request_token(self._service, self._url, fields, headers, clock=clock, tls=tls))


def _host(subject: SubjectToken) -> str:
    return "sts.mtls" if isinstance(subject, CertificateToken) else "sts"


def _subject_token(
    document: Mapping[str, Any], service: TokenService, aws: AuthConfig | None, http: HTTPOptions | None, folder: Path
) -> SubjectToken:
    source, audience = document["credential_source"], str(document["audience"])
    kinds = [name for name in _SOURCES if source.get(name)] if isinstance(source, Mapping) else []
    # A source for AWS has a url too: that of the instance metadata.
    if "environment_id" in kinds:
        return AWSToken(source, audience, aws, http)
    if len(kinds) != 1:
        raise ConfigurationError(
            f"the credential_source of the external_account must have exactly one of {', '.join(_SOURCES)}"
        )
    if kinds == ["certificate"]:
        return CertificateToken(source["certificate"], folder, http)
    if kinds == ["file"]:
        return FileToken(str(source["file"]), source.get("format"))
    if kinds == ["url"]:
        return URLToken(str(source["url"]), service, source.get("headers"), source.get("format"))
    variables = {
        "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE": audience,
        "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE": str(document["subject_token_type"]),
    }
    if url := document.get("service_account_impersonation_url"):
        variables["GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL"] = parse_impersonation_url(url)[1]
    return ProgramToken(source["executable"], variables)


def _fields(document: Mapping[str, Any], scopes: Sequence[str]) -> dict[str, str]:
    fields = {
        "grant_type": _GRANT,
        "audience": str(document["audience"]),
        "scope": " ".join(scopes),
        "requested_token_type": _REQUESTED,
        "subject_token_type": str(document["subject_token_type"]),
    }
    project = document.get("workforce_pool_user_project")
    if project and not document.get("client_id"):
        # With a client id, its own project is used.
        fields["options"] = quote(json.dumps({"userProject": str(project)}))
    return fields


def _client(document: Mapping[str, Any]) -> Secret | None:
    if not document.get("client_id"):
        return None
    return basic_auth(str(document["client_id"]), str(document.get("client_secret") or ""))

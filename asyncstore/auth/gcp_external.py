"""
Workload and workforce identities: somebody else's token, exchanged for one of Google's.

https://cloud.google.com/iam/docs/workload-identity-federation
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from asyncstore.auth.gcp_exchange import WrongClockError, basic_auth, exchange, grant_of
from asyncstore.auth.gcp_identity import UNIVERSE, Identity, Token
from asyncstore.auth.gcp_impersonation import parse_impersonation_url
from asyncstore.auth.gcp_subject import FileToken, GivenSubject, SubjectToken, URLToken
from asyncstore.auth.gcp_subject_aws import AWSToken
from asyncstore.auth.gcp_subject_program import ProgramToken
from asyncstore.auth.token_service import TokenService
from asyncstore.auth.tokens import Grant, Secret
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError

_GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_REQUESTED: Final = "urn:ietf:params:oauth:token-type:access_token"
_NEEDED: Final = ("audience", "subject_token_type")
_SOURCES: Final = ("file", "url", "environment_id", "executable")


class ExternalAccount(Identity):
    """
    An identity that Google trusts another to vouch for.

    The exchange is that of https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token

    Args:
        given: The foreign token, or a function that gives it, in place of the ``credential_source``.
        aws: Whose keys sign for an identity of AWS.

    Raises:
        ConfigurationError: The document is not whole, or of a kind that is not known.
    """

    auth_type = "external_account"

    def __init__(
        self,
        document: Mapping[str, Any],
        source: str,
        service: TokenService,
        *,
        scopes: Sequence[str],
        given: Any = None,
        aws: AuthConfig | None = None,
        http: HTTPOptions | None = None,
    ) -> None:
        needed = _NEEDED if given is not None else (*_NEEDED, "credential_source")
        if missing := [name for name in needed if not document.get(name)]:
            raise ConfigurationError(f"the JSON of an external_account has {' and '.join(missing)}; this one has not")
        self.source = source
        self.universe_domain = str(document.get("universe_domain") or UNIVERSE)
        self._url = str(document.get("token_url") or f"https://sts.{self.universe_domain}/v1/token")
        self._service = service
        own = GivenSubject(given) if given is not None else None
        self._subject = own or _subject_token(document, service, aws, http)
        self._fields = _fields(document, scopes)
        self._client = _client(document)
        self._clock_offset = 0.0

    async def fetch(self) -> Grant[Token]:
        try:
            return await self._exchanged()
        except WrongClockError as exc:
            if not self._subject.dated:
                raise
            self._clock_offset = exc.offset
            return await self._exchanged()

    async def aclose(self) -> None:
        await self._subject.aclose()

    async def _exchanged(self) -> Grant[Token]:
        subject = await self._subject.fetch(self._clock_offset)
        headers = {} if self._client is None else {"Authorization": self._client.reveal()}
        fields = {**self._fields, "subject_token": subject}
        return grant_of(await exchange(self._service, self._url, fields, headers, clock_offset=self._clock_offset))


def _subject_token(
    document: Mapping[str, Any], service: TokenService, aws: AuthConfig | None, http: HTTPOptions | None
) -> SubjectToken:
    source, audience = document["credential_source"], str(document["audience"])
    kinds = [name for name in _SOURCES if source.get(name)] if isinstance(source, Mapping) else []
    # That of AWS has the address of the instance's service, too.
    if "environment_id" in kinds:
        return AWSToken(source, audience, aws, http)
    if len(kinds) != 1:
        raise ConfigurationError(f"the credential_source of an external_account has one of {', '.join(_SOURCES)}")
    if kinds == ["file"]:
        return FileToken(str(source["file"]), source.get("format"))
    if kinds == ["url"]:
        return URLToken(str(source["url"]), service, source.get("headers"), source.get("format"))
    told = {
        "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE": audience,
        "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE": str(document["subject_token_type"]),
    }
    if url := document.get("service_account_impersonation_url"):
        told["GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL"] = parse_impersonation_url(url)[1]
    return ProgramToken(source["executable"], told)


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
        # A client has a project of its own.
        fields["options"] = quote(json.dumps({"userProject": str(project)}))
    return fields


def _client(document: Mapping[str, Any]) -> Secret | None:
    if not document.get("client_id"):
        return None
    return basic_auth(str(document["client_id"]), str(document.get("client_secret") or ""))

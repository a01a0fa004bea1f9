"""
Keys and region from the metadata service of an EC2 instance.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace
from typing import Final

from asyncstore.auth.aws_document import KeyGrant, grant_of
from asyncstore.auth.aws_endpoints import address_of
from asyncstore.auth.chain import MissingCredentialsError, NobodyThereError
from asyncstore.auth.credentials import is_loopback
from asyncstore.auth.method import Given
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError, StorageError, UnauthenticatedError, UnavailableError

_log = logging.getLogger(__name__)

_ADDRESSES: Final = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_REGION: Final = "/latest/meta-data/placement/region"
_REGION_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")

#: Seconds that a token of ours for the service lasts; the longest there is.
_TOKEN_TTL: Final = 21_600

#: Seconds for which keys are used on that the service says have ended. It does so when
#: it cannot reach its own source, and AWS takes them for that long.
#: https://docs.aws.amazon.com/sdkref/latest/guide/feature-static-credentials.html
STATIC_STABILITY: Final = 600.0


class InstanceMetadata:
    """
    Asks the second version of the service, and the first only if that is allowed.

    Anything that can be made to fetch a URL can ask the first version.

    Raises:
        ConfigurationError: There is no such mode.
    """

    def __init__(self, given: Given, service: TokenService) -> None:
        self._given = given
        self._service = service
        self._address()

    async def fetch(self) -> KeyGrant:
        """
        Return the keys of the instance's role.
        """
        if flag(os.environ.get("AWS_EC2_METADATA_DISABLED", "")):
            raise MissingCredentialsError("AWS_EC2_METADATA_DISABLED is set")
        headers = await self._token()
        found = await self._get(_ROLES, headers)
        role = found.text().partition("\n")[0].strip() if found.status == 200 else ""
        if not role:
            raise MissingCredentialsError("the instance has no role", provider="s3", status=found.status)
        answer = await self._get(_ROLES + role, headers)
        document = answer.document()
        if answer.status != 200 or document.get("Code", "Success") != "Success":
            raise _refused(answer, "gives no keys")
        grant = grant_of(document, "the metadata service", token="Token")  # noqa: S106 - the name of a field
        if grant.ttl is not None and grant.ttl <= 0:
            _log.warning("the metadata service gives keys that have ended; they are used while it has no others")
            return replace(grant, ttl=STATIC_STABILITY)
        return grant

    async def region(self) -> str | None:
        """
        Return where the instance is; ``None`` if the service does not say.
        """
        if flag(os.environ.get("AWS_EC2_METADATA_DISABLED", "")):
            return None
        try:
            answer = await self._get(_REGION, await self._token())
        except NobodyThereError:
            return None
        # It becomes part of host names.
        return answer.text() if answer.status == 200 and _REGION_NAME.fullmatch(answer.text()) else None

    async def _token(self) -> dict[str, str]:
        answer = await self._send("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_TTL)})
        if answer.status == 200:
            return {"X-aws-ec2-metadata-token": answer.text()}
        if answer.status in (403, 404, 405) and self._first_version():
            return {}
        raise _refused(answer, "gives no token, and its first version, which has none, is not allowed (imds_v1)")

    def _first_version(self) -> bool:
        disabled = os.environ.get("AWS_EC2_METADATA_V1_DISABLED")
        return not flag(disabled) if disabled else flag(self._given.get("imds_v1") or False)

    async def _get(self, path: str, headers: dict[str, str]) -> Answer:
        answer = await self._send("GET", path, headers)
        if answer.passing or answer.status == 401:
            raise _refused(answer, "is in trouble")
        return answer

    async def _send(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        return await self._service.send(method, self._address() + path, headers, near=True)

    def _address(self) -> str:
        if endpoint := self._given.get("metadata_endpoint"):
            return _checked(str(endpoint).rstrip("/"))
        mode = str(self._given.get("metadata_endpoint_mode") or "ipv4").lower()
        if mode not in _ADDRESSES:
            raise ConfigurationError(f"metadata_endpoint_mode is one of {', '.join(_ADDRESSES)}, not {mode!r}")
        return _ADDRESSES[mode]


def _checked(endpoint: str) -> str:
    parts = address_of(endpoint, "metadata_endpoint")
    host = parts.hostname or ""
    near = is_loopback(host) or f"http://{parts.netloc}" in _ADDRESSES.values()
    if parts.scheme not in ("http", "https") or (parts.scheme == "http" and not near):
        raise ConfigurationError(
            f"metadata_endpoint is https, or http to this machine or one of {', '.join(_ADDRESSES.values())}"
        )
    return endpoint


def _refused(answer: Answer, what: str) -> StorageError:
    kind = UnavailableError if answer.passing else UnauthenticatedError
    return kind(f"the metadata service at {answer.place} {what}", provider="s3", status=answer.status)

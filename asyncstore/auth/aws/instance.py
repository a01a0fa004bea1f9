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

from asyncstore.auth.aws.configuration import Configuration, SharedConfiguration
from asyncstore.auth.aws.document import KeyGrant, grant_of
from asyncstore.auth.aws.endpoints import address_of
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import MissingCredentialsError, NoLocalServiceError
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.http.origin import is_loopback

_log = logging.getLogger(__name__)

_ADDRESSES: Final = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_REGION: Final = "/latest/meta-data/placement/region"
_REGION_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")

# More seconds or attempts than anybody waits for.
_FAR: Final = 86_400

#: Lifetime in seconds of the session tokens that we request; the longest that is allowed.
_TOKEN_TTL: Final = 21_600

#: Seconds for which expired keys stay in use. The service returns them while it cannot reach
#: its own source, and AWS accepts them for that long.
#: https://docs.aws.amazon.com/sdkref/latest/guide/feature-static-credentials.html
STATIC_STABILITY: Final = 600.0


class InstanceMetadata:
    """
    Uses the second version of the service (IMDSv2), and the first only if it is allowed.

    Any program that can be tricked into fetching a URL can read keys from the first version.

    Raises:
        ConfigurationError: A setting is not valid.
    """

    def __init__(self, settings: MethodSettings, service: TokenService, shared: SharedConfiguration) -> None:
        self._settings = settings
        self._service = service
        self._shared = shared
        self._address(shared.current)
        self._limits(shared.current)

    async def fetch(self) -> KeyGrant:
        """
        Return the keys of the instance's role.

        Raises:
            MissingCredentialsError: The service is disabled, or the instance has no role.
            UnauthenticatedError, UnavailableError: The service refused, or did not answer.
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
            raise _refused(answer, "issued no keys")
        grant = grant_of(document, "the metadata service", token="Token")  # noqa: S106 - the name of a field
        if grant.ttl is not None and grant.ttl <= 0:
            _log.warning("the metadata service returned expired keys; they stay in use until it has others")
            return replace(grant, ttl=STATIC_STABILITY)
        return grant

    async def region(self) -> str | None:
        """
        Return the region of the instance; ``None`` if the service does not answer with one.
        """
        if flag(os.environ.get("AWS_EC2_METADATA_DISABLED", "")):
            return None
        try:
            answer = await self._get(_REGION, await self._token())
        except NoLocalServiceError:
            return None
        # It becomes part of host names, so it must look like a region.
        return answer.text() if answer.status == 200 and _REGION_NAME.fullmatch(answer.text()) else None

    async def _token(self) -> dict[str, str]:
        answer = await self._send("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_TTL)})
        if answer.status == 200:
            return {"X-aws-ec2-metadata-token": answer.text()}
        if answer.status in (403, 404, 405) and self._first_version(await self._shared.get()):
            return {}
        raise _refused(answer, "issued no session token, and IMDSv1, which needs none, is not allowed (imds_v1)")

    def _first_version(self, configuration: Configuration) -> bool:
        if configuration.find("ec2_metadata_v1_disabled") is not None:
            return not configuration.flag("ec2_metadata_v1_disabled")
        return flag(self._settings.get("imds_v1") or False)

    async def _get(self, path: str, headers: dict[str, str]) -> Answer:
        answer = await self._send("GET", path, headers)
        if answer.transient or answer.status == 401:
            raise _refused(answer, "failed")
        return answer

    async def _send(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        configuration = await self._shared.get()
        url = self._address(configuration) + path
        timeout, attempts = self._limits(configuration)
        while True:
            attempts -= 1
            try:
                answer = await self._service.send(method, url, headers, near=True, timeout=timeout)
            except NoLocalServiceError:
                if attempts < 1:
                    raise
                continue
            if attempts < 1 or not answer.transient:
                return answer

    def _limits(self, configuration: Configuration) -> tuple[float | None, int]:
        """The seconds that one attempt may take, and the number of attempts."""
        timeout = self._number("metadata_timeout", configuration.text("metadata_service_timeout"))
        attempts = self._number("metadata_attempts", configuration.text("metadata_service_num_attempts")) or 1.0
        if not attempts.is_integer():
            raise ConfigurationError(f"metadata_attempts is a whole number, not {attempts:g}")
        return timeout, int(attempts)

    def _number(self, name: str, configured: str | None) -> float | None:
        value = self._settings.get(name) or configured
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            number = 0.0
        if number is not None and not 0 < number < _FAR:
            raise ConfigurationError(f"{name} is a number above 0, not {value!r}")
        return number

    def _address(self, configuration: Configuration) -> str:
        named = self._settings.get("metadata_endpoint") or configuration.text("ec2_metadata_service_endpoint")
        if named:
            return _checked(str(named).rstrip("/"))
        mode = self._settings.get("metadata_endpoint_mode") or configuration.text("ec2_metadata_service_endpoint_mode")
        mode = str(mode or "ipv4").lower()
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
    return answer.refusal(f"the metadata service at {answer.place} {what}", provider="s3")

"""
Subject tokens of AWS: a signed ``GetCallerIdentity`` request, which Google sends to verify the caller.

https://cloud.google.com/iam/docs/workload-identity-federation-with-other-clouds#rest_1
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from asyncstore.auth.aws.credentials import AWSCredentials, aws_credentials
from asyncstore.auth.aws.sigv4 import AWSKeys, sign_headers
from asyncstore.auth.credentials import Scope
from asyncstore.auth.gcp.subject import SubjectToken
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_VERIFICATION: Final = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"

# The only known version of this kind of source.
_ENVIRONMENT: Final = "aws1"

_ROLES: Final = "/latest/meta-data/iam/security-credentials"
_REGION: Final = re.compile(r"[a-z0-9-]+")
_TARGET: Final = "x-goog-cloud-target-resource"
_NOTHING: Final = hashlib.sha256(b"").hexdigest()


class AWSToken(SubjectToken):
    """
    A signed ``GetCallerIdentity`` request. It identifies the AWS caller and is useless for anything else.

    Args:
        source: The ``credential_source``.
        audience: The workload identity pool provider; it is part of the signature.
        keys: The AWS credentials; by default those of the environment, the container or the instance.

    Raises:
        ConfigurationError: *source* is not valid.
    """

    dated = True

    def __init__(
        self, source: Mapping[str, Any], audience: str, keys: AuthConfig | None = None, http: HTTPOptions | None = None
    ) -> None:
        if source.get("environment_id") != _ENVIRONMENT:
            raise ConfigurationError(f"the environment_id of a credential_source must be {_ENVIRONMENT!r}")
        self._url = str(source.get("regional_cred_verification_url") or _VERIFICATION)
        _check(self._url.replace("{region}", "us-east-1"))
        self._audience = audience
        instance = AuthConfig(auth_type="instance_profile", settings=_metadata(source))
        self._keys: AWSCredentials = aws_credentials(keys or _default(instance), http=http)
        # Supplies the region if the keys' own configuration has none.
        self._instance: AWSCredentials = aws_credentials(instance, http=http)

    async def fetch(self, clock_offset: float) -> str:
        lease = await self._keys.get()
        if lease.value is None:
            raise ConfigurationError("the AWS credentials are anonymous, so they cannot sign a token for Google")
        region = await self._keys.region() or await self._instance.region()
        if region is None or not _REGION.fullmatch(region):
            raise UnauthenticatedError("the AWS region is unknown: set AWS_REGION", provider="gcs")
        request = _signed(self._url.replace("{region}", region), self._audience, lease.value, region, clock_offset)
        return quote(json.dumps(request, separators=(",", ":"), sort_keys=True))

    async def aclose(self) -> None:
        await self._keys.aclose()
        await self._instance.aclose()


def _signed(url: str, audience: str, keys: AWSKeys, region: str, clock_offset: float) -> dict[str, Any]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = [("host", host), (_TARGET, audience)]
    added = sign_headers(
        "POST",
        parts.path or "/",
        parts.query,
        named,
        keys=keys,
        scope=Scope(region, host.partition(".")[0].removesuffix("-fips")),
        when=time.time() + clock_offset,
        payload_hash=_NOTHING,
        send_hash=False,
    )
    # Google expects lower-case names, except for this one.
    pairs = [(name if name == "Authorization" else name.lower(), value) for name, value in [*named, *added.items()]]
    headers = [{"key": name, "value": value} for name, value in pairs]
    return {"url": url, "method": "POST", "headers": headers}


def _default(instance: AuthConfig) -> AuthConfig:
    # The order of Google's clients, plus containers, which they do not support.
    after = instance
    for auth_type in ("container", "web_identity", "environment"):
        after = AuthConfig(auth_type=auth_type, fallback=after)
    return after


def _metadata(source: Mapping[str, Any]) -> dict[str, str]:
    url = source.get("url")
    if not url:
        return {}
    parts = urlsplit(str(url))
    if parts.path.rstrip("/") != _ROLES:
        raise ConfigurationError(f"the url of a credential_source for AWS must end in {_ROLES}")
    # instance_profile checks where plain HTTP is allowed.
    return {"metadata_endpoint": f"{parts.scheme}://{parts.netloc}"}


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigurationError("the regional_cred_verification_url of a credential_source must be an https URL")

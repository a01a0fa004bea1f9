"""
A signed question of AWS's, "who am I", which Google asks in our place.

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

from asyncstore.auth.aws import AWSCredentials, aws_credentials
from asyncstore.auth.gcp_subject import SubjectToken
from asyncstore.auth.sigv4 import AWSKeys, Scope, sign_headers
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError, UnauthenticatedError

_VERIFICATION: Final = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"

#: The one version of this kind of source.
_ENVIRONMENT: Final = "aws1"

_ROLES: Final = "/latest/meta-data/iam/security-credentials"
_REGION: Final = re.compile(r"[a-z0-9-]+")
_TARGET: Final = "x-goog-cloud-target-resource"
_NOTHING: Final = hashlib.sha256(b"").hexdigest()


class AWSToken(SubjectToken):
    """
    A signed ``GetCallerIdentity``, which says who we are at AWS and cannot be used for anything else.

    Args:
        source: The ``credential_source``.
        audience: Whom it is for: the provider in the pool. It is signed as well.
        keys: Whose keys sign; by default those in the environment, of a container or of the instance.

    Raises:
        ConfigurationError: *source* is not what Google writes.
    """

    dated = True

    def __init__(
        self, source: Mapping[str, Any], audience: str, keys: AuthConfig | None = None, http: HTTPOptions | None = None
    ) -> None:
        if source.get("environment_id") != _ENVIRONMENT:
            raise ConfigurationError(f"the environment_id of a credential_source is {_ENVIRONMENT!r}")
        self._url = str(source.get("regional_cred_verification_url") or _VERIFICATION)
        _check(self._url.replace("{region}", "us-east-1"))
        self._audience = audience
        instance = AuthConfig(auth_type="instance_profile", settings=_metadata(source))
        self._keys: AWSCredentials = aws_credentials(keys or _default(instance), http=http)
        # Knows the region where the keys do not say it.
        self._instance: AWSCredentials = aws_credentials(instance, http=http)

    async def fetch(self, clock_offset: float) -> str:
        lease = await self._keys.get()
        if lease.value is None:
            raise ConfigurationError("Google takes signatures of AWS's keys, and the credentials for AWS are anonymous")
        region = await self._keys.region() or await self._instance.region()
        if region is None or not _REGION.fullmatch(region):
            raise UnauthenticatedError("the region at AWS is not known: set AWS_REGION", provider="gcs")
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
    # As Google writes them; all but this one in small letters.
    pairs = [(name if name == "Authorization" else name.lower(), value) for name, value in [*named, *added.items()]]
    headers = [{"key": name, "value": value} for name, value in pairs]
    return {"url": url, "method": "POST", "headers": headers}


def _default(instance: AuthConfig) -> AuthConfig:
    # As Google's own clients, and containers, which those leave out.
    after = instance
    for auth_type in ("container", "web_identity", "environment"):
        after = AuthConfig(auth_type=auth_type, fallback=after)
    return after


def _metadata(source: Mapping[str, Any]) -> dict[str, str]:
    given = source.get("url")
    if not given:
        return {}
    parts = urlsplit(str(given))
    if parts.path.rstrip("/") != _ROLES:
        raise ConfigurationError(f"the url of a credential_source for AWS ends in {_ROLES}")
    # Who may be asked there over plain HTTP is known to that method.
    return {"metadata_endpoint": f"{parts.scheme}://{parts.netloc}"}


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigurationError("the regional_cred_verification_url of a credential_source is an address with https")

"""
Addresses, signs and sends the requests of S3, and finds the region of a bucket.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from yarl import URL

from asyncstore.auth.aws import AWSCredentials
from asyncstore.auth.middleware import AuthMiddleware
from asyncstore.auth.sigv4 import Scope, encode_key
from asyncstore.body import Body
from asyncstore.config import StorageConfig
from asyncstore.drivers.s3 import errors, xml
from asyncstore.drivers.s3.settings import S3Settings
from asyncstore.http.client import HTTPClient
from asyncstore.http.origin import Origin
from asyncstore.http.reply import Reply

_DEFAULT_REGION: Final = "us-east-1"
_AWS: Final = ".amazonaws.com"

# A bucket whose name can be the first label of a host with a certificate:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
_HOSTABLE: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")

# Statuses by which S3 says that a bucket is elsewhere.
_ELSEWHERE: Final = frozenset({301, 307, 400})


class Requests:
    """
    Sends requests to the buckets of one endpoint.

    Attributes:
        credentials: What they are signed with.
        region: Of buckets that say nothing else; ``None`` before the first request.
    """

    def __init__(self, config: StorageConfig, settings: S3Settings, credentials: AWSCredentials) -> None:
        self.credentials = credentials
        self.region: str | None = config.region or config.uri.region
        self._settings = settings
        self._endpoint = config.endpoint_url or credentials.service_endpoint("s3")
        self._http = HTTPClient(config.http, config.session)
        self._allow_http = config.http.allow_http
        self._headers = settings.all_headers()
        self._regions: dict[str, str] = {}
        self._targets: dict[str, _Target] = {}
        self._signers: dict[str, AuthMiddleware] = {}
        if self._endpoint is not None:
            self._checked(self._endpoint)

    async def send(
        self,
        method: str,
        bucket: str,
        key: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        *,
        patience: float = 1.0,
    ) -> Reply:
        """
        Send one request; a second one only if the bucket turns out to be in another region.

        Raises:
            StorageError: The reply is an error, or there was none.
        """
        target = self._targets.get(bucket) or await self._target(bucket)
        path = target.path + encode_key(key) + (f"?{query}" if query else "")
        merged = {**self._headers, **headers} if headers else self._headers
        reply = await self._http.send(
            method, target.origin, path, merged, body, patience=patience, middleware=target.signer
        )
        if reply.status < 300:
            return reply
        if reply.status in _ELSEWHERE and await self._learn_region(bucket, target, reply):
            return await self.send(method, bucket, key, query, headers, body, patience=patience)
        raise await errors.error_of(reply)

    async def sign(self, method: str, bucket: str, key: str, expires: timedelta) -> str:
        """
        Return a signed URL.
        """
        target = await self._target(bucket)
        url = target.origin.base + target.path + encode_key(key)
        lease = await self.credentials.get()
        return self.credentials.presign(
            method, url, lease, target.signer.scope, expires=expires, clock_offset=target.signer.clock_offset
        )

    @property
    def explicit_endpoint(self) -> str | None:
        """The address that was set, or that the environment names."""
        return self._endpoint

    async def default_region(self) -> str:
        """
        Return the region that was set, or that the environment or profile names.
        """
        if self.region is None:
            self.region = await self.credentials.region() or _DEFAULT_REGION
        return self.region

    def describe(self) -> dict[str, str]:
        """
        Return what was resolved, for people.
        """
        region = self.region or "found at the first request"
        return {
            "endpoint": self._endpoint or f"https://s3.{self.region or _DEFAULT_REGION}.amazonaws.com",
            "region": region,
            "addressing": self._settings.addressing_style,
            "credentials": f"{self.credentials.auth_type}, from {self.credentials.source}",
            "checksum": self._settings.checksum or "none",
        }

    async def aclose(self) -> None:
        """
        Close the connections and the credentials.
        """
        try:
            await self._http.aclose()
        finally:
            await self.credentials.aclose()

    async def _target(self, bucket: str) -> _Target:
        region = self._regions.get(bucket) or await self.default_region()
        virtual = self._virtual(bucket)
        base = self._endpoint or f"https://s3.{region}.{_suffix(region)}"
        origin = self._checked(_with_bucket(base, bucket) if virtual else base)
        signer = AuthMiddleware(self.credentials, Scope(region), [origin.base])
        target = _Target(origin, "/" if virtual else f"/{bucket}/", signer)
        self._targets[bucket] = target
        return target

    def _virtual(self, bucket: str) -> bool:
        if self._settings.addressing_style != "auto":
            return self._settings.addressing_style == "virtual"
        at_aws = self._endpoint is None or (URL(self._endpoint).host or "").endswith(
            (".amazonaws.com", ".amazonaws.com.cn")
        )
        return at_aws and _HOSTABLE.fullmatch(bucket) is not None

    def _checked(self, base: str) -> Origin:
        origin = Origin.parse(base)
        if not self.credentials.anonymous:
            origin.allow_credentials(allow_http=self._allow_http)
        return origin

    async def _learn_region(self, bucket: str, target: _Target, reply: Reply) -> bool:
        region = reply.headers.get("x-amz-bucket-region") or xml.error(await reply.read_error()).region
        if region is None or region == target.signer.scope.region or not _REGION.fullmatch(region):
            return False
        self._regions[bucket] = region
        self._targets.pop(bucket, None)
        return True


class _Target:
    """
    Where the requests to one bucket go: origin, the path before the key, and who signs.
    """

    __slots__ = ("origin", "path", "signer")

    def __init__(self, origin: Origin, path: str, signer: AuthMiddleware) -> None:
        self.origin = origin
        self.path = path
        self.signer = signer


def _with_bucket(base: str, bucket: str) -> str:
    scheme, _, rest = base.partition("://")
    return f"{scheme}://{bucket}.{rest}"


def _suffix(region: str) -> str:
    # https://docs.aws.amazon.com/general/latest/gr/s3.html
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"

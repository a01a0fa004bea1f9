"""
Where a bucket is: endpoint, style of addressing and region, found once and remembered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from asyncstore.auth.aws import AWSCredentials
from asyncstore.auth.credentials import require_tls
from asyncstore.auth.sigv4 import Scope
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import Origin
from asyncstore.uri import ObjectURI

DEFAULT_REGION: Final = "us-east-1"

# https://docs.aws.amazon.com/general/latest/gr/s3.html
_AWS_HOST: Final = re.compile(r"(?:.+\.)?amazonaws\.com(?:\.cn)?")
_AWS_REGIONAL: Final = re.compile(r"s3(?:[.-]([a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?")
_AWS_BUCKET: Final = re.compile(r"[^/]+\.s3[.-]([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_REGION: Final = re.compile(r"[a-z][a-z0-9-]{1,40}")

# A certificate for *.host covers one label, so a name with dots stays in the path.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
_DNS_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """
    Where the requests for one bucket go.

    Attributes:
        origin: The server.
        path: What comes before ``/key``: ``/bucket``, or nothing where the bucket
            is in the host name.
        scope: What signatures are made for.
    """

    origin: Origin
    path: str
    scope: Scope


class Addresses:
    """
    Finds the place of each bucket, and corrects it when the provider knows better.
    """

    def __init__(
        self,
        *,
        endpoint: str | None,
        region: str | None,
        style: str,
        credentials: AWSCredentials,
        allow_http: bool,
    ) -> None:
        self._endpoint = None if endpoint is None else Origin.parse(endpoint)
        self._region = region
        self._style = style
        self._credentials = credentials
        self._allow_http = allow_http
        self._places: dict[tuple[str, str | None], Place] = {}
        if self._endpoint is not None:
            self._check(self._endpoint)

    def known(self, uri: ObjectURI) -> Place | None:
        """
        Return the place of a bucket that was asked for before.
        """
        return self._places.get((uri.bucket, uri.region))

    async def find(self, uri: ObjectURI) -> Place:
        """
        Return the place of a bucket; may ask the credentials for their region.
        """
        region = self._region or uri.region or self._endpoint_region() or await self._credentials.region()
        # Tasks may meet here: what one of them has learned meanwhile is better.
        return self.known(uri) or self._put(uri, region or DEFAULT_REGION)

    def moved(self, uri: ObjectURI, region: str | None, endpoint: str | None) -> bool:
        """
        Note what a reply said about the bucket's region; ``False`` if it is nothing new.

        Args:
            region: From a header or the error.
            endpoint: A host name from the error. Only its region is taken, so a
                reply can send credentials nowhere but to AWS.
        """
        if region is None and endpoint is not None and (match := _AWS_BUCKET.fullmatch(endpoint)):
            region = match.group(1)
        old = self.known(uri)
        if region is None or not _REGION.fullmatch(region) or (old and old.scope.region == region):
            return False
        self._put(uri, region)
        return True

    @property
    def configured(self) -> str:
        """What is known of the endpoint before the region is."""
        return self._endpoint.base if self._endpoint else "the region's own"

    def endpoint(self, region: str) -> str:
        """
        Return the address of the service itself in *region*.
        """
        given = self._endpoint
        if given is not None and not (given.base.startswith("https:") and _AWS_REGIONAL.fullmatch(given.host)):
            return given.base
        suffix = ".cn" if region.startswith("cn-") else ""
        return f"https://s3.{region}.amazonaws.com{suffix}"

    def _put(self, uri: ObjectURI, region: str) -> Place:
        if not _REGION.fullmatch(region):
            raise ConfigurationError(f"{region!r} is no region")
        service = Origin.parse(self.endpoint(region))
        place = Place(service, f"{service.path}/{uri.bucket}", Scope(region))
        if self._virtual(service, uri.bucket):
            scheme, _, rest = service.base.partition("://")
            place = Place(Origin.parse(f"{scheme}://{uri.bucket}.{rest}"), service.path, Scope(region))
        self._check(place.origin)
        self._places[uri.bucket, uri.region] = place
        return place

    def _virtual(self, service: Origin, bucket: str) -> bool:
        if self._style != "auto":
            return self._style == "virtual"
        return _AWS_HOST.fullmatch(service.host) is not None and _DNS_LABEL.fullmatch(bucket) is not None

    def _endpoint_region(self) -> str | None:
        match = _AWS_REGIONAL.fullmatch(self._endpoint.host) if self._endpoint else None
        return match.group(1) if match else None

    def _check(self, origin: Origin) -> None:
        if not self._credentials.anonymous:
            require_tls(origin.base, allow_http=self._allow_http)

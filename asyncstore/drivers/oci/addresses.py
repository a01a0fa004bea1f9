"""
Where a bucket is: the endpoint of its region, its namespace, and the paths below.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from asyncstore.auth.credentials import require_tls
from asyncstore.auth.oci import OCICredentials
from asyncstore.auth.oci_regions import canonical_region
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import Origin
from asyncstore.uri import ObjectURI

# A path that is "." or ".." would be taken away on the way.
_DOTS: Final = {".": "%2E", "..": "%2E%2E"}


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """
    The service in one region.

    Attributes:
        region: Its name; ``None`` where only the address is known.
    """

    origin: Origin
    region: str | None


class Addresses:
    """
    Finds the endpoint of each region.
    """

    def __init__(
        self, *, endpoint: str | None, region: str | None, credentials: OCICredentials, allow_http: bool
    ) -> None:
        self._given = None if endpoint is None else Origin.parse(endpoint)
        self._region = None if region is None else canonical_region(region)
        self._credentials = credentials
        self._allow_http = allow_http
        self._endpoints: dict[str | None, Endpoint] = {}
        if self._given is not None:
            self._check(self._given)

    def known(self, uri: ObjectURI) -> Endpoint | None:
        """
        Return the endpoint for *uri* if it was asked for before.
        """
        return self._endpoints.get(uri.region)

    async def find(self, uri: ObjectURI) -> Endpoint:
        """
        Return the endpoint for *uri*; may ask the credentials for their region.

        Raises:
            ConfigurationError: Nobody names a region, or it is none.
        """
        region = self._region or uri.region or await self._credentials.region()
        if region is not None:
            region = canonical_region(region)
        origin = self._given or await self._regional(region)
        self._check(origin)
        # Tasks may meet here: all have the one that was first.
        return self._endpoints.setdefault(uri.region, Endpoint(origin, region))

    async def _regional(self, region: str | None) -> Origin:
        if region is None:
            raise ConfigurationError(
                "no region for OCI: give region=, write oci://namespace@region/bucket/key, or set OCI_REGION"
            )
        domain = await self._credentials.domain(region)
        return Origin.parse(f"https://objectstorage.{region}.{domain}")

    @property
    def configured(self) -> str:
        """What is known of the endpoint before the region is."""
        return self._given.base if self._given else "the region's own"

    def _check(self, origin: Origin) -> None:
        if not self._credentials.anonymous:
            require_tls(origin.base, allow_http=self._allow_http)


def encode_segment(name: str) -> str:
    """
    Percent-encode a name for one segment of a path, slashes too.
    """
    return _DOTS.get(name) or quote(name, safe="")


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """
    Percent-encode names and values into a query string, in the order given.
    """
    return "&".join([f"{name}={quote(value, safe='')}" for name, value in pairs])

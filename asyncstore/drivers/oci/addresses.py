"""
The endpoint of each region, and names in paths and queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from asyncstore.auth.oci.credentials import OCICredentials
from asyncstore.auth.oci.regions import canonical_region
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import Origin, require_tls
from asyncstore.uri import ObjectURI

# A segment "." or ".." would be removed on the way.
_DOTS: Final = {".": "%2E", "..": "%2E%2E"}


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """
    The service in one region.

    Attributes:
        region: Its name; ``None`` if only the endpoint is known.
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
        self._configured = None if endpoint is None else Origin.parse(endpoint)
        self._region = None if region is None else canonical_region(region)
        self._credentials = credentials
        self._allow_http = allow_http
        self._endpoints: dict[str | None, Endpoint] = {}
        if self._configured is not None:
            self._check(self._configured)

    def known(self, uri: ObjectURI) -> Endpoint | None:
        """
        Return the endpoint for *uri* if :meth:`find` has found it before.
        """
        return self._endpoints.get(uri.region)

    async def find(self, uri: ObjectURI) -> Endpoint:
        """
        Return the endpoint for *uri*; may ask the credentials for their region.

        Raises:
            ConfigurationError: No region is configured, or its name is invalid.
        """
        region = self._region or uri.region or await self._credentials.region()
        if region is not None:
            region = canonical_region(region)
        origin = self._configured or await self._regional(region)
        self._check(origin)
        # All tasks that get here at the same time share the first endpoint.
        return self._endpoints.setdefault(uri.region, Endpoint(origin, region))

    async def _regional(self, region: str | None) -> Origin:
        if region is None:
            raise ConfigurationError(
                "OCI needs a region: set region= or OCI_REGION, or use a URI such as oci://namespace@region/bucket/key"
            )
        domain = await self._credentials.domain(region)
        return Origin.parse(f"https://objectstorage.{region}.{domain}")

    @property
    def configured(self) -> str:
        """The endpoint as far as it is known before the region is."""
        return self._configured.base if self._configured else "the region's own"

    def _check(self, origin: Origin) -> None:
        if not self._credentials.anonymous:
            require_tls(origin.base, allow_http=self._allow_http)


def encode_segment(name: str) -> str:
    """
    Percent-encode a name for one segment of a path, slashes too.
    """
    return _DOTS.get(name) or quote(name, safe="")

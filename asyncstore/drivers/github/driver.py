"""
The GitHub driver: releases of github.com, of ghe.com and of Enterprise servers.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from asyncstore.auth.credentials import require_tls
from asyncstore.auth.github import GitHubCredentials, default_api_url, github_credentials
from asyncstore.body import Body, ReadBody
from asyncstore.config import StorageConfig
from asyncstore.driver import Capabilities, Driver
from asyncstore.drivers.github.links import Links
from asyncstore.drivers.github.listing import MAX_KEYS, Listings
from asyncstore.drivers.github.names import MAX_NAME
from asyncstore.drivers.github.reading import Reading
from asyncstore.drivers.github.releases import Releases
from asyncstore.drivers.github.settings import GitHubSettings
from asyncstore.drivers.github.wire import Wire
from asyncstore.drivers.github.writing import Writing
from asyncstore.errors import ConfigurationError, NotSupportedError, StorageError
from asyncstore.http.client import HTTPClient
from asyncstore.http.failures import FAILURES, translated
from asyncstore.http.origin import Origin
from asyncstore.options import DeleteOptions, GiB, ListOptions, ReadOptions, WriteOptions
from asyncstore.types import ChecksumAlgorithm, ListPage, Metadata, ObjectInfo
from asyncstore.uri import ObjectURI, Provider

CAPABILITIES: Final = Capabilities(
    # "Each file included in a release must be under 2 GiB." A release has up to 1,000 of them.
    reference="https://docs.github.com/repositories/releasing-projects-on-github/about-releases#storage-and-bandwidth-quotas",
    # "size must be greater than or equal to 1", it answers to others.
    min_object_size=1,
    max_object_size=2 * GiB - 1,
    max_put_size=2 * GiB - 1,
    # A tag, a slash and a name.
    max_key_bytes=2 * MAX_NAME + 1,
    max_metadata_bytes=0,
    list_page_size=MAX_KEYS,
    # The ETag is the id of an asset, whose bytes never change: what has been compared is what is read or deleted.
    conditional_read=True,
    conditional_delete=True,
    metadata=False,
    content_type=True,
    content_headers=False,
    checksums=frozenset({ChecksumAlgorithm.SHA256}),
)


def open_driver(config: StorageConfig) -> GitHubDriver:
    """
    Return a driver as *config* describes it; nothing is read or sent yet.

    Raises:
        ConfigurationError: A setting is unknown or does not fit; the token would go
            over plain HTTP.
    """
    rest = dict(config.settings)
    base_url = rest.pop("base_url", None)
    if base_url is not None and config.endpoint_url is not None:
        raise ConfigurationError("give base_url or endpoint_url, not both")
    api = Origin.parse(base_url or config.endpoint_url or default_api_url())
    repository = f"{config.uri.namespace}/{config.uri.bucket}"
    credentials = github_credentials(config.auth, rest, http=config.http, api_url=api.base, repository=repository)
    settings = GitHubSettings.take(rest)
    if not credentials.anonymous:
        require_tls(api.base, allow_http=config.http.allow_http)
    return GitHubDriver(Wire(HTTPClient(config.http, config.session), credentials, api), settings)


class GitHubDriver(Driver):
    """
    One storage on GitHub. Made by :func:`open_driver`.
    """

    provider = Provider.GITHUB
    capabilities = CAPABILITIES
    preferred_checksum = ChecksumAlgorithm.SHA256

    def __init__(self, wire: Wire, settings: GitHubSettings) -> None:
        links = Links()
        releases = Releases(wire, settings)
        self._wire = wire
        self._reading = Reading(wire, releases, links)
        self._writing = Writing(wire, releases, links)
        self._listings = Listings(releases, settings)

    def open_read(self, uri: ObjectURI, options: ReadOptions) -> Coroutine[Any, Any, ReadBody]:
        return self._reading.open_read(uri, options)

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        return await self._writing.put(uri, body, options)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        await self._writing.delete(uri, options)

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        return await self._reading.stat(uri, options)

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await self._listings.list_page(prefix, options, token)

    def native(self) -> AbstractAsyncContextManager[Any]:
        """
        Refuse: GitHub publishes no client for asyncio, and PyGithub blocks.
        """
        raise NotSupportedError(
            "GitHub publishes no asyncio client; asyncstore.auth.github.github_credentials().http_client([api]) "
            "is an aiohttp session with the token",
            op="native",
            provider=self.provider,
        )

    @property
    def credentials(self) -> GitHubCredentials:
        return self._wire.credentials

    def describe(self) -> dict[str, str]:
        credentials = self._wire.credentials
        return {
            "endpoint": self._wire.api.base,
            "credentials": f"{credentials.auth_type} ({credentials.source})",
            "rate limit": f"used up for {self._wire.held:.0f} s" if self._wire.held else "not reached",
        }

    def classify(self, error: Exception) -> StorageError | None:
        return translated(error) if isinstance(error, FAILURES) else None

    async def aclose(self) -> None:
        await self._wire.http.aclose()
        await self._wire.credentials.aclose()

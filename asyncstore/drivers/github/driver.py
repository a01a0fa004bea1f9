"""
The GitHub driver: releases of github.com, of ghe.com and of Enterprise servers.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from asyncstore.auth.github.credentials import SETTINGS, default_api_url, github_credentials
from asyncstore.config import StorageConfig
from asyncstore.driver import Capabilities
from asyncstore.driver.settings import at_most_one, read_settings
from asyncstore.drivers.github.listing import MAX_KEYS, Listings
from asyncstore.drivers.github.names import MAX_NAME
from asyncstore.drivers.github.settings import GitHubSettings
from asyncstore.drivers.github.wire import Wire
from asyncstore.drivers.github.writing import Writes
from asyncstore.errors import NotSupportedError
from asyncstore.http.client import HTTPClient
from asyncstore.http.origin import Origin, require_tls
from asyncstore.options import GiB
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import Provider

CAPABILITIES: Final = Capabilities(
    # "Each file included in a release must be under 2 GiB." A release has up to 1,000 of them.
    reference="https://docs.github.com/repositories/releasing-projects-on-github/about-releases#storage-and-bandwidth-quotas",
    # Empty assets are refused: "size must be greater than or equal to 1".
    min_object_size=1,
    max_object_size=2 * GiB - 1,
    max_put_size=2 * GiB - 1,
    # A tag, a slash and a name.
    max_key_bytes=2 * MAX_NAME + 1,
    max_metadata_bytes=0,
    list_page_size=MAX_KEYS,
    # The ETag is the id of an asset, whose bytes never change, so a check before the request is safe.
    conditional_read=True,
    conditional_delete=True,
    metadata=False,
    content_type=True,
    content_headers=False,
    checksums=frozenset({ChecksumAlgorithm.SHA256}),
)


def open_driver(config: StorageConfig) -> GitHubDriver:
    """
    Return a driver for *config*; nothing is read or sent.

    Raises:
        ConfigurationError: A setting is unknown or invalid, or the token would be sent over plain HTTP.
    """
    rest = dict(config.settings)
    base_url = rest.pop("base_url", None)
    at_most_one(base_url=base_url, endpoint_url=config.endpoint_url)
    api = Origin.parse(base_url or config.endpoint_url or default_api_url())
    repository = f"{config.uri.namespace}/{config.uri.bucket}"
    credentials = github_credentials(config.auth, rest, http=config.http, api_url=api.base, repository=repository)
    settings = read_settings(GitHubSettings, rest, provider="github", others=("base_url", *SETTINGS))
    if not credentials.anonymous:
        require_tls(api.base, allow_http=config.http.allow_http)
    return GitHubDriver(
        Wire(HTTPClient(config.http, config.session, request_id_header="x-github-request-id"), credentials, api),
        settings,
    )


class GitHubDriver(Writes, Listings):
    """
    A storage on GitHub; :func:`open_driver` creates it.
    """

    provider = Provider.GITHUB
    capabilities = CAPABILITIES
    preferred_checksum = ChecksumAlgorithm.SHA256

    def native(self) -> AbstractAsyncContextManager[Any]:
        """
        Always raise NotSupportedError: GitHub has no asyncio client, and PyGithub blocks.
        """
        raise NotSupportedError(
            "GitHub has no asyncio client; asyncstore.auth.github.github_credentials().http_client([api]) "
            "is an aiohttp session with the token",
            op="native",
            provider=self.provider,
        )

    def describe(self) -> dict[str, str]:
        return {
            "endpoint": self._wire.api.base,
            "rate limit": f"exceeded, resets in {self._wire.held:.0f} s" if self._wire.held else "not exceeded",
            **super().describe(),
        }

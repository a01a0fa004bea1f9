"""
Where the blobs are: the endpoint of the account, and the paths of containers and blobs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from asyncstore.auth.azure import AzureCredentials
from asyncstore.auth.azure_account import account_endpoint, account_of
from asyncstore.auth.credentials import require_tls
from asyncstore.config import StorageConfig
from asyncstore.errors import ConfigurationError, InvalidURIError
from asyncstore.http.origin import Origin
from asyncstore.uri import ObjectURI

# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])*|\$(?:root|web|logs|blobchangefeed)")

# A server that tidies up paths, as this one does, would take them for other blobs.
_DOTS: Final = re.compile(r"(?:^|/)\.\.?(?:/|$)")


class Addresses:
    """
    The endpoint of one storage account.

    Attributes:
        origin: The server; its path holds the account where the host name does not.
        account: Name of the account; ``None`` behind a custom domain that nobody named.
    """

    def __init__(self, config: StorageConfig, credentials: AzureCredentials, suffix: str) -> None:
        account = credentials.account
        endpoint = config.endpoint_url or credentials.service_endpoint()
        if endpoint is None:
            if account is None:
                raise ConfigurationError(
                    "no storage account: write azure://container@account, or give account_name, connection_string "
                    "or endpoint_url"
                )
            endpoint = account_endpoint(account, suffix)
        if "?" in endpoint:
            # Not shown: it is where a signature stands.
            raise ConfigurationError("an endpoint has no query: give the signature in it as sas_token")
        self.origin = Origin.parse(endpoint)
        told = account_of(self.origin.host, self.origin.path)
        if told is not None and account is not None and told != account:
            raise ConfigurationError(f"the endpoint is that of the account {told}, not {account}")
        self.account = credentials.account = account or told
        self._containers: dict[tuple[str, str | None], str] = {}
        if not credentials.anonymous:
            require_tls(self.origin.base, allow_http=config.http.allow_http)

    def container(self, uri: ObjectURI) -> str:
        """
        Return the path of the container of *uri*.

        Raises:
            InvalidURIError: It is in another account, or no container has that name.
        """
        known = self._containers.get((uri.bucket, uri.namespace))
        if known is not None:
            return known
        if uri.namespace is not None and self.account is not None and uri.namespace != self.account:
            raise InvalidURIError(f"{uri} is in another account than this storage, which is {self.account}")
        if not _CONTAINER.fullmatch(uri.bucket):
            raise InvalidURIError(
                f"{uri.bucket!r} is no container: 3 to 63 lower-case letters, digits and single hyphens"
            )
        path = self._containers[uri.bucket, uri.namespace] = f"{self.origin.path}/{uri.bucket}"
        return path

    def blob(self, uri: ObjectURI) -> str:
        """
        Return the path of the blob *uri*, percent-encoded.

        Raises:
            InvalidURIError: The service would take the key for another one.
        """
        key = uri.key
        if "\\" in key or ("." in key and _DOTS.search(key)):
            raise InvalidURIError(
                f"Azure cannot tell the key {key[:80]!r} from another: it takes a backslash for a slash, "
                "and drops the segments . and .."
            )
        return f"{self.container(uri)}/{quote(key, safe='/')}"

    def url(self, path: str, query: str = "") -> str:
        """
        Return the whole address of *path*.
        """
        root = self.origin.base.removesuffix(self.origin.path) if self.origin.path else self.origin.base
        return f"{root}{path}?{query}" if query else f"{root}{path}"


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """
    Percent-encode names and values into a query string, in the order given.
    """
    return "&".join([f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs])

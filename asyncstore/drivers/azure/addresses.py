"""
The endpoint of the account, and the paths of containers and blobs.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from asyncstore.auth.azure.account import DEFAULT_SUFFIX, account_endpoint, account_of, blob_endpoint, suffix_of
from asyncstore.auth.azure.credentials import AzureCredentials
from asyncstore.config import StorageConfig
from asyncstore.errors import ConfigurationError, InvalidURIError
from asyncstore.http.origin import Origin, require_tls
from asyncstore.uri import ObjectURI

# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_CONTAINER: Final = re.compile(r"(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])*|\$(?:root|web|logs|blobchangefeed)")

# The service normalizes paths, so keys with such segments would name other blobs.
_DOTS: Final = re.compile(r"(?:^|/)\.\.?(?:/|$)")


class Addresses:
    """
    The endpoint of one storage account.

    Attributes:
        origin: The server; its path contains the account if the host name does not.
        account: Name of the account; ``None`` behind a custom domain without ``account_name``.
    """

    def __init__(self, config: StorageConfig, credentials: AzureCredentials, suffix: str | None) -> None:
        account = credentials.account
        endpoint = config.endpoint_url or credentials.service_endpoint()
        if endpoint is None:
            if account is None:
                raise ConfigurationError(
                    "the storage account is missing: use azure://container@account, or set account_name, "
                    "connection_string or endpoint_url"
                )
            endpoint = account_endpoint(account, suffix or DEFAULT_SUFFIX)
        if "?" in endpoint:
            # Not shown, since it may contain a signature.
            raise ConfigurationError("the endpoint must not have a query: pass a signature as sas_token")
        self.origin = _without_container(Origin.parse(blob_endpoint(endpoint)), config.uri.bucket)
        named = account_of(self.origin.host, self.origin.path)
        if named is not None and account is not None and named != account:
            raise ConfigurationError(f"the endpoint belongs to account {named!r}, but the settings name {account!r}")
        self.account = credentials.account = account or named
        self._suffix = suffix_of(self.origin.host)
        self._containers: dict[tuple[str, str | None, str | None], str] = {}
        self._check_cloud(config.uri)
        if not credentials.anonymous:
            require_tls(self.origin.base, allow_http=config.http.allow_http)

    def container(self, uri: ObjectURI) -> str:
        """
        Return the path of the container of *uri*.

        Raises:
            InvalidURIError: It is in another account, or its name is not valid.
        """
        known = self._containers.get((uri.bucket, uri.namespace, uri.region))
        if known is not None:
            return known
        if uri.namespace is not None and self.account is not None and uri.namespace != self.account:
            raise InvalidURIError(f"{uri} is in another account than this storage, which uses {self.account!r}")
        self._check_cloud(uri)
        if not _CONTAINER.fullmatch(uri.bucket):
            raise InvalidURIError(
                f"{uri.bucket!r} is not a container name: use 3 to 63 lower-case letters, digits and single hyphens"
            )
        path = self._containers[uri.bucket, uri.namespace, uri.region] = f"{self.origin.path}/{uri.bucket}"
        return path

    def _check_cloud(self, uri: ObjectURI) -> None:
        # Unknown behind a custom domain.
        if uri.region is not None and self._suffix not in (None, uri.region):
            raise InvalidURIError(f"{uri} is in another cloud than this storage, which uses {self.origin.base}")

    def blob(self, uri: ObjectURI) -> str:
        """
        Return the path of the blob *uri*, percent-encoded.

        Raises:
            InvalidURIError: The service would treat the key as another one.
        """
        key = uri.key
        if "\\" in key or ("." in key and _DOTS.search(key)):
            raise InvalidURIError(
                f"Azure cannot store the key {key[:80]!r}: it turns a backslash into a slash "
                "and drops the segments . and .."
            )
        return f"{self.container(uri)}/{quote(key, safe='/')}"

    def url(self, path: str, query: str = "") -> str:
        """
        Return the URL of *path*.
        """
        root = self.origin.base.removesuffix(self.origin.path) if self.origin.path else self.origin.base
        return f"{root}{path}?{query}" if query else f"{root}{path}"


def _without_container(origin: Origin, container: str) -> Origin:
    """
    Return *origin* without the container at the end of its path, as portals write the endpoint of one container.

    Raises:
        ConfigurationError: It is the endpoint of another container.
    """
    account, _, rest = origin.path.lstrip("/").partition("/")
    if suffix_of(origin.host) is not None:
        # The account is in the host, so that the path can only be a container and a blob.
        account, rest = "", origin.path.lstrip("/")
    elif account_of(origin.host, origin.path) is None:
        # A custom domain can have a path of its own.
        above, _, last = origin.path.rpartition("/")
        return _under(origin, above) if last == container else origin
    named = rest.partition("/")[0]
    if named not in ("", container):
        raise ConfigurationError(f"the endpoint is that of the container {named!r}, and the URI names {container!r}")
    return _under(origin, f"/{account}" if account else "")


def _under(origin: Origin, path: str) -> Origin:
    return Origin.parse(origin.base.removesuffix(origin.path) + path) if path != origin.path else origin

"""
The URLs that replies name, and which of their hosts may receive the token.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from yarl import URL

from asyncstore.errors import UnavailableError
from asyncstore.http.origin import Origin
from asyncstore.uri import ObjectURI

# Characters of a path segment that are not percent-encoded.
_SAFE: Final = "-._~"

# By owner and name, or by its number, which stays.
_REPOSITORY: Final = re.compile(r"/(?:repos/[^/]+/[^/]+|repositories/\d+)(?=/|$)")


def repository_path(uri: ObjectURI) -> str:
    """
    Return the path of a repository below the API.
    """
    return f"/repos/{quote(uri.namespace or '', safe=_SAFE)}/{quote(uri.bucket, safe=_SAFE)}"


def split_repository(path: str) -> tuple[str, str]:
    """
    Return the part of a path below the API that names the repository, and the rest.
    """
    match = _REPOSITORY.match(path)
    end = match.end() if match else 0
    return path[:end], path[end:]


def repository_place(api: Origin, location: str, rest: str) -> str | None:
    """
    Return the path of a repository to which GitHub redirects a request for *rest* below its old path.

    ``None`` if *location* is on another server, where the token is not sent, or names something else.
    """
    try:
        origin, path, _ = split_url(str(api.url.join(URL(location, encoded=True))))
    except (UnavailableError, ValueError):
        return None
    if (origin.url.scheme, origin.host) != (api.url.scheme, api.host) or not path.startswith(f"{api.path}/"):
        return None
    repository, found = split_repository(path.removeprefix(api.path))
    return repository if repository and unquote(found) == unquote(rest) else None


def split_url(text: str) -> tuple[Origin, str, str]:
    """
    Return the server, path and query of a URL in a reply, without decoding them.

    Raises:
        UnavailableError: *text* is not an HTTP or HTTPS URL.
    """
    try:
        url = URL(text, encoded=True)
        origin = Origin.parse(str(url.origin()))
    except ValueError:
        raise UnavailableError("a URL in GitHub's reply is not valid", retryable=False) from None
    return origin, url.raw_path, url.raw_query_string


def upload_place(api: Origin, template: str) -> tuple[Origin, str]:
    """
    Return the server and path of an ``upload_url``.

    The token is sent there, so it must be GitHub's own upload host: ``uploads.`` instead of ``api.`` on
    github.com and ghe.com, and the API's host itself on an Enterprise server.

    Raises:
        UnavailableError: It is another host, or does not use TLS although the API does.
    """
    origin, path, _ = split_url(template.partition("{")[0])
    api_host, host = api.url.raw_host or "", origin.url.raw_host or ""
    same = (origin.url.scheme, origin.host) == (api.url.scheme, api.host)
    beside = origin.url.scheme == "https" and host == f"uploads.{api_host.removeprefix('api.')}"
    if not (same or beside):
        raise UnavailableError(
            f"the upload URL names {host}, not the upload host of {api_host}: nothing was sent",
            retryable=False,
        )
    return origin, path


def asset_place(api: Origin, location: str) -> tuple[Origin, str, str]:
    """
    Return the server, path and query of an asset's bytes. The token is not sent there.

    Raises:
        UnavailableError: It does not use TLS although the API does.
    """
    origin, path, rest = split_url(location)
    if origin.url.scheme != "https" and api.url.scheme == "https":
        raise UnavailableError("the URL of the asset is not HTTPS: nothing was sent", retryable=False)
    return origin, path, rest

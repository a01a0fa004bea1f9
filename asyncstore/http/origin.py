"""
Where requests may go: scheme, host and port, validated once; and their queries.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from yarl import URL

from asyncstore._support.redact import redact
from asyncstore.errors import ConfigurationError

# Endpoints are shown by describe() and in logs. https://docs.oracle.com/iaas/Content/Object/Tasks/usingpreauthenticatedrequests.htm
_PREAUTHENTICATED: Final = re.compile(r"/p/[^/]+(?:/n/|/?$)")


@dataclass(frozen=True, slots=True)
class Origin:
    """
    One server that a storage talks to.

    Attributes:
        base: Scheme, host and port, and a path that all requests start with;
            without a slash at the end.
        host: The value of the ``Host`` header, which signatures cover.
        path: The path of *base*, percent-encoded.
        loopback: Whether it is on this machine.
        url: The URL without a path.
    """

    base: str
    host: str
    path: str
    loopback: bool
    url: URL

    @classmethod
    def parse(cls, url: str) -> Origin:
        """
        Parse the URL of a server.

        Raises:
            ConfigurationError: It is not an http or https URL, or has more than a path.
        """
        try:
            parsed = URL(url)
        except ValueError:
            parsed = URL()
        if parsed.scheme not in ("http", "https") or not parsed.raw_host:
            raise ConfigurationError(
                f"an endpoint is a URL such as https://host or https://host:port, not {redact(url)!r}"
            )
        if parsed.raw_user or parsed.raw_password or parsed.raw_query_string or parsed.raw_fragment:
            raise ConfigurationError("an endpoint must not have a user, password, query or fragment")
        if _PREAUTHENTICATED.match(parsed.raw_path):
            raise ConfigurationError(
                "an endpoint must not be a pre-authenticated request, which grants access to one object or bucket: "
                "use the part before /p/, with credentials"
            )
        host = parsed.host_port_subcomponent or ""
        path = parsed.raw_path.rstrip("/")
        return cls(f"{parsed.scheme}://{host}{path}", host, path, is_loopback(parsed.raw_host), parsed.origin())

    def at(self, path: str, query: str) -> URL:
        """
        Return a URL on this server, from a path and query that are percent-encoded already.
        """
        if not query:
            # The fastest way to a URL that yarl does not requote.
            return self.url.with_path(path, encoded=True)
        return URL.build(scheme=self.url.scheme, authority=self.host, path=path, query_string=query, encoded=True)


def is_safe(url: str, *, allow_http: bool = False) -> bool:
    """
    Return whether secrets may be sent to *url*: over TLS, to this machine, or because it is allowed.
    """
    parts = urlsplit(url)
    return parts.scheme == "https" or allow_http or is_loopback(parts.hostname or "")


def require_tls(url: str, *, allow_http: bool = False) -> None:
    """
    Check that credentials may be sent to *url*.

    Raises:
        ConfigurationError: It is plain HTTP to another machine, and that is not allowed.
    """
    parts = urlsplit(url)
    if is_safe(url, allow_http=allow_http):
        return
    raise ConfigurationError(
        f"credentials would travel unencrypted to {parts.scheme}://{parts.hostname}: use https, or set allow_http=True"
    )


def is_loopback(host: str) -> bool:
    """
    Return whether *host* is this machine: a loopback address, or ``localhost``.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """
    Percent-encode names and values into a query string, in their order.
    """
    return "&".join([f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs])

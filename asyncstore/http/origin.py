"""
Where requests may go: scheme, host and port, checked once and then used as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from yarl import URL

from asyncstore.auth.credentials import is_loopback
from asyncstore.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Origin:
    """
    One server that a storage talks to.

    Attributes:
        base: Scheme, host and port, and a path that all requests start with;
            without a slash at the end.
        host: The value of the ``Host`` header, which signatures cover.
        path: The path of *base*, percent-encoded.
        loopback: Whether it is this machine.
        url: The same without a path.
    """

    base: str
    host: str
    path: str
    loopback: bool
    url: URL

    @classmethod
    def parse(cls, url: str) -> Origin:
        """
        Read the address of a server.

        Raises:
            ConfigurationError: It is no http or https URL, or has more than a path.
        """
        try:
            parsed = URL(url)
        except ValueError:
            parsed = URL()
        if parsed.scheme not in ("http", "https") or not parsed.raw_host:
            raise ConfigurationError("an endpoint is written https://host or https://host:port")
        if parsed.raw_user or parsed.raw_password or parsed.raw_query_string or parsed.raw_fragment:
            raise ConfigurationError("an endpoint has no user, password, query or fragment")
        host = parsed.host_port_subcomponent or ""
        path = parsed.raw_path.rstrip("/")
        return cls(f"{parsed.scheme}://{host}{path}", host, path, is_loopback(parsed.raw_host), parsed.origin())

    def at(self, path: str, query: str) -> URL:
        """
        Return an address on this server, from what is percent-encoded already.
        """
        if not query:
            # The quickest way to a URL that yarl does not touch.
            return self.url.with_path(path, encoded=True)
        return URL.build(scheme=self.url.scheme, authority=self.host, path=path, query_string=query, encoded=True)

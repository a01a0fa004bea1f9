"""
Where requests may go: scheme, host and port, checked once and then used as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from yarl import URL

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
    """

    base: str
    host: str
    path: str
    loopback: bool

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
        return cls(f"{parsed.scheme}://{host}{path}", host, path, is_loopback(parsed.raw_host))

    def allow_credentials(self, *, allow_http: bool) -> None:
        """
        Refuse to send credentials in the clear to another machine.

        Raises:
            ConfigurationError: This is plain HTTP, and not on loopback.
        """
        if self.base.startswith("http:") and not self.loopback and not allow_http:
            raise ConfigurationError(
                f"credentials would travel in the clear to {self.host}: use https, or set allow_http=True"
            )


def is_loopback(host: str) -> bool:
    """
    Tell whether *host* is a name or address of this machine.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False

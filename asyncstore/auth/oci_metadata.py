"""
The metadata service of an OCI compute instance, by its second version.

https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from asyncstore.auth.chain import MissingCredentialsError, NobodyThereError
from asyncstore.auth.credentials import is_loopback
from asyncstore.auth.method import Given
from asyncstore.auth.oci_regions import canonical_region, find_domain, is_domain, known_domain
from asyncstore.auth.oci_session import refused
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import ConfigurationError, UnavailableError
from asyncstore.threads import in_thread

_ADDRESSES: Final = ("http://169.254.169.254", "http://[fd00:c1::a9fe:a9fe]")
_VERSION: Final = "/opc/v2"

# Not a secret: it keeps out whoever can make a program fetch a URL, but send no header.
_HEADERS: Final = {"Authorization": "Bearer Oracle"}


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where the instance is.

    Attributes:
        region: Its name.
        domain: Of the realm.
    """

    region: str
    domain: str


class InstanceMetadata:
    """
    Asks the service; never its first version, and never through a proxy.

    Raises:
        ConfigurationError: ``metadata_url`` is plain HTTP to some other host.
    """

    def __init__(self, given: Given, service: TokenService) -> None:
        self._given = given
        self._service = service
        self._base: str | None = None
        self._place: Place | None = None
        if "metadata_url" in given.settings:
            _checked(str(given.settings["metadata_url"]))

    async def text(self, path: str) -> str:
        """
        Return what is at *path*.

        Raises:
            MissingCredentialsError: There is nothing: this is no instance of OCI.
            NobodyThereError: No such service is there.
        """
        answer = await self._get(path)
        if answer.passing:
            raise refused(answer, "tells nothing")
        if answer.status != 200:
            # Other clouds have services of their own at this address.
            raise MissingCredentialsError(
                f"{answer.place} tells nothing (status {answer.status}): this is no instance of OCI", provider="oci"
            )
        return answer.text()

    async def place(self) -> Place:
        """
        Return the region of the instance, which is asked for once.
        """
        if self._place is None:
            self._place = await self._find_place()
        return self._place

    async def _find_place(self) -> Place:
        try:
            region = canonical_region(await self.text("/instance/region"))
        except ConfigurationError:
            raise UnavailableError("the metadata service gives something else than a region", provider="oci") from None
        domain = known_domain(region) or await self._described_domain()
        return Place(region, domain if domain is not None else await in_thread(find_domain, region))

    async def _described_domain(self) -> str | None:
        # Of regions that are newer than our table.
        answer = await self._get("/instance/regionInfo")
        found = answer.document().get("realmDomainComponent") if answer.status == 200 else None
        return found if isinstance(found, str) and is_domain(found) else None

    async def _get(self, path: str) -> Answer:
        bases = self._bases()
        for base in bases:
            try:
                return await self._ask(base, path)
            except NobodyThereError:
                if len(bases) == 1:
                    raise
        raise NobodyThereError(f"no answer from {' or '.join(bases)}: this is no instance of OCI", provider="oci")

    async def _ask(self, base: str, path: str) -> Answer:
        answer = await self._service.send("GET", base + path, _HEADERS, near=True)
        self._base = base
        return answer

    def _bases(self) -> tuple[str, ...]:
        if url := str(self._given.get("metadata_url") or "").strip():
            return (_checked(url),)
        return tuple(address + _VERSION for address in _ADDRESSES) if self._base is None else (self._base,)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    near = is_loopback(host) or f"http://{parts.netloc}" in _ADDRESSES
    if parts.scheme not in ("http", "https") or not host or (parts.scheme == "http" and not near):
        raise ConfigurationError(f"metadata_url is https, or http to this machine or one of {', '.join(_ADDRESSES)}")
    return url.rstrip("/")

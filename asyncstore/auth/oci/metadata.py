"""
The metadata service of an OCI compute instance, version 2.

https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from asyncstore._support.threads import in_thread
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.oci.regions import canonical_region, find_domain, is_domain, known_domain
from asyncstore.auth.oci.session import refused
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import MissingCredentialsError, NoLocalServiceError
from asyncstore.errors import ConfigurationError, UnavailableError
from asyncstore.http.origin import is_loopback

_ADDRESSES: Final = ("http://169.254.169.254", "http://[fd00:c1::a9fe:a9fe]")
_VERSION: Final = "/opc/v2"

# Not a secret: it stops attackers who can make a program fetch a URL but not send headers.
_HEADERS: Final = {"Authorization": "Bearer Oracle"}


@dataclass(frozen=True, slots=True)
class Location:
    """
    A region and the domain of its realm.
    """

    region: str
    domain: str


class InstanceMetadata:
    """
    Reads the metadata service; never its version 1, and never through a proxy.

    Raises:
        ConfigurationError: ``metadata_url`` is plain HTTP to another host.
    """

    def __init__(self, settings: MethodSettings, service: TokenService) -> None:
        self._settings = settings
        self._service = service
        self._base: str | None = None
        self._location: Location | None = None
        if "metadata_url" in settings.explicit:
            _checked(str(settings.explicit["metadata_url"]))

    async def text(self, path: str) -> str:
        """
        Return the document at *path*.

        Raises:
            MissingCredentialsError: The document does not exist, so this is not an OCI instance.
            NoLocalServiceError: The service could not be reached.
        """
        answer = await self._get(path)
        if answer.transient:
            raise refused(answer, "failed")
        if answer.status != 200:
            # Other clouds run different services at this address.
            raise MissingCredentialsError(
                f"{answer.place} returned status {answer.status}: not running on an OCI instance", provider="oci"
            )
        return answer.text()

    async def location(self) -> Location:
        """
        Return the location of the instance; it is requested once.
        """
        if self._location is None:
            self._location = await self._find_location()
        return self._location

    async def _find_location(self) -> Location:
        try:
            region = canonical_region(await self.text("/instance/region"))
        except ConfigurationError:
            raise UnavailableError("the metadata service returned no region", provider="oci") from None
        domain = known_domain(region) or await self._described_domain()
        return Location(region, domain if domain is not None else await in_thread(find_domain, region))

    async def _described_domain(self) -> str | None:
        # For regions that are newer than our table.
        answer = await self._get("/instance/regionInfo")
        found = answer.document().get("realmDomainComponent") if answer.status == 200 else None
        return found if isinstance(found, str) and is_domain(found) else None

    async def _get(self, path: str) -> Answer:
        bases = self._bases()
        for base in bases:
            try:
                return await self._ask(base, path)
            except NoLocalServiceError:
                if len(bases) == 1:
                    raise
        raise NoLocalServiceError(
            f"no answer from {' or '.join(bases)}: not running on an OCI instance", provider="oci"
        )

    async def _ask(self, base: str, path: str) -> Answer:
        answer = await self._service.send("GET", base + path, _HEADERS, near=True)
        self._base = base
        return answer

    def _bases(self) -> tuple[str, ...]:
        if url := str(self._settings.get("metadata_url") or "").strip():
            return (_checked(url),)
        return tuple(address + _VERSION for address in _ADDRESSES) if self._base is None else (self._base,)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    near = is_loopback(host) or f"http://{parts.netloc}" in _ADDRESSES
    if parts.scheme not in ("http", "https") or not host or (parts.scheme == "http" and not near):
        raise ConfigurationError(
            f"metadata_url must be https, or http to this machine or one of {', '.join(_ADDRESSES)}"
        )
    return url.rstrip("/")

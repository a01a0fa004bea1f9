"""
Tokens of the account of the machine that this runs on: Compute Engine, GKE, Cloud Run and others.

https://cloud.google.com/compute/docs/access/authenticate-workloads
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from asyncstore.auth.chain import MissingCredentialsError, NobodyThereError
from asyncstore.auth.credentials import is_loopback, require_tls
from asyncstore.auth.gcp_exchange import grant_of, refused
from asyncstore.auth.gcp_iam import IAM, IAMSigner
from asyncstore.auth.gcp_identity import UNIVERSE, Identity, Token
from asyncstore.auth.goog4 import URLSigner
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant
from asyncstore.errors import ConfigurationError, StorageError

#: https://cloud.google.com/compute/docs/metadata/querying-metadata
HOST: Final = "metadata.google.internal"

# The server hands out the same token until 3 min 45 s before its end.
# https://github.com/googleapis/google-auth-library-python/blob/main/google/auth/_helpers.py
_EARLY: Final = 225.0

_FLAVOR: Final = {"Metadata-Flavor": "Google"}

#: Names and addresses of the link that are not link-local by their form.
_NEAR: Final = frozenset({HOST, "fd20:ce::254", "fd00:ec2::254"})

_AUTHORITY: Final = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)


class MetadataServer(Identity):
    """
    The account of the machine, which its metadata server gives tokens of.

    Args:
        host: Says where the server is; called for each request.
        name: The account, where the machine has several.
        scopes: What tokens are for; where there are none, what the machine may do.
        signing: Makes what asks for signatures in a cloud, with tokens of this machine.
        universe_domain: The cloud; the server is asked where it is not given.
        allow_http: Whether the server may be another machine.
    """

    auth_type = "metadata"
    source = "the metadata server"

    def __init__(
        self,
        service: TokenService,
        host: Callable[[], str],
        *,
        name: str = "default",
        scopes: Sequence[str] = (),
        signing: Callable[[str], IAM],
        universe_domain: str | None = None,
        allow_http: bool = False,
    ) -> None:
        self.universe_domain = universe_domain or UNIVERSE
        self._given_universe = universe_domain
        self._service = service
        self._host = host
        self._name = name
        self._scopes = scopes
        self._signing = signing
        self._allow_http = allow_http
        self._iam: IAM | None = None
        self._signer: IAMSigner | None = None
        self._making = asyncio.Lock()

    async def fetch(self) -> Grant[Token]:
        query = {"scopes": ",".join(self._scopes)} if self._scopes else {}
        answer = await self._get(f"instance/service-accounts/{quote(self._name, safe='@')}/token", query)
        if answer.status == 404:
            raise MissingCredentialsError(f"the machine has no account {self._name!r}", provider="gcs", status=404)
        if answer.status != 200:
            raise refused(answer, "gives no token")
        return grant_of(answer, _EARLY)

    async def signer(self) -> URLSigner:
        """
        Return what signs with a key that only Google has, for which the account needs the right to sign for itself.
        """
        async with self._making:
            if self._signer is None:
                self._signer = await self._new_signer()
            return self._signer

    async def region(self) -> str | None:
        """
        Return the region of the zone that the machine is in.
        """
        try:
            zone = await self._text("instance/zone")
        except StorageError:
            return None
        # projects/1234/zones/europe-west6-b
        return zone.rpartition("/")[2].rpartition("-")[0] if zone else None

    async def aclose(self) -> None:
        if self._iam is not None:
            await self._iam.aclose()

    async def _new_signer(self) -> IAMSigner:
        self.account = await self._text(f"instance/service-accounts/{quote(self._name, safe='@')}/email")
        if self.account is None:
            raise MissingCredentialsError(f"the machine has no account {self._name!r}", provider="gcs", status=404)
        # Asked for here only: it is another request.
        if self._given_universe is None:
            self.universe_domain = await self._text("universe/universe-domain") or UNIVERSE
        self._iam = self._signing(self.universe_domain)
        return IAMSigner(self._iam, self.account)

    async def _text(self, path: str) -> str | None:
        answer = await self._get(path)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refused(answer, f"does not say its {path.rpartition('/')[2]}")
        return answer.text() or None

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        host = checked_host(self._host(), allow_http=self._allow_http)
        self.source = f"the metadata server {host}"
        url = f"http://{host}/computeMetadata/v1/{path}" + (f"?{urlencode(query, safe='/:,')}" if query else "")
        answer = await self._service.send("GET", url, _FLAVOR, near=True)
        if answer.headers.get("Metadata-Flavor") != "Google":
            raise NobodyThereError(f"{host} is no metadata server of Google", provider="gcs")
        return answer


def checked_host(host: str, *, allow_http: bool = False) -> str:
    """
    Return *host* if a token may come from there without TLS.

    Raises:
        ConfigurationError: It is no host, or another machine and that is not allowed.
    """
    if not _AUTHORITY.fullmatch(host):
        raise ConfigurationError("metadata_host is a host, perhaps with a port, such as 127.0.0.1:8080")
    if not is_near(urlsplit(f"http://{host}").hostname or ""):
        require_tls(f"http://{host}", allow_http=allow_http)
    return host


def is_near(host: str) -> bool:
    """
    Whether *host* is this machine, or what a cloud's machine finds on its own link.
    """
    if is_loopback(host) or host in _NEAR:
        return True
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False

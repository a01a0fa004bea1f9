"""
The metadata server of Compute Engine, GKE, Cloud Run and others: tokens of the machine's account.

https://cloud.google.com/compute/docs/access/authenticate-workloads
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from asyncstore.auth.gcp.goog4 import URLSigner
from asyncstore.auth.gcp.iam import IAM, IAMSigner
from asyncstore.auth.gcp.identity import UNIVERSE, Identity, Token
from asyncstore.auth.gcp.oauth import grant_of, refused
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.auth.tokens import Grant, MissingCredentialsError, NoLocalServiceError
from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.http.origin import is_loopback, require_tls

#: https://cloud.google.com/compute/docs/metadata/querying-metadata
HOST: Final = "metadata.google.internal"

# The server returns the same token until 3 min 45 s before its expiry.
# https://github.com/googleapis/google-auth-library-python/blob/main/google/auth/_helpers.py
_EARLY: Final = 225.0

#: Seconds between the first requests of a process. GKE's server needs some seconds before it accepts the requests of a
#: new pod. https://cloud.google.com/kubernetes-engine/docs/troubleshooting/authentication#pod-startup-timeout
START_WAITS: Final = (0.5, 1.0, 2.0)

_FLAVOR: Final = {"Metadata-Flavor": "Google"}

# Addresses of metadata servers that are not link-local in form.
_NEAR: Final = frozenset({HOST, "fd20:ce::254", "fd00:ec2::254"})

_AUTHORITY: Final = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)


class MetadataServer(Identity):
    """
    The service account of the machine.

    The first request is repeated for some seconds (:data:`START_WAITS`) if nobody answers.

    Args:
        host: Returns the address of the server; called for every request.
        name: The account, if the machine has several.
        scopes: OAuth scopes of the tokens; by default those of the machine.
        signing: Creates the IAM client of a universe, authenticated as this machine.
        universe_domain: Domain of the cloud; by default requested from the server.
        allow_http: Allow a server on another machine.
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
        self._universe_known = universe_domain is not None
        self._service = service
        self._host = host
        self._name = name
        self._scopes = scopes
        self._signing = signing
        self._allow_http = allow_http
        self._iam: IAM | None = None
        self._signer: IAMSigner | None = None
        self._making = asyncio.Lock()
        # Only the first request waits: the engine retries later ones, and replies such as 503.
        self._waits: Sequence[float] = START_WAITS

    async def fetch(self) -> Grant[Token]:
        query = {"scopes": ",".join(self._scopes)} if self._scopes else {}
        answer = await self._get(f"instance/service-accounts/{quote(self._name, safe='@')}/token", query)
        if answer.status == 404:
            raise self._no_account()
        if answer.status != 200:
            raise refused(answer, "refused to issue a token")
        return grant_of(answer, _EARLY)

    async def signer(self) -> URLSigner:
        """
        Return a signer with a Google-managed key; the account needs the permission to sign for itself.
        """
        async with self._making:
            if self._signer is None:
                self._signer = await self._new_signer()
            return self._signer

    async def region(self) -> str | None:
        """
        Return the region of the machine's zone; ``None`` if the server does not return it.
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
            raise self._no_account()
        # Only signing needs the universe, and asking for it is another request.
        if not self._universe_known:
            self.universe_domain = await self._text("universe/universe-domain") or UNIVERSE
        self._iam = self._signing(self.universe_domain)
        return IAMSigner(self._iam, self.account)

    def _no_account(self) -> MissingCredentialsError:
        return MissingCredentialsError(f"the machine has no account {self._name!r}", provider="gcs", status=404)

    async def _text(self, path: str) -> str | None:
        answer = await self._get(path)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refused(answer, f"did not return the {path.rpartition('/')[2]}")
        return answer.text() or None

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        host = checked_host(self._host(), allow_http=self._allow_http)
        self.source = f"the metadata server {host}"
        url = f"http://{host}/computeMetadata/v1/{path}" + (f"?{urlencode(query, safe='/:,')}" if query else "")
        answer = await self._ask(url)
        if answer.headers.get("Metadata-Flavor") != "Google":
            raise NoLocalServiceError(f"{host} is not a Google metadata server", provider="gcs")
        return answer

    async def _ask(self, url: str) -> Answer:
        waits, self._waits = self._waits, ()
        for wait in waits:
            try:
                return await self._service.send("GET", url, _FLAVOR, near=True)
            except NoLocalServiceError as exc:
                # A machine that does not know the host has no such server.
                if not exc.retryable:
                    raise
            await asyncio.sleep(wait)
        return await self._service.send("GET", url, _FLAVOR, near=True)


def checked_host(host: str, *, allow_http: bool = False) -> str:
    """
    Return *host* after checking that requesting tokens from it by plain HTTP is allowed.

    Raises:
        ConfigurationError: It is not a host, or it is another machine without ``allow_http``.
    """
    if not _AUTHORITY.fullmatch(host):
        raise ConfigurationError("metadata_host must be a host with an optional port, such as 127.0.0.1:8080")
    if not is_near(urlsplit(f"http://{host}").hostname or ""):
        require_tls(f"http://{host}", allow_http=allow_http)
    return host


def is_near(host: str) -> bool:
    """
    Return whether *host* is this machine, or a link-local address such as that of a metadata server.
    """
    if is_loopback(host) or host in _NEAR:
        return True
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False

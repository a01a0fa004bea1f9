"""
AWS Security Token Service (STS), which issues the keys of roles.

https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urlencode

from yarl import URL

from asyncstore.auth.aws.configuration import SharedConfiguration
from asyncstore.auth.aws.document import KeyGrant, grant_of
from asyncstore.auth.aws.endpoints import sts_endpoint
from asyncstore.auth.aws.sigv4 import AWSKeys, sign_headers
from asyncstore.auth.token_service import Answer, TokenService
from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.http.clock import ServerClock

_VERSION: Final = "2011-06-15"
_FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"

# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
_TRANSIENT: Final = frozenset({"Throttling", "ThrottlingException", "IDPCommunicationError", "RequestThrottled"})
EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})


class STS:
    """
    Sends one request per call, and a second one if the first revealed clock skew.

    Args:
        configuration: Names endpoints, and of what kind they must be.
        region: Returns the region whose endpoint is used; without one it is the global endpoint.
        endpoint: Replaces the endpoint of the region.
    """

    def __init__(
        self,
        service: TokenService,
        configuration: SharedConfiguration,
        *,
        region: Callable[[], Awaitable[str | None]],
        endpoint: str | None = None,
    ) -> None:
        self._service = service
        self._configuration = configuration
        self._region = region
        self._endpoint = endpoint
        self._clock = ServerClock()

    async def keys(self, action: str, fields: Mapping[str, str], signer: AWSKeys | None) -> KeyGrant:
        """
        Return the keys that *action* issues.

        Args:
            signer: The keys that sign the request; ``None`` leaves it unsigned.

        Raises:
            UnauthenticatedError: STS rejected the request.
            UnavailableError: STS did not answer, or failed.
        """
        answer = await self.call(action, fields, signer)
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        return grant_of({name: found for name in names if (found := element(answer, name))}, f"STS {action}")

    async def call(self, action: str, fields: Mapping[str, str], signer: AWSKeys | None) -> Answer:
        """
        Return the reply to *action*, which succeeded; raises as :meth:`keys`.
        """
        answer = await self._send(action, fields, signer)
        if answer.status in (400, 403) and signer and self._clock.learn(answer.headers):
            answer = await self._send(action, fields, signer)
        if answer.status != 200:
            raise _refusal(answer, action, _secrets(fields, signer))
        return answer

    async def _send(self, action: str, fields: Mapping[str, str], signer: AWSKeys | None) -> Answer:
        address, scope = sts_endpoint(await self._region(), await self._configuration.get(), self._endpoint)
        body = urlencode({"Action": action, "Version": _VERSION, **fields}).encode()
        headers = {"Content-Type": _FORM}
        url = _url(address)
        if signer is not None:
            headers |= sign_headers(
                "POST",
                url.raw_path,
                "",
                [("host", str(url.host_port_subcomponent)), ("content-type", _FORM)],
                keys=signer,
                scope=scope,
                when=self._clock.now(),
                payload_hash=hashlib.sha256(body).hexdigest(),
            )
        # Proxies require a path, even an empty one.
        return await self._service.send("POST", f"{url.origin()}{url.raw_path}", headers, body)


def element(answer: Answer, name: str) -> str | None:
    """
    Return the text of the first element *name*; ``None`` if it is missing or empty.
    """
    match = re.search(rf"<{name}>\s*([^<]*?)\s*</{name}>", answer.text())
    return html.unescape(match[1]) if match and match[1] else None


def _url(address: str) -> URL:
    try:
        url = URL(address)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.raw_host or url.raw_query_string:
        raise ConfigurationError("sts_endpoint is not the URL of a token service")
    return url


def _secrets(fields: Mapping[str, str], signer: AWSKeys | None) -> list[str]:
    sent = [fields[name] for name in ("WebIdentityToken", "TokenCode") if name in fields]
    if signer is not None:
        sent += [secret for secret in (signer.secret_access_key, signer.session_token) if secret]
    return sent


def _refusal(answer: Answer, action: str, secrets: Iterable[str]) -> StorageError:
    code = element(answer, "Code")
    return answer.refusal(
        f"STS rejected {action}",
        provider="s3",
        code=code,
        # It names the caller and the role.
        message=element(answer, "Message"),
        secrets=secrets,
        transient=code in _TRANSIENT,
        request_id=element(answer, "RequestId"),
    )

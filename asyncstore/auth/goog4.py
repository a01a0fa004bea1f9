"""
Google's V4 signatures of URLs, with an RSA key, an HMAC key or a signing service.

https://cloud.google.com/storage/docs/authentication/canonical-requests
https://cloud.google.com/storage/docs/authentication/signatures
"""

from __future__ import annotations

import hmac
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import ClassVar, Final
from urllib.parse import quote, urlsplit

from asyncstore.auth.tokens import Secret

#: https://cloud.google.com/storage/docs/access-control/signed-urls
MAX_EXPIRES: Final = timedelta(days=7)

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"

# The region is not checked by the service; this is what its own tools say.
_LOCATION: Final = "auto"


class URLSigner(ABC):
    """
    Who signs URLs.

    Attributes:
        algorithm: Of the signature, as the URL names it.
        account: A service account's address, or an HMAC key's id.
    """

    algorithm: ClassVar[str]
    account: str

    @abstractmethod
    async def sign(self, text: bytes, scope: str) -> bytes:
        """
        Return the signature of *text*, which was made for *scope*.

        Raises:
            StorageError: A service that signs did not.
        """


class HMACSigner(URLSigner):
    """
    Signs with an HMAC key.

    https://cloud.google.com/storage/docs/authentication/hmackeys
    """

    algorithm = "GOOG4-HMAC-SHA256"

    def __init__(self, access_id: str, secret: Secret) -> None:
        self.account = access_id
        self._secret = secret

    async def sign(self, text: bytes, scope: str) -> bytes:
        key = f"GOOG4{self._secret.reveal()}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text, "sha256")


@dataclass(frozen=True, slots=True)
class UnsignedURL:
    """
    A URL with all but its signature.

    Attributes:
        url: Up to where the signature goes.
        scope: Date, location and service that the signature is good for.
        canonical_request: What the service makes of a request by this URL.
        string_to_sign: What is signed.
    """

    url: str
    scope: str
    canonical_request: str = field(repr=False)
    string_to_sign: str

    def signed(self, signature: bytes) -> str:
        """
        Return the whole URL.
        """
        return f"{self.url}&X-Goog-Signature={signature.hex()}"


def unsigned_url(
    method: str,
    url: str,
    *,
    account: str,
    algorithm: str,
    when: float,
    expires: timedelta,
    host: str | None = None,
    headers: Mapping[str, str] | None = None,
    query: Iterable[tuple[str, str]] = (),
) -> UnsignedURL:
    """
    Return what is to be signed so that whoever holds *url* can do *method*.

    Args:
        url: Percent-encoded, without a query.
        account: Who will sign.
        when: Seconds since the epoch, from which the URL is valid.
        expires: Life of the URL, in whole seconds; the rest is cut off.
        host: The ``Host`` that will be sent; by default without a port, as Google's
            own clients sign for other endpoints.
        headers: To be sent with exactly these values by whoever uses the URL.
        query: Names and values to add, such as ``response-content-type``.

    Raises:
        ValueError: *expires* is not from one second to seven days.
    """
    if not timedelta(seconds=1) <= expires <= MAX_EXPIRES:
        raise ValueError(f"a signed URL lives from one second to seven days, not {expires}")
    parts = urlsplit(url)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(when))
    scope = f"{stamp[:8]}/{_LOCATION}/storage/goog4_request"
    signed = _collapsed([("host", host or parts.hostname or ""), *(headers or {}).items()])
    names = ";".join(sorted(signed))
    own = [
        ("X-Goog-Algorithm", algorithm),
        ("X-Goog-Credential", f"{account}/{scope}"),
        ("X-Goog-Date", stamp),
        ("X-Goog-Expires", str(int(expires.total_seconds()))),
        ("X-Goog-SignedHeaders", names),
    ]
    pairs = sorted([(_encoded(name), _encoded(value)) for name, value in [*own, *query]])
    full_query = "&".join([f"{name}={value}" for name, value in pairs])
    lines = "".join([f"{name}:{signed[name]}\n" for name in sorted(signed)])
    payload = signed.get("x-goog-content-sha256", UNSIGNED_PAYLOAD)
    path = parts.path or "/"
    canonical = f"{method}\n{path}\n{full_query}\n{lines}\n{names}\n{payload}"
    text = f"{algorithm}\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    return UnsignedURL(f"{parts.scheme}://{parts.netloc}{path}?{full_query}", scope, canonical, text)


def encode_name(name: str) -> str:
    """
    Percent-encode an object's name for the path of a URL; ``/`` stays.
    """
    return quote(name, safe="/~")


def _encoded(text: str) -> str:
    return quote(text, safe="~")


def _collapsed(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): " ".join(value.split()) for name, value in headers}

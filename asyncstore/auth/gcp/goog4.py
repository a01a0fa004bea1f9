"""
V4 signed URLs of Google Cloud Storage, with an RSA key, an HMAC key or a signing service.

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

# The service does not check the location; Google's tools send this value.
_LOCATION: Final = "auto"


class URLSigner(ABC):
    """
    Signs URLs for one account.

    Attributes:
        algorithm: The value of ``X-Goog-Algorithm``.
        account: The email of a service account, or the id of an HMAC key.
        lifetime: How long its key certainly verifies a signature.
    """

    algorithm: ClassVar[str]
    lifetime: ClassVar[timedelta] = MAX_EXPIRES
    account: str

    @abstractmethod
    async def sign(self, text: bytes, scope: str) -> bytes:
        """
        Return the signature of *text* for the credential scope *scope*.

        Raises:
            StorageError: The signing service failed.
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
    A URL that is complete except for its signature.

    Attributes:
        url: The URL without the signature parameter.
        scope: The credential scope: date, location and service.
        canonical_request: The request in canonical form.
        string_to_sign: The text to sign.
    """

    url: str
    scope: str
    canonical_request: str = field(repr=False)
    string_to_sign: str

    def signed(self, signature: bytes) -> str:
        """
        Return the URL with its signature.
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
    Return *url* prepared for signing, so that its holder can send a *method* request.

    Args:
        url: Percent-encoded, without a query.
        account: The signer's account.
        when: Seconds since the epoch, from which the URL is valid.
        expires: Lifetime of the URL, rounded down to whole seconds.
        host: The ``Host`` header to sign; by default the URL's host without a port, as
            Google's clients do for custom endpoints.
        headers: Headers that the user of the URL must send with exactly these values.
        query: Parameters to add, such as ``response-content-type``.

    Raises:
        ValueError: *expires* is not from one second to seven days.
    """
    if not timedelta(seconds=1) <= expires <= MAX_EXPIRES:
        raise ValueError(f"a signed URL can be valid for one second to seven days, not {expires}")
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


def policy_fields(signer: URLSigner, when: float) -> tuple[dict[str, str], str]:
    """
    Return the fields of a form that say who signs its policy, and when; and the scope of the signature.

    https://cloud.google.com/storage/docs/xml-api/post-object-forms
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(when))
    scope = f"{stamp[:8]}/{_LOCATION}/storage/goog4_request"
    return {
        "x-goog-algorithm": signer.algorithm,
        "x-goog-credential": f"{signer.account}/{scope}",
        "x-goog-date": stamp,
    }, scope


def encode_name(name: str) -> str:
    """
    Percent-encode an object name for the path of a URL, except ``/``.
    """
    return quote(name, safe="/~")


def _encoded(text: str) -> str:
    return quote(text, safe="~")


def _collapsed(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): " ".join(value.split()) for name, value in headers}

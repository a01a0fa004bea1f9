"""
Verification of request signatures.

See https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from asyncstore.testing.servers.oci.errors import not_authenticated

#: https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm#clockskew
MAX_CLOCK_SKEW: Final = 300.0

_TARGET: Final = "(request-target)"
_WITH_BODY: Final = frozenset({"post", "put", "patch"})
_BODY_HEADERS: Final = frozenset({"content-length", "content-type", "x-content-sha256"})
_FIELD: Final = re.compile(r'(\w+)="([^"]*)"')


class Keys(Protocol):
    """
    Finds the public key for a key id.
    """

    def key_of(self, key_id: str, now: float) -> rsa.RSAPublicKey | None:
        """
        Return the key of *key_id*; ``None`` if it is unknown, revoked or expired.
        """


@dataclass(frozen=True, slots=True)
class Signed:
    """
    A valid signature.

    Attributes:
        headers: Names of the signed headers.
    """

    key_id: str
    headers: frozenset[str]


def check_signature(
    method: str, target: str, headers: Mapping[str, str], keys: Keys, now: float, *, body_is_exempt: bool
) -> Signed:
    """
    Verify the signature and the date of a request.

    It requires the hash of the body, but does not compare it: the code that reads the body does.

    Args:
        target: Path and query, as received.
        headers: Headers, with lower-case names.
        now: The server's clock, in seconds since 1970.
        body_is_exempt: The body's headers need not be signed, as with PutObject and UploadPart
            (https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm#ObjectStoragePut).

    Raises:
        ServiceError: 401 NotAuthenticated.
    """
    fields = _fields(headers.get("authorization", ""))
    names = fields["headers"].lower().split()
    key = keys.key_of(fields["keyId"], now)
    if key is None or not _required(method, body_is_exempt) <= set(names) or not {"date", "x-date"} & set(names):
        raise not_authenticated()
    _check_date(headers, names, now)
    signed_text = "\n".join(_line(name, method, target, headers) for name in names)
    _verify(key, fields["signature"], signed_text)
    return Signed(fields["keyId"], frozenset(names))


def _fields(authorization: str) -> dict[str, str]:
    scheme, _, rest = authorization.partition(" ")
    fields = dict(_FIELD.findall(rest))
    if scheme.lower() != "signature" or not {"keyId", "headers", "signature", "algorithm"} <= set(fields):
        raise not_authenticated()
    if fields["algorithm"] != "rsa-sha256" or fields.get("version", "1") != "1":
        raise not_authenticated()
    return fields


def _required(method: str, body_is_exempt: bool) -> set[str]:
    has_body = method.lower() in _WITH_BODY and not body_is_exempt
    return {_TARGET, "host"} | (_BODY_HEADERS if has_body else set())


def _check_date(headers: Mapping[str, str], names: list[str], now: float) -> None:
    # A client that may not set Date, such as a browser, sends and signs x-date.
    date = headers.get("x-date" if "x-date" in names else "date", "")
    try:
        then = parsedate_to_datetime(date).timestamp()
    except ValueError:
        raise not_authenticated() from None
    if abs(then - now) > MAX_CLOCK_SKEW:
        window = f"['{formatdate(now - MAX_CLOCK_SKEW)}', '{formatdate(now + MAX_CLOCK_SKEW)}']"
        raise not_authenticated(
            f"Date '{date}' is not within allowed clock skew. "
            f"Current '{formatdate(now)}', valid datetime range: {window}"
        )


def _line(name: str, method: str, target: str, headers: Mapping[str, str]) -> str:
    if name == _TARGET:
        return f"{_TARGET}: {method.lower()} {target}"
    if name not in headers:
        raise not_authenticated()
    return f"{name}: {headers[name]}"


def _verify(key: rsa.RSAPublicKey, signature: str, text: str) -> None:
    try:
        key.verify(base64.b64decode(signature, validate=True), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error):
        raise not_authenticated() from None

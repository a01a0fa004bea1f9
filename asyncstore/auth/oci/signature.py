"""
OCI request signatures: RSA over the date, the request target, the host and, for documents, their hash.

https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256

#: Carries the token with which a principal acts on behalf of a user; it is signed.
DELEGATION_HEADER: Final = "opc-obo-token"


@dataclass(frozen=True, slots=True, eq=False)
class OCIKeys:
    """
    The key and identity that requests are signed with. Two are equal if their signatures are.

    Attributes:
        key_id: ``tenancy/user/fingerprint``, or ``ST$`` and a session token.
        private_key: The RSA key for it.
        delegation_token: The token of the user that requests are made on behalf of.
    """

    key_id: str = field(repr=False)
    private_key: RSAPrivateKey = field(repr=False)
    delegation_token: str | None = field(default=None, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OCIKeys):
            return NotImplemented
        if self.key_id != other.key_id or self.delegation_token != other.delegation_token:
            return False
        return self._public() == other._public()

    def __hash__(self) -> int:
        return hash(self.key_id)

    def _public(self) -> object:
        return self.private_key.public_key().public_numbers()


def sign_headers(
    method: str,
    target: str,
    host: str | None,
    *,
    keys: OCIKeys,
    when: float,
    content: bytes | None = None,
    content_type: str = "application/json",
) -> dict[str, str]:
    """
    Return the headers that sign a request.

    Args:
        target: Path and query, exactly as sent.
        host: ``None`` leaves the host unsigned, which only requests for session tokens do.
        when: Seconds since the epoch; OCI tolerates a skew of five minutes.
        content: The document to sign. The data of objects and parts is not signed; it
            has checksums instead.
            https://docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm#ObjectStoragePut
    """
    date = _http_date(int(when))
    text = f"date: {date}\n(request-target): {method.lower()} {target}"
    headers, names = {"date": date}, "date (request-target)"
    if host is not None:
        names += " host"
        text += f"\nhost: {host}"
    if keys.delegation_token is not None:
        headers[DELEGATION_HEADER] = keys.delegation_token
        names += f" {DELEGATION_HEADER}"
        text += f"\n{DELEGATION_HEADER}: {keys.delegation_token}"
    if content is not None:
        names += " content-length content-type x-content-sha256"
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode("ascii")
        headers |= {"content-length": str(len(content)), "content-type": content_type, "x-content-sha256": digest}
        text += f"\ncontent-length: {len(content)}\ncontent-type: {content_type}\nx-content-sha256: {digest}"
    signature = base64.b64encode(_sign(keys.private_key, text.encode("utf-8"))).decode("ascii")
    headers["authorization"] = (
        f'Signature algorithm="rsa-sha256",headers="{names}",keyId="{keys.key_id}",signature="{signature}",version="1"'
    )
    return headers


@lru_cache(maxsize=4)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _sign(key: RSAPrivateKey, text: bytes) -> bytes:
    # Not in a thread: a signature takes 0.25 ms, and switching threads costs half as much again.
    padding, algorithm = scheme()
    return key.sign(text, padding, algorithm)


@lru_cache(maxsize=1)
def scheme() -> tuple[PKCS1v15, SHA256]:
    """
    Return padding and hash algorithm. The first call imports cryptography: make it in a thread.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return PKCS1v15(), SHA256()

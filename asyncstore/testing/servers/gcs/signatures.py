"""
V4 signatures, in the query (signed URLs) or in ``Authorization``.

`Signatures <https://cloud.google.com/storage/docs/authentication/signatures>`_ ·
`canonical requests <https://cloud.google.com/storage/docs/authentication/canonical-requests>`_
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from asyncstore.testing.servers.gcs.calls import Body, Call, whole_number
from asyncstore.testing.servers.gcs.errors import ServiceError, forbidden
from asyncstore.testing.servers.gcs.settings import Settings

RSA: Final = "GOOG4-RSA-SHA256"
HMAC: Final = "GOOG4-HMAC-SHA256"

#: Seconds: https://cloud.google.com/storage/docs/access-control/signed-urls
_MAX_EXPIRES: Final = 7 * 24 * 3600
#: Seconds. The allowed clock skew of a signature in a header.
_MAX_SKEW: Final = 15 * 60
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_DIGEST: Final = "x-goog-content-sha256"
_SIGNATURE: Final = "X-Goog-Signature"
_PARAMETERS: Final = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")


@dataclass(frozen=True, slots=True)
class _Signed:
    """
    The signature of a request, parsed but not yet verified.

    Attributes:
        expires: Lifetime in seconds; ``None`` for a signature in a header.
    """

    algorithm: str
    credential: str
    date: str
    expires: int | None
    names: list[str]
    signature: str = field(repr=False)


def is_signed(call: Call) -> bool:
    """
    Return whether a request has a signature.
    """
    return _SIGNATURE in call.query or call.headers.get("authorization", "").startswith((RSA, HMAC))


def check_signature(settings: Settings, call: Call) -> None:
    """
    Raise if the signature of a request is invalid or expired.

    If the digest of the body was signed, the body is checked as it is read.
    """
    signed = _of_query(call) if _SIGNATURE in call.query else _of_header(call)
    _check_time(signed)
    canonical = _canonical_request(call, signed)
    owner, scope = _scope(signed)
    lines = [signed.algorithm, signed.date, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()]
    text = "\n".join(lines).encode()
    if not _is_valid(settings, signed, owner, scope, text):
        raise forbidden(
            "The request signature we calculated does not match the signature you provided. "
            "Check your Google secret key and signing method.",
            code="SignatureDoesNotMatch",
        )
    digest = call.headers.get(_DIGEST, _UNSIGNED)
    if digest != _UNSIGNED:
        call.body = _SignedBody(call.body, digest)


def check_policy(settings: Settings, fields: Mapping[str, str]) -> None:
    """
    Raise if the signature of a form's policy is invalid.
    """
    names = ("x-goog-algorithm", "x-goog-credential", "x-goog-date", "x-goog-signature")
    if missing := [name for name in names if not fields.get(name)]:
        raise _malformed(f"Missing fields: {', '.join(missing)}")
    algorithm, credential, date, signature = (fields[name] for name in names)
    signed = _Signed(algorithm, credential, date, None, [], signature)
    owner, scope = _scope(signed)
    if not _is_valid(settings, signed, owner, scope, fields["policy"].encode()):
        raise forbidden("The signature of the policy does not match.", code="SignatureDoesNotMatch")


def _of_query(call: Call) -> _Signed:
    found = {name: call.query.get(f"X-Goog-{name}") for name in _PARAMETERS}
    missing = [f"X-Goog-{name}" for name, value in found.items() if not value]
    if missing:
        raise _malformed(f"Missing parameters: {', '.join(missing)}")
    expires = whole_number(found["Expires"], "X-Goog-Expires") or 0
    if not 1 <= expires <= _MAX_EXPIRES:
        raise _malformed("X-Goog-Expires must be less than a week (in seconds).")
    texts = {name: value or "" for name, value in found.items()}
    names = texts["SignedHeaders"].split(";")
    return _Signed(texts["Algorithm"], texts["Credential"], texts["Date"], expires, names, texts["Signature"])


def _of_header(call: Call) -> _Signed:
    algorithm, _, rest = call.headers["authorization"].partition(" ")
    fields = dict(re.findall(r"(\w+)=([^,\s]+)", rest))
    date = call.headers.get("x-goog-date", "")
    if not date or any(name not in fields for name in ("Credential", "SignedHeaders", "Signature")):
        raise _malformed("The Authorization header is incomplete, or x-goog-date is missing.")
    return _Signed(algorithm, fields["Credential"], date, None, fields["SignedHeaders"].split(";"), fields["Signature"])


def _check_time(signed: _Signed) -> None:
    try:
        made = datetime.strptime(signed.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _malformed("The date is not of the form YYYYMMDD'T'HHMMSS'Z'.") from None
    now = time.time()
    if signed.expires is None and abs(now - made) > _MAX_SKEW:
        message = "The difference between the request time and the server's time is too large."
        raise forbidden(message, code="RequestTimeTooSkewed")
    if made > now + _MAX_SKEW:
        raise forbidden("Request is not valid yet.")
    if signed.expires is not None and now > made + signed.expires:
        message = "Invalid argument: the request signature has expired."
        raise ServiceError(400, "invalid", "ExpiredToken", message)


def _scope(signed: _Signed) -> tuple[str, list[str]]:
    owner, *scope = signed.credential.rsplit("/", 4)
    valid = len(scope) == 4 and scope[0] == signed.date[:8] and scope[2:] == ["storage", "goog4_request"]
    if not valid:
        raise _malformed("The credential's scope is not DATE/LOCATION/storage/goog4_request.")
    return owner, scope


def _is_valid(settings: Settings, signed: _Signed, owner: str, scope: list[str], text: bytes) -> bool:
    try:
        signature = bytes.fromhex(signed.signature)
    except ValueError:
        return False
    if signed.algorithm == RSA:
        return any(one.email == owner and one.signed(text, signature) for one in settings.accounts)
    if signed.algorithm == HMAC:
        return any(one.access_id == owner and one.signed(scope, text, signature) for one in settings.hmac_keys)
    raise _malformed(f"Unknown signing algorithm '{signed.algorithm}'.")


def _canonical_request(call: Call, signed: _Signed) -> str:
    headers = call.headers
    _check_headers(headers, signed.names)
    lines = [f"{name}:{' '.join(headers[name].split())}\n" for name in signed.names]
    payload = headers[_DIGEST] if _DIGEST in signed.names else _UNSIGNED
    return "\n".join(
        [call.method, call.path, _canonical_query(call.raw_query), "".join(lines), ";".join(signed.names), payload]
    )


def _check_headers(headers: Mapping[str, str], names: list[str]) -> None:
    if "host" not in names or names != sorted(names):
        raise _malformed("SignedHeaders must be sorted and include host.")
    missing = next((name for name in names if name not in headers), None)
    if missing is not None:
        raise _malformed(f"Header '{missing}' was included in signedheaders, but not in the request.")
    unsigned = next((name for name in headers if name.startswith("x-goog-") and name not in names), None)
    if unsigned is not None:
        raise _malformed(f"Header '{unsigned}' must be signed.")


def _canonical_query(raw: str) -> str:
    pairs = (part.partition("=") for part in raw.split("&") if part)
    encoded = sorted((_encoded(name), _encoded(value)) for name, _, value in pairs if unquote(name) != _SIGNATURE)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="-_.~")


def _malformed(message: str) -> ServiceError:
    return ServiceError(400, "invalid", "MalformedSecurityHeader", f"Your request has a malformed header. {message}")


class _SignedBody:
    """
    A body that raises at its end if it does not match the signed digest.
    """

    def __init__(self, body: Body, sha256: str) -> None:
        self._body = body
        self._expected = sha256
        self._digest = hashlib.sha256()

    async def readany(self) -> bytes:
        data = await self._body.readany()
        self._digest.update(data)
        if not data and self._digest.hexdigest() != self._expected:
            message = "The provided 'x-goog-content-sha256' header does not match what was computed."
            raise ServiceError(400, "invalid", "ContentSHA256Mismatch", message)
        return data

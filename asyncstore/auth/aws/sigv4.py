"""
AWS Signature Version 4 for S3.

S3 signs the path and query exactly as they are sent. Both are percent-encoded
once, by :func:`encode_key` and :func:`encode_query`, and the same text is used in
the URL and in the signature. Nothing is normalized: ``.``, ``..`` and ``//`` are
ordinary parts of a key.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

from asyncstore.auth.tokens import Scope

ALGORITHM: Final = "AWS4-HMAC-SHA256"

# https://www.rfc-editor.org/rfc/rfc2104
_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

#: Signed instead of a hash if the body is not hashed.
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"

#: Longest lifetime of a presigned URL.
MAX_EXPIRES: Final = timedelta(days=7)

#: Headers that the signature consists of.
SIGNATURE_HEADERS: Final = frozenset(
    {"x-amz-content-sha256", "x-amz-date", "x-amz-s3session-token", "x-amz-security-token"}
)

# Headers that signing itself adds, and those that a proxy or the HTTP client may
# add, change or drop.
_NEVER_SIGNED: Final = frozenset(
    {
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amz-date",
        "x-amz-security-token",
        "x-amzn-trace-id",
    }
)


#: The names under which the token of keys that expire is sent. The second is that of directory buckets.
SECURITY_TOKEN: Final = "X-Amz-Security-Token"  # noqa: S105 - a name
SESSION_TOKEN: Final = "X-Amz-S3session-Token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class AWSKeys:
    """
    An access key.

    Attributes:
        secret_access_key: Signs requests; it is never sent.
        session_token: Sent with keys that expire.
        token_name: The header, or parameter of a URL, with the session token.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    token_name: str = field(default=SECURITY_TOKEN, repr=False)


class KeyedHash:
    """
    HMAC-SHA256 that does the work that depends on the key only once.

    It takes a third of the time of ``hmac.digest``, which also releases the
    interpreter lock each time; getting it back takes longer than the hash itself.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            key = sha256(key).digest()
        padded = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(padded.translate(_INNER))
        self._outer = sha256(padded.translate(_OUTER))

    def hexdigest(self, message: bytes) -> str:
        """
        Return the code of *message* in hexadecimal.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.hexdigest()


def encode_key(key: str) -> str:
    """
    Percent-encode a key for the path of a URL, except ``/``.
    """
    return quote(key, safe="/")


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """
    Percent-encode names and values into a query string, in their order.
    """
    return "&".join([f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs])


def sign_headers(
    method: str,
    path: str,
    query: str,
    headers: Iterable[tuple[str, str]],
    *,
    keys: AWSKeys,
    scope: Scope,
    when: float,
    payload_hash: str = UNSIGNED_PAYLOAD,
    send_hash: bool = True,
) -> dict[str, str]:
    """
    Return the headers that sign a request.

    They replace headers of the same name, so a request can be signed again.

    Args:
        path: As it is sent, percent-encoded, with its leading ``/``.
        query: As it is sent, percent-encoded, without the ``?``.
        headers: Names and values to sign, including ``Host``. Headers that change
            on the way, such as ``User-Agent``, are not signed.
        when: Seconds since the epoch, by the server's clock.
        payload_hash: SHA-256 of the body in hexadecimal, if it is known. A
            header ``x-amz-content-sha256`` takes precedence.
        send_hash: Whether to send the hash as a header, which only S3 requires.

    Raises:
        ValueError: *headers* do not include ``Host``.
    """
    stamp = timestamp(int(when))
    signed = _collapse(headers)
    if "host" not in signed:
        raise ValueError("a signature covers the Host header, which is missing")
    added = {"X-Amz-Date": stamp}
    signed["x-amz-date"] = stamp
    if keys.session_token is not None:
        added[keys.token_name] = signed[keys.token_name.lower()] = keys.session_token
    hashed = signed.get("x-amz-content-sha256", payload_hash)
    if send_hash and "x-amz-content-sha256" not in signed:
        added["x-amz-content-sha256"] = signed["x-amz-content-sha256"] = payload_hash
    names = sorted(signed)
    names_text = ";".join(names)
    lines = "\n".join([f"{name}:{signed[name]}" for name in names])
    canonical = f"{method}\n{path}\n{_canonical_query(query)}\n{lines}\n\n{names_text}\n{hashed}"
    where = f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"
    signature = _signature(canonical, keys.secret_access_key, stamp, where, scope)
    added["Authorization"] = (
        f"{ALGORITHM} Credential={keys.access_key_id}/{where}, SignedHeaders={names_text}, Signature={signature}"
    )
    return added


class SignatureSeries:
    """
    Signs requests that differ only in method, path and query, at half the cost.

    Everything that stays the same within a second is computed once per second;
    the result is that of :func:`sign_headers`.

    Args:
        host: The value of the ``Host`` header.
        headers: The other headers to sign, with lower-case names and values as
            they are sent.
        payload_hash: SHA-256 of the body in hexadecimal, or its substitute.
    """

    def __init__(
        self, host: str, headers: Mapping[str, str], *, keys: AWSKeys, scope: Scope, payload_hash: str
    ) -> None:
        self.keys = keys
        self._unsigned = headers
        self._headers = [("host", host), *headers.items()]
        self._scope = scope
        self._payload_hash = payload_hash
        self._second = -1

    def sign(self, method: str, path: str, query: str, when: float) -> dict[str, str]:
        """
        Return all headers to send: the signed ones and those of the signature.

        Args:
            query: Percent-encoded and sorted by name, each name with its ``=``.
        """
        second = int(when)
        if second != self._second:
            self._begin(second)
        digest = sha256(f"{method}\n{path}\n{query}\n{self._lines}".encode()).hexdigest()
        signature = self._key.hexdigest(f"{self._string}{digest}".encode())
        return {**self._added, "Authorization": self._authorization + signature}

    def _begin(self, second: int) -> None:
        # A real signature shows which headers are covered, and in which order.
        added = sign_headers(
            "GET",
            "/",
            "",
            self._headers,
            keys=self.keys,
            scope=self._scope,
            when=second,
            payload_hash=self._payload_hash,
        )
        self._authorization = added.pop("Authorization").rpartition("Signature=")[0] + "Signature="
        names = self._authorization.partition("SignedHeaders=")[2].partition(",")[0]
        values = {name.lower(): value for name, value in (*self._headers, *added.items())}
        covered = "\n".join([f"{name}:{' '.join(values[name].split())}" for name in names.split(";")])
        stamp = timestamp(second)
        where = f"{stamp[:8]}/{self._scope.region}/{self._scope.service}/aws4_request"
        self._lines = f"{covered}\n\n{names}\n{values['x-amz-content-sha256']}"
        self._string = f"{ALGORITHM}\n{stamp}\n{where}\n"
        self._key = keyed_hash(self.keys.secret_access_key, stamp[:8], self._scope.region, self._scope.service)
        self._added = {**self._unsigned, **added}
        self._second = second


def presign_url(
    method: str,
    url: str,
    *,
    keys: AWSKeys,
    scope: Scope,
    when: float,
    expires: timedelta,
    headers: Mapping[str, str] | None = None,
    query: Iterable[tuple[str, str]] = (),
) -> str:
    """
    Return *url* with a signature in its query.

    A URL signed with keys that expire stops working when they do.

    Args:
        url: Percent-encoded, with or without a query.
        when: Seconds since the epoch, from which the URL is valid.
        expires: Lifetime of the URL; fractions of a second are dropped.
        headers: Headers that requests must send with exactly these values.
        query: Names and values to add, such as ``response-content-type``.

    Raises:
        ValueError: *expires* is not from one second to seven days.
    """
    seconds = _checked_expires(expires)
    parts = urlsplit(url)
    stamp = timestamp(int(when))
    where = f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"
    signed = _collapse([("host", _host(parts.scheme, parts.netloc)), *(headers or {}).items()])
    names = sorted(signed)
    own = [
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", f"{keys.access_key_id}/{where}"),
        ("X-Amz-Date", stamp),
        ("X-Amz-Expires", str(seconds)),
        ("X-Amz-SignedHeaders", ";".join(names)),
    ]
    if keys.session_token is not None:
        own.append((keys.token_name, keys.session_token))
    full_query = "&".join(filter(None, [parts.query, encode_query(query), encode_query(own)]))
    lines = "".join([f"{name}:{signed[name]}\n" for name in names])
    path = parts.path or "/"
    canonical = (
        f"{method}\n{path}\n{_canonical_query(full_query)}\n{lines}\n{';'.join(names)}\n"
        f"{signed.get('x-amz-content-sha256', UNSIGNED_PAYLOAD)}"
    )
    signature = _signature(canonical, keys.secret_access_key, stamp, where, scope)
    return f"{parts.scheme}://{parts.netloc}{path}?{full_query}&X-Amz-Signature={signature}"


def policy_fields(keys: AWSKeys, scope: Scope, when: float) -> dict[str, str]:
    """
    Return the fields of a form that say who signs its policy, and when.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html
    """
    stamp = timestamp(int(when))
    fields = {
        "x-amz-algorithm": ALGORITHM,
        "x-amz-credential": f"{keys.access_key_id}/{stamp[:8]}/{scope.region}/{scope.service}/aws4_request",
        "x-amz-date": stamp,
    }
    if keys.session_token is not None:
        fields[keys.token_name.lower()] = keys.session_token
    return fields


def sign_policy(policy: str, keys: AWSKeys, scope: Scope, when: float) -> str:
    """
    Return the signature of a policy, which is in base64.
    """
    key = keyed_hash(keys.secret_access_key, timestamp(int(when))[:8], scope.region, scope.service)
    return key.hexdigest(policy.encode("ascii"))


def _collapse(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    collapsed: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _NEVER_SIGNED:
            continue
        value = " ".join(value.split())
        collapsed[lower] = f"{collapsed[lower]},{value}" if lower in collapsed else value
    return collapsed


def _canonical_query(query: str) -> str:
    if not query:
        return ""
    if "&" not in query:
        return query if "=" in query else f"{query}="
    # Sorted by name, then value: as one text, "=" would sort after the "-" of a longer name.
    pairs = sorted([pair.partition("=") for pair in query.split("&")])
    return "&".join([f"{name}={value}" for name, _, value in pairs])


def _signature(canonical: str, secret: str, stamp: str, where: str, scope: Scope) -> str:
    digest = sha256(canonical.encode()).hexdigest()
    key = keyed_hash(secret, stamp[:8], scope.region, scope.service)
    return key.hexdigest(f"{ALGORITHM}\n{stamp}\n{where}\n{digest}".encode())


@lru_cache(maxsize=64)
def keyed_hash(secret: str, date: str, region: str, service: str) -> KeyedHash:
    """
    Return the hash that signs the requests of one day to one service.
    """
    return KeyedHash(signing_key(secret, date, region, service))


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@lru_cache(maxsize=8)
def timestamp(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


def _checked_expires(expires: timedelta) -> int:
    if not timedelta(seconds=1) <= expires <= MAX_EXPIRES:
        raise ValueError(f"a presigned URL is valid for one second to seven days, not {expires}")
    return int(expires.total_seconds())


def _host(scheme: str, netloc: str) -> str:
    # As HTTP clients send it: without user information and default port.
    host = netloc.rpartition("@")[2].lower()
    return host.removesuffix(":80" if scheme == "http" else ":443")

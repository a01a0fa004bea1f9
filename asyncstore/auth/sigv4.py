"""
AWS Signature Version 4 as S3 wants it: pure functions of what is sent.

S3 signs the path and query exactly as they go over the wire, so both are
percent-encoded once, by :func:`encode_key` and :func:`encode_query`, and the
same text is used for the URL and for the signature. Nothing is normalised:
``.``, ``..`` and ``//`` are ordinary parts of a key.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from asyncstore.auth.keyed_hash import KeyedHash

ALGORITHM: Final = "AWS4-HMAC-SHA256"

#: What is signed in place of a hash where the body is not hashed.
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"

#: Longest life of a presigned URL.
MAX_EXPIRES: Final = timedelta(days=7)

# Headers that we write ourselves, and those that a proxy or the HTTP client may
# add, change or drop on the way.
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


class Scope(NamedTuple):
    """
    Where a signature is valid.
    """

    region: str
    service: str = "s3"


@dataclass(frozen=True, slots=True)
class AWSKeys:
    """
    An access key; its two halves and the token belong together.

    Attributes:
        access_key_id: Names the key.
        secret_access_key: Signs, and is never sent.
        session_token: Sent along with keys that expire.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def encode_key(key: str) -> str:
    """
    Percent-encode a key for the path of a URL; ``/`` stays.
    """
    return quote(key, safe="/")


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """
    Percent-encode names and values into a query string, in the order given.
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
    Return the headers to add to a request so that it is signed.

    They replace headers of the same name, so a request can be signed again.

    Args:
        path: As it is sent, percent-encoded, with its leading ``/``.
        query: As it is sent, percent-encoded, without the ``?``.
        headers: Names and values to sign, ``Host`` among them. Headers that are
            changed on the way by nature, such as ``User-Agent``, are left out.
        when: Seconds since the epoch, by the server's clock.
        payload_hash: SHA-256 of the body in hexadecimal, if it is known. A
            header ``x-amz-content-sha256`` takes precedence.
        send_hash: Whether it is a header too, which S3 wants and no other service does.

    Raises:
        ValueError: There is no ``Host`` among *headers*.
    """
    stamp = timestamp(int(when))
    signed = _collapse(headers)
    if "host" not in signed:
        raise ValueError("a signature covers the Host header, and there is none")
    added = {"X-Amz-Date": stamp}
    signed["x-amz-date"] = stamp
    if keys.session_token is not None:
        added["X-Amz-Security-Token"] = signed["x-amz-security-token"] = keys.session_token
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
    Return *url* with a signature in its query; whoever has it can use it.

    A URL signed with keys that expire stops working when they do.

    Args:
        url: Percent-encoded, with a query or without.
        when: Seconds since the epoch, from which the URL is valid.
        expires: Life of the URL, in whole seconds; the rest is cut off.
        headers: To be sent with exactly these values by whoever uses the URL.
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
        own.append(("X-Amz-Security-Token", keys.session_token))
    full_query = "&".join(filter(None, [parts.query, encode_query(query), encode_query(own)]))
    lines = "".join([f"{name}:{signed[name]}\n" for name in names])
    path = parts.path or "/"
    canonical = (
        f"{method}\n{path}\n{_canonical_query(full_query)}\n{lines}\n{';'.join(names)}\n"
        f"{signed.get('x-amz-content-sha256', UNSIGNED_PAYLOAD)}"
    )
    signature = _signature(canonical, keys.secret_access_key, stamp, where, scope)
    return f"{parts.scheme}://{parts.netloc}{path}?{full_query}&X-Amz-Signature={signature}"


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
    # By name, then by value: "=" would sort after the "-" of a longer name.
    pairs = sorted([pair.partition("=") for pair in query.split("&")])
    return "&".join([f"{name}={value}" for name, _, value in pairs])


def _signature(canonical: str, secret: str, stamp: str, where: str, scope: Scope) -> str:
    digest = sha256(canonical.encode()).hexdigest()
    key = keyed_hash(secret, stamp[:8], scope.region, scope.service)
    return key.hexdigest(f"{ALGORITHM}\n{stamp}\n{where}\n{digest}".encode())


@lru_cache(maxsize=64)
def keyed_hash(secret: str, date: str, region: str, service: str) -> KeyedHash:
    """
    Return what signs the requests of one day to one service.
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
        raise ValueError(f"a signed URL lives from one second to seven days, not {expires}")
    return int(expires.total_seconds())


def _host(scheme: str, netloc: str) -> str:
    # As HTTP clients send it: without user information and the default port.
    host = netloc.rpartition("@")[2].lower()
    return host.removesuffix(":80" if scheme == "http" else ":443")

"""
Checks signatures as AWS does, with botocore's own calculation.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

from aiohttp import web
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from asyncstore.auth.aws.sigv4 import AWSKeys

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"?SignedHeaders=(?P<names>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


def key_id(request: web.Request) -> str | None:
    """Return the access key id of a request."""
    match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    return match["id"] if match else None


def scope(request: web.Request) -> str:
    """Return the region and service of a signed request, as ``region/service``."""
    match = _AUTHORIZATION.fullmatch(request.headers["Authorization"])
    assert match is not None
    return f"{match['region']}/{match['service']}"


def signed_at(request: web.Request) -> float:
    """Return the time of a request's signature, in seconds since the epoch."""
    return datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


async def is_signed_by(request: web.Request, keys: AWSKeys) -> bool:
    """
    Whether *request* has the signature of *keys* over everything that must be signed.
    """
    match = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
    if match is None or match["id"] != keys.access_key_id:
        return False
    names = match["names"].split(";")
    expected = {"host", "x-amz-date"} | ({keys.token_name.lower()} if keys.session_token else set())
    if not expected <= set(names) or request.headers.get(keys.token_name) != keys.session_token:
        return False
    body = await request.read()
    hashed = request.headers.get("X-Amz-Content-SHA256")
    if hashed not in (None, "UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        return False
    sent = AWSRequest(
        request.method,
        f"{request.scheme}://{request.host}{request.raw_path}",
        {name: request.headers[name] for name in names},
        body,
    )
    sent.context["timestamp"] = request.headers["X-Amz-Date"]
    kind = S3SigV4Auth if match["service"] in ("s3", "s3express") else SigV4Auth
    signer = kind(
        Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token), match["service"], match["region"]
    )
    signature: str = signer.signature(signer.string_to_sign(sent, signer.canonical_request(sent)), sent)
    return signature == match["signature"]

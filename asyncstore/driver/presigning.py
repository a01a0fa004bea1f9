"""
How drivers sign URLs, when these expire, and what presigned forms have in common.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from asyncstore.driver.contract import Driver
from asyncstore.options import PostOptions, PresignOptions
from asyncstore.types import PresignedURL
from asyncstore.uri import ObjectURI

#: In the key of a form, this stands for the name of the file that is uploaded.
FILE_NAME: Final = "${filename}"


def expiry_of_url(now: float, expires: timedelta, ends_at: float | None = None) -> datetime:
    """
    Return when a URL that is signed *now* stops working: after *expires*, or with the keys if that is earlier.

    Args:
        now: The server's time, in seconds since the epoch.
        ends_at: The monotonic time at which the keys expire; ``None`` if they do not, or nobody says when.
    """
    # Signatures have whole seconds.
    end = int(now) + int(expires.total_seconds())
    if ends_at is not None:
        end = min(end, int(now + ends_at - time.monotonic()))
    return datetime.fromtimestamp(end, UTC)


def form_fields(uri: ObjectURI, options: PostOptions, signing: Mapping[str, str], ends: datetime) -> dict[str, str]:
    """
    Return the fields of a form, with the policy that demands them, and without the signature of the policy.

    S3 and GCS have policies of one form: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
    and https://cloud.google.com/storage/docs/authentication/signatures#policy-document.

    Args:
        signing: The fields that say who signs, and how.
        ends: When the policy expires.
    """
    fields = dict(signing)
    if options.content_type is not None:
        fields["Content-Type"] = options.content_type
    conditions: list[Any] = [{"bucket": uri.bucket}, *({name: value} for name, value in fields.items())]
    conditions.append(["starts-with", "$key", uri.key] if options.prefix else {"key": uri.key})
    if options.min_size or options.max_size is not None:
        # No provider takes larger files than this by a form.
        most = 5 * 1024**4 if options.max_size is None else options.max_size
        conditions.append(["content-length-range", options.min_size, most])
    policy = json.dumps({"expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), "conditions": conditions})
    key = f"{uri.key}{FILE_NAME}" if options.prefix else uri.key
    return {"key": key, **fields, "policy": base64.b64encode(policy.encode()).decode("ascii")}


async def sign(
    driver: Driver, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions
) -> PresignedURL:
    """
    Return what *driver* signs, also if its ``sign`` takes no options and returns plain text, as that of older drivers.
    """
    url: str
    if options.chosen:
        url = await driver.sign(method, uri, expires, options)
    else:
        url = await driver.sign(method, uri, expires)
    if isinstance(url, PresignedURL):
        return url
    return PresignedURL(url, datetime.now(UTC) + expires)

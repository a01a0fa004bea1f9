"""
Tags of objects.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

from asyncstore.body import BytesBody
from asyncstore.drivers.s3.wire import Request, Wire
from asyncstore.drivers.s3.xml import tag_set
from asyncstore.errors import InvalidRequestError
from asyncstore.http.xml import can_carry, expect
from asyncstore.uri import ObjectURI

_QUERY: Final = "tagging="


async def get(wire: Wire, uri: ObjectURI) -> dict[str, str]:
    _, body = await wire.read(Request("GET", uri, _QUERY))
    root = expect(body, "Tagging")
    return {item.findtext("Key") or "": item.findtext("Value") or "" for item in root.iterfind("TagSet/Tag")}


async def replace(wire: Wire, uri: ObjectURI, tags: Mapping[str, str]) -> None:
    for text in (*tags.keys(), *tags.values()):
        if not can_carry(text):
            raise InvalidRequestError(f"S3 takes tags as XML, which cannot carry {text!r}")
    content = tag_set(tags)
    # One of the few requests that S3 refuses without a checksum of the body.
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    headers = {"Content-MD5": base64.b64encode(digest).decode("ascii"), "Content-Type": "application/xml"}
    payload_hash = hashlib.sha256(content).hexdigest()
    reply = await wire.send(Request("PUT", uri, _QUERY, headers, BytesBody(content), payload_hash))
    await reply.read_error()

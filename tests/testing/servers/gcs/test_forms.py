"""
Forms of the stand-in for GCS: what their policies say is checked. The conformance suite uploads by them.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import aiohttp
import pytest

from asyncstore.testing.servers.gcs import GCSServer, HmacKey, Settings

KEY = HmacKey("GOOGFAKEFORTESTS", "fake-secret-for-tests")
TODAY = f"{datetime.now(UTC):%Y%m%d}"
SIGNING = {
    "x-goog-algorithm": "GOOG4-HMAC-SHA256",
    "x-goog-credential": f"{KEY.access_id}/{TODAY}/auto/storage/goog4_request",
    "x-goog-date": f"{TODAY}T000000Z",
}


@pytest.fixture
async def server() -> AsyncIterator[GCSServer]:
    async with GCSServer(buckets=["bucket"], settings=Settings(tokens=[], hmac_keys=[KEY])) as server:
        yield server


def signed(policy: str) -> dict[str, str]:
    """
    Return the fields of a form with *policy*.
    """
    scope = SIGNING["x-goog-credential"].split("/")[1:]
    start = b"GOOG4" + KEY.secret.encode()
    key = reduce(lambda key, part: hmac.digest(key, part.encode(), "sha256"), scope, start)
    signature = hmac.digest(key, policy.encode(), "sha256").hex()
    return {"key": "k", **SIGNING, "policy": policy, "x-goog-signature": signature}


def policy(*more: Any, lives: timedelta = timedelta(hours=1), named: bool = True) -> str:
    own = [{"bucket": "bucket"}, {"key": "k"}, *({name: value} for name, value in SIGNING.items())]
    ends = f"{datetime.now(UTC) + lives:%Y-%m-%dT%H:%M:%SZ}"
    document = {"expiration": ends, "conditions": [*(own if named else []), *more]}
    return base64.b64encode(json.dumps(document).encode()).decode()


async def sent(server: GCSServer, fields: dict[str, str], path: str = "bucket") -> tuple[int, str]:
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("file", b"data", filename="f.txt")
    async with aiohttp.ClientSession() as session, session.post(f"{server.url}/{path}", data=form) as reply:
        return reply.status, await reply.text()


async def test_signed_policy(server: GCSServer) -> None:
    """
    A form that its policy allows stores the file.
    """
    fields = {**signed(policy(["content-length-range", 0, 4])), "x-ignore-me": "1"}

    assert (await sent(server, fields))[0] == 204


REFUSED: dict[str, tuple[dict[str, str], int, str]] = {
    "no policy": ({"key": "k"}, 401, "Anonymous"),
    "no signature": ({"key": "k", "policy": policy()}, 400, "Missing fields"),
    "wrong signature": ({**signed(policy()), "x-goog-signature": "00"}, 403, "SignatureDoesNotMatch"),
    "not a policy": (signed("e30="), 403, "not JSON with an expiration"),
    "expired": (signed(policy(lives=timedelta(hours=-1))), 403, "has expired"),
    "fields without conditions": (signed(policy(named=False)), 403, "no condition names the fields bucket, key"),
    "another field": ({**signed(policy()), "Content-Type": "a/b"}, 403, "content-type"),
    "another condition": (signed(policy({"acl": "private"})), 403, "acl does not meet"),
    "a condition that is none": (signed(policy("all")), 400, "cannot have the condition"),
    "too large": (signed(policy(["content-length-range", 0, 3])), 400, "EntityTooLarge"),
    "too small": (signed(policy(["content-length-range", 5, 9])), 400, "EntityTooSmall"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused(server: GCSServer, name: str) -> None:
    """
    A form without a valid policy, or against it, is refused with the reason.
    """
    fields, status, text = REFUSED[name]

    found = await sent(server, fields)

    assert (found[0], text in found[1]) == (status, True), found


async def test_form_for_an_object(server: GCSServer) -> None:
    """
    A form is sent to a bucket.
    """
    assert (await sent(server, signed(policy()), "bucket/k"))[0] == 405

"""
A service of which two requests in a hundred fail, each in another way: what arrives is right.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from asyncstore import download_tree, open_storage, upload_tree
from asyncstore.testing.faults_proxy import (
    CannedReply,
    CorruptReply,
    CorruptRequest,
    CutReply,
    Fault,
    FaultProxy,
    LoseReply,
    ResetBeforeForwarding,
    When,
)
from tests.servers.s3 import S3Server, fresh_bucket
from tests.storage.test_sync import make, read

FILES = {f"{number:03}": bytes([number]) * 4096 for number in range(250)}
# One for each 50 requests, so 2 %.
EVERY = 50
BUSY = CannedReply()
TOO_MANY = CannedReply(status=429, code="TooManyRequests")
FAULTS: dict[str, list[Fault]] = {
    "PUT": [ResetBeforeForwarding(), BUSY, LoseReply(), TOO_MANY, CorruptRequest(at=7)],
    "GET": [ResetBeforeForwarding(), BUSY, CutReply(after=100), TOO_MANY, CorruptReply(at=7)],
}


@pytest.mark.parametrize("method", FAULTS)
async def test_what_arrives_is_right(ministack: S3Server, tmp_path: Path, method: str) -> None:
    """
    Each request that is broken, refused, lost or altered is sent again: no item fails.
    """
    upstream = urlsplit(ministack.endpoint_url)
    assert upstream.hostname
    assert upstream.port
    source = make(tmp_path / "source", FILES)
    bucket = fresh_bucket(ministack)
    async with (
        FaultProxy(upstream.hostname, upstream.port) as proxy,
        open_storage(
            f"s3://{bucket}",
            endpoint_url=proxy.url,
            region=ministack.region,
            access_key_id=ministack.access_key_id,
            secret_access_key=ministack.secret_access_key,
        ) as storage,
    ):
        rules = [
            proxy.add(fault, when=When(method=method, target=f"{bucket}/", nth=EVERY * number))
            for number, fault in enumerate(FAULTS[method], 1)
        ]
        up = await upload_tree(source, storage)
        first = up if method == "PUT" else await download_tree(storage, tmp_path / "copy")

        assert [rule.fired for rule in rules] == [1] * len(rules)
        assert (first.done, first.failed) == (len(FILES), 0)
        sent = Counter(record.method for record in proxy.requests if f"{bucket}/" in record.target)
        assert sent[method] <= len(FILES) + 2 * len(rules)
        assert storage.statistics().throttled == 2

        if method == "PUT":
            assert (await download_tree(storage, tmp_path / "copy")).done == len(FILES)
        assert read(tmp_path / "copy") == FILES

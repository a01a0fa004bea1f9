"""
An S3 server as tests see it: its address, its credentials, and how it differs from S3.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.servers.quirks import SENTENCES


@dataclass(frozen=True, slots=True)
class Keys:
    """A pair of keys, made for the tests."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class S3Server:
    """
    A running server that checks signatures.

    Attributes:
        ca_file: Certificates to trust, when *endpoint_url* is https.
        readonly: Keys that may only list and read.
        quirks: Names from `tests.servers.quirks`.
    """

    name: str
    endpoint_url: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = "us-east-1"
    ca_file: Path | None = None
    readonly: Keys | None = None
    quirks: frozenset[str] = frozenset()

    @property
    def keys(self) -> Keys:
        return Keys(self.access_key_id, self.secret_access_key)

    def xfail_if(self, quirk: str) -> None:
        """End the running test as an expected failure, with the reason, if this server has the quirk."""
        if quirk in self.quirks:
            pytest.xfail(f"{self.name}: {quirk}. {SENTENCES[quirk]}")


@contextmanager
def blocking_client(
    server: S3Server, *, service: str = "s3", keys: Keys | None = None, endpoint_url: str | None = None
) -> Iterator[Any]:
    """
    Yield a boto3 client that neither retries nor uses proxies from the environment.

    Args:
        endpoint_url: Replaces the server's own, for example with that of a proxy.
    """
    using = keys or server.keys
    client = _session().client(
        service,
        endpoint_url=endpoint_url or server.endpoint_url,
        region_name=server.region,
        aws_access_key_id=using.access_key_id,
        aws_secret_access_key=using.secret_access_key,
        verify=str(server.ca_file) if server.ca_file else None,
        config=Config(
            proxies={},
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=20,
        ),
    )
    try:
        yield client
    finally:
        client.close()


@cache
def _session() -> Any:
    # It caches the service descriptions, which take half a second to read.
    return boto3.session.Session()


def fresh_bucket(server: S3Server, *, object_lock: bool = False) -> str:
    """
    Create an empty bucket and return its name; with *object_lock*, one whose objects can be protected.

    It is not removed: the server and its data are deleted at the end of the session.
    """
    name = f"test-{uuid.uuid4().hex}"
    with blocking_client(server) as client:
        client.create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if object_lock else {}))
    return name

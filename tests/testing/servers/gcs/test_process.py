"""
The stand-in for Google Cloud Storage, started as a separate process.
"""

from __future__ import annotations

import urllib.request

import pytest
from google.cloud import storage

from tests.servers.gcs import GCSEndpoint, fresh_bucket


def test_separate_process(gcs_endpoint: GCSEndpoint) -> None:
    """An object written over one connection can be read over another."""
    bucket = fresh_bucket(gcs_endpoint)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    address = f"{gcs_endpoint.url}/{bucket}/a"

    with opener.open(urllib.request.Request(address, b"body", method="PUT"), timeout=10) as reply:
        assert reply.headers["x-goog-generation"].isdigit()
    with opener.open(address, timeout=10) as reply:
        read = reply.read()

    assert read == b"body"


def test_storage_emulator_host(gcs_endpoint: GCSEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official client connects to STORAGE_EMULATOR_HOST."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_endpoint.url)
    client = storage.Client(project="test")
    try:
        blob = client.bucket(fresh_bucket(gcs_endpoint)).blob("a")
        blob.upload_from_string(b"body")
        assert blob.download_as_bytes() == b"body"
    finally:
        client.close()

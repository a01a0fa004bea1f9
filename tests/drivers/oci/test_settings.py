"""
The settings of OCI, and where its requests go.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from asyncstore.auth.oci.credentials import oci_credentials
from asyncstore.config import StorageConfig
from asyncstore.driver.settings import read_settings
from asyncstore.drivers.oci import open_driver
from asyncstore.drivers.oci.addresses import Addresses, encode_segment
from asyncstore.drivers.oci.headers import metadata_fields
from asyncstore.drivers.oci.listing import _successor
from asyncstore.drivers.oci.settings import READERS, OCISettings
from asyncstore.errors import ConfigurationError
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import parse_uri
from tests.servers.oci import user

ROOT = parse_uri("oci://ns/bucket/")


def read(settings: dict[str, Any]) -> OCISettings:
    return read_settings(OCISettings, settings, provider="oci", readers=READERS)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("OCI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    # A port without a listener.
    monkeypatch.setenv("OCI_METADATA_BASE_URL", "http://127.0.0.1:1/opc/v2")


def addresses(region: str | None = None, endpoint: str | None = None, **settings: Any) -> Addresses:
    credentials = oci_credentials(settings={**user().settings(""), "region": None, **settings})
    return Addresses(endpoint=endpoint, region=region, credentials=credentials, allow_http=False)


@pytest.mark.parametrize(
    ("region", "uri", "origin"),
    [
        (None, "oci://ns@eu-frankfurt-1/b/", "https://objectstorage.eu-frankfurt-1.oraclecloud.com"),
        ("us-ashburn-1", "oci://ns/b/", "https://objectstorage.us-ashburn-1.oraclecloud.com"),
        ("iad", "oci://ns/b/", "https://objectstorage.us-ashburn-1.oraclecloud.com"),
        ("us-gov-ashburn-1", "oci://n/ns/b/bucket/o/key", "https://objectstorage.us-gov-ashburn-1.oraclegovcloud.com"),
        ("eu-madrid-2", "oci://b", "https://objectstorage.eu-madrid-2.oraclecloud.eu"),
        ("xx-new-1", "oci://b", "https://objectstorage.xx-new-1.oraclecloud.com"),
        (
            None,
            "https://objectstorage.uk-london-1.oraclecloud.com/n/ns/b/bucket/o/k",
            "https://objectstorage.uk-london-1.oraclecloud.com",
        ),
    ],
)
async def test_endpoint(region: str | None, uri: str, origin: str) -> None:
    """
    The endpoint of a region is in the domain of its realm.
    """
    found = await addresses(region).find(parse_uri(uri))

    assert found.origin.base == origin


async def test_region_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The environment names the region if neither settings nor URI do.
    """
    monkeypatch.setenv("OCI_REGION", "lhr")
    found = await addresses().find(ROOT)

    assert found.region == "uk-london-1"


async def test_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    ``OCI_CLI_ENDPOINT`` sets the endpoint, unless the settings do.
    """
    monkeypatch.setenv("OCI_CLI_ENDPOINT", "https://gateway.example")
    settings = user().settings("us-phoenix-1")

    assert open_driver(StorageConfig.build(ROOT, settings)).describe()["endpoint"] == "https://gateway.example"
    settings["endpoint_url"] = "https://other.example"
    assert open_driver(StorageConfig.build(ROOT, settings)).describe()["endpoint"] == "https://other.example"


async def test_no_region() -> None:
    """
    Without any region, the error says how to set one.
    """
    with pytest.raises(ConfigurationError, match="OCI_REGION"):
        await addresses().find(ROOT)


@pytest.mark.parametrize("region", ["a/b", "evil.example", "x?y"])
async def test_invalid_region(region: str) -> None:
    """
    The name of a region cannot send credentials to another host.
    """
    with pytest.raises(ConfigurationError, match="is not a region name"):
        await addresses(region).find(ROOT)


async def test_configured_endpoint() -> None:
    """
    A configured endpoint is used for every region, including its path.
    """
    found = await addresses(endpoint="https://gateway.example/oci/").find(parse_uri("oci://ns@uk-london-1/b/"))

    assert (found.origin.base, found.origin.path, found.region) == (
        "https://gateway.example/oci",
        "/oci",
        "uk-london-1",
    )


def test_plain_http() -> None:
    """
    Signatures are not sent without TLS.
    """
    with pytest.raises(ConfigurationError, match="unencrypted"):
        addresses(endpoint="http://gateway.example")


@pytest.mark.parametrize("path", ["/p/fake-secret", "/p/fake-secret/", "/p/fake-secret/n/ns/b/bucket/o/"])
def test_preauthenticated_endpoint(path: str) -> None:
    """
    A pre-authenticated request is no endpoint, and the error does not show it.
    """
    with pytest.raises(ConfigurationError, match="pre-authenticated request") as failure:
        addresses(endpoint=f"https://objectstorage.us-phoenix-1.oraclecloud.com{path}")
    assert "fake-secret" not in str(failure.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"checksums": "md5"}, "no setting 'checksums'. Did you mean 'checksum'"),
        ({"checksum": "crc32"}, "checksum takes 'crc32c' or"),
        ({"md5_metadata": "maybe"}, "md5_metadata takes true or false"),
        ({"sse_customer_key": "short"}, "32 bytes"),
        ({"sse_customer_key": b"k" * 32, "sse_kms_key_id": "ocid"}, "not both"),
        ({"namespace": "a/b"}, "namespace takes a name without slashes"),
        ({"namespace": ""}, "namespace takes a name without slashes"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], message: str) -> None:
    """
    An invalid setting is refused, by name, before anything is sent.
    """
    with pytest.raises(ConfigurationError, match=message):
        open_driver(StorageConfig.build(ROOT, {**user().settings("us-phoenix-1"), **settings}))


def test_settings() -> None:
    """
    Text values are converted.
    """
    key = base64.b64encode(b"k" * 32).decode()
    found = read({"checksum": "SHA256", "md5_metadata": "no", "sse_customer_key": key, "namespace": None})

    assert (found.checksum, found.md5_metadata, found.sse_customer_key) == (ChecksumAlgorithm.SHA256, False, b"k" * 32)
    assert "kkk" not in repr(found)
    assert read({"checksum": "none"}).checksum is None


def test_describe_has_no_secret() -> None:
    """
    ``describe()`` shows what was resolved, without secrets.
    """
    driver = open_driver(StorageConfig.build(ROOT, user().settings("us-phoenix-1")))
    shown = driver.describe()

    assert shown["endpoint"] == "the region's own"
    assert (shown["namespace"], shown["credentials"]) == ("ns", "default (settings)")
    assert "PRIVATE" not in str(shown)


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("a/b c", "a%2Fb%20c"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("../x", "..%2Fx"),
        ("ü+%", "%C3%BC%2B%25"),
        ("~_-.", "~_-."),
    ],
)
def test_segments(name: str, segment: str) -> None:
    """
    A name becomes one segment of a path, and never ``.`` or ``..``.
    """
    assert encode_segment(name) == segment


@pytest.mark.parametrize("key", ["a b", "a:b", "ü", "a\tb"])
def test_metadata_keys(key: str) -> None:
    """
    A key that cannot be part of a header's name is refused.
    """
    with pytest.raises(ConfigurationError):
        metadata_fields({key: "value"})


@pytest.mark.parametrize(
    ("prefix", "after"),
    [("a", "b"), ("a/", "a0"), ("\ud7ff", "\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff", None)],
)
def test_successor(prefix: str, after: str | None) -> None:
    """
    The least text after everything that starts with a prefix, if one exists.
    """
    assert _successor(prefix) == after

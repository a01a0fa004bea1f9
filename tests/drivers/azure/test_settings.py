"""
Settings of Azure, valid and invalid; names, ids and headers on their own.
"""

from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncstore.auth.azure.account import DEVELOPMENT_ENDPOINT
from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.drivers.azure import AzureDriver, open_driver
from asyncstore.drivers.azure.blocks import AbortedUploads, Block, initiated, is_upload_id, new_upload_id
from asyncstore.drivers.azure.headers import checksum_header, decode_name, encode_name, received_checksum
from asyncstore.errors import ConfigurationError, InvalidURIError
from asyncstore.options import ReadOptions
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import parse_uri

FAKE_KEY = "ZmFrZS1rZXk="
FAKE_SAS = "sv=2022-11-02&sp=rw&sig=fake-signature"


def opened(uri: str = "azure://container@acct", **settings: Any) -> AzureDriver:
    return open_driver(StorageConfig.build(uri, {"account_key": FAKE_KEY, **settings}))


@pytest.mark.parametrize(
    ("uri", "settings", "endpoint"),
    [
        ("azure://container@acct/key", {}, "https://acct.blob.core.windows.net"),
        ("az://acct/container/key", {}, "https://acct.blob.core.windows.net"),
        ("https://acct.blob.core.windows.net/container/key", {}, "https://acct.blob.core.windows.net"),
        ("azure://container", {"account_name": "acct"}, "https://acct.blob.core.windows.net"),
        (
            "azure://container@acct",
            {"endpoint_suffix": "core.usgovcloudapi.net"},
            "https://acct.blob.core.usgovcloudapi.net",
        ),
        ("azure://container@acct.blob.core.usgovcloudapi.net", {}, "https://acct.blob.core.usgovcloudapi.net"),
        ("abfss://container@acct.dfs.core.chinacloudapi.cn/key", {}, "https://acct.blob.core.chinacloudapi.cn"),
        ("https://acct.z01.blob.storage.azure.net/container", {}, "https://acct.z01.blob.storage.azure.net"),
        (
            "azure://container@acct",
            {"endpoint_url": "https://acct.dfs.core.windows.net/"},
            "https://acct.blob.core.windows.net",
        ),
        (
            "azure://container",
            {"endpoint_url": "https://acct.privatelink.blob.core.windows.net"},
            "https://acct.privatelink.blob.core.windows.net",
        ),
        (
            "azure://container",
            {"endpoint_url": "http://azurite:10000/acct/", "account_name": "acct", "allow_http": True},
            "http://azurite:10000/acct",
        ),
        ("azure://container@acct", {"endpoint_url": "https://blobs.example"}, "https://blobs.example"),
        ("azure://container", {"endpoint_url": "http://127.0.0.1:10000/acct/"}, "http://127.0.0.1:10000/acct"),
        ("azure://container", {"connection_string": "UseDevelopmentStorage=true"}, DEVELOPMENT_ENDPOINT),
    ],
)
async def test_endpoint(uri: str, settings: dict[str, Any], endpoint: str) -> None:
    """
    The account comes from the URI, the settings or the endpoint.
    """
    if "connection_string" in settings:
        settings = {"account_key": None, **settings}
    driver = opened(uri, **settings)

    assert driver.describe()["endpoint"] == endpoint
    assert driver.describe()["account"] in ("acct", "devstoreaccount1")
    await driver.aclose()


@pytest.mark.parametrize(
    ("uri", "settings"),
    [
        ("azure://container", {}),
        ("azure://container@acct", {"account_name": "other"}),
        ("azure://container@acct", {"endpoint_url": "https://other.blob.core.windows.net"}),
        ("azure://container@acct", {"endpoint_url": "http://blobs.example"}),
        ("azure://container@Not-An-Account", {}),
        ("azure://container@acct", {"checksum": "sha1"}),
        ("azure://container@acct", {"api_version": "newest"}),
        ("azure://container@acct", {"tags": 7}),
        ("azure://container@acct", {"tags": {str(number): "" for number in range(11)}}),
        ("azure://container@acct", {"delete_snapshots": "perhaps"}),
        ("azure://container@acct", {"colour": "blue"}),
        ("azure://container@acct.blob.core.usgovcloudapi.net", {"endpoint_suffix": "core.chinacloudapi.cn"}),
    ],
)
def test_invalid_settings(uri: str, settings: dict[str, Any]) -> None:
    """
    Invalid settings are rejected when the storage is opened.
    """
    with pytest.raises(ConfigurationError):
        opened(uri, **settings)


CONTAINER_ENDPOINTS = [
    ("https://acct.blob.core.windows.net/container", "https://acct.blob.core.windows.net"),
    ("https://acct.blob.core.windows.net/container/folder/key", "https://acct.blob.core.windows.net"),
    ("https://acct.dfs.core.windows.net/container/", "https://acct.blob.core.windows.net"),
    ("http://127.0.0.1:10000/acct/container", "http://127.0.0.1:10000/acct"),
    ("https://blobs.example/container", "https://blobs.example"),
    ("https://blobs.example/behind/container", "https://blobs.example/behind"),
    ("https://blobs.example/behind", "https://blobs.example/behind"),
]


@pytest.mark.parametrize(("endpoint", "kept"), CONTAINER_ENDPOINTS)
@pytest.mark.parametrize("setting", ["endpoint_url", "connection_string"])
async def test_endpoint_of_a_container(setting: str, endpoint: str, kept: str) -> None:
    """
    The container at the end of an endpoint, as portals write it for one container, is not sent twice.
    """
    settings: dict[str, Any] = {"endpoint_url": endpoint, "sas_token": FAKE_SAS}
    if setting == "connection_string":
        settings = {"connection_string": f"BlobEndpoint={endpoint};SharedAccessSignature={FAKE_SAS}"}
    driver = opened("azure://container", account_key=None, **settings)

    assert driver._wire.addresses.url(driver._wire.addresses.blob(parse_uri("azure://container/key"))) == (
        f"{kept}/container/key"
    )
    await driver.aclose()


@pytest.mark.parametrize(
    "endpoint", ["https://acct.blob.core.windows.net/other", "http://127.0.0.1:10000/acct/other/container"]
)
def test_endpoint_of_another_container(endpoint: str) -> None:
    """
    An endpoint of another container than that of the URI is refused.
    """
    with pytest.raises(ConfigurationError, match="the container 'other'"):
        opened("azure://container", endpoint_url=endpoint)


@pytest.mark.parametrize(
    ("root", "other"),
    [
        ("azure://container@acct.blob.core.usgovcloudapi.net", "azure://container@acct.blob.core.chinacloudapi.cn/key"),
        ("azure://container@acct", "azure://container@acct.blob.core.chinacloudapi.cn/key"),
    ],
)
async def test_uri_of_another_cloud(root: str, other: str) -> None:
    """
    Accounts of one name in two clouds are two accounts.
    """
    driver = opened(root)

    with pytest.raises(InvalidURIError, match="another cloud"):
        await driver.stat(parse_uri(other), ReadOptions())
    await driver.aclose()
    with pytest.raises(InvalidURIError, match="another cloud"):
        opened(other, endpoint_url="https://acct.blob.core.windows.net")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"checksum": "sha1"}, "checksum takes 'crc64' or 'crc64nvme' or 'md5' or 'none', not 'sha1'"),
        ({"api_version": "newest"}, "api_version takes a date such as"),
        ({"tags": 7}, "tags takes a mapping of text to text, or a query such as project=x&stage=y, not 7"),
        ({"lease": "1"}, "Did you mean 'lease_id'"),
        ({"acount_key": "x"}, "Did you mean 'account_key'"),
    ],
)
def test_error_says_what_works(settings: dict[str, Any], words: str) -> None:
    """
    The error about an invalid setting names the values or names that would work.
    """
    with pytest.raises(ConfigurationError) as failure:
        opened(**settings)

    assert words in str(failure.value)


async def test_spellings() -> None:
    """
    A version that TOML read as a date, and tags as a query, are accepted.
    """
    driver = opened(api_version=date(2025, 11, 5), tags="project=a%20b&x=", checksum="CRC64", async_copy="yes")

    assert driver.describe()["api version"] == "2025-11-05"
    assert driver._settings.tags == {"project": "a b", "x": ""}
    assert driver.preferred_checksum is ChecksumAlgorithm.CRC64NVME
    assert driver.capabilities.max_copy_size == driver.capabilities.max_object_size
    await driver.aclose()


def test_signature_in_a_url() -> None:
    """
    A signature belongs in sas_token; in a URL it is rejected, and not shown.
    """
    for settings in (
        {"uri": "https://acct.blob.core.windows.net/container?sv=1&sig=fake-signature"},
        {"endpoint_url": "https://acct.blob.core.windows.net?sv=1&sig=fake-signature"},
    ):
        with pytest.raises((ConfigurationError, InvalidURIError)) as failure:
            opened(**settings)
        assert "fake-signature" not in str(failure.value)


def test_checksum_setting() -> None:
    """
    The service verifies two algorithms; "none" sends no checksum.
    """
    assert opened().preferred_checksum is ChecksumAlgorithm.CRC64NVME
    assert opened(checksum="md5").preferred_checksum is ChecksumAlgorithm.MD5
    assert opened(checksum="none").preferred_checksum is None


@pytest.mark.parametrize(
    "uri",
    [
        "azure://container@acct/a\\b",
        "azure://container@acct/.",
        "azure://container@acct/../x",
        "azure://container@acct/a/./b",
        "azure://container@acct/a/..",
        "azure://container@other/key",
        "azure://Container@acct/key",
        "azure://ab@acct/key",
        "azure://a--b@acct/key",
        "azure://-ab@acct/key",
    ],
)
async def test_invalid_name(uri: str) -> None:
    """
    A name that the service would treat as another is rejected before a request is sent.
    """
    driver = opened()

    with pytest.raises(InvalidURIError):
        await driver.stat(parse_uri(uri), ReadOptions())
    await driver.aclose()


@pytest.mark.parametrize("container", ["abc", "a-b-c", "0" * 63, "$root", "$web"])
def test_valid_container(container: str) -> None:
    """
    Letters, digits and single hyphens, and the service's own containers.
    """
    addresses = opened()._wire.addresses

    assert addresses.blob(parse_uri(f"azure://{container}@acct/..a./b..")) == f"/{container}/..a./b.."


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).map(str.lower))
@example("with-dash")
@example("1st")
@example("_x002d_")
@example("__x002d__x")
@example("-x002d_")
@example("\U0001f600")
def test_metadata_name(name: str) -> None:
    """
    Any name becomes an identifier, and is decoded again.
    """
    encoded = encode_name(name)

    assert encoded.isascii()
    assert encoded.isidentifier()
    assert decode_name(encoded) == name


def test_plain_metadata_names_stay() -> None:
    """
    Names that are identifiers already are stored unchanged; those of other programs are read unchanged.
    """
    assert encode_name("colour_2") == "colour_2"
    assert encode_name("with-dash") == "with_x002d_dash"
    assert decode_name("some_xd83d_half") == "some_xd83d_half"


def test_block_ids() -> None:
    """
    The id of a block contains all that resuming needs, in ids of one length.
    """
    uri = parse_uri("azure://container@acct/key")
    upload_id = new_upload_id(uri, 1e9)
    checksum = compute(ChecksumAlgorithm.CRC64NVME, b"data")
    blocks = [Block(upload_id, 1), Block(upload_id, 50_000, checksum), Block(new_upload_id(uri, 1e9), 0)]

    assert [Block.parse(block.id()) for block in blocks] == blocks
    assert {len(block.id()) for block in blocks} == {72}
    assert Block(upload_id, 1, compute(ChecksumAlgorithm.MD5, b"data")) != Block.parse(blocks[0].id())
    assert Block(upload_id, 1, compute(ChecksumAlgorithm.MD5, b"data")).id() == blocks[0].id()
    for text in ("", "AAAA", "no base64!", "é"):
        assert Block.parse(text) is None


def test_upload_id_belongs_to_a_blob() -> None:
    """
    The id of an upload to another blob, or an invented one, is rejected.
    """
    uri = parse_uri("azure://container@acct/key")
    upload_id = new_upload_id(uri, 1e9)

    assert is_upload_id(uri, upload_id)
    assert 1e9 == initiated(upload_id).timestamp()
    assert not is_upload_id(uri.with_key("other"), upload_id)
    assert not is_upload_id(uri, f"{upload_id[:-4]}0000")
    assert not is_upload_id(uri, "")


def test_aborted_uploads_are_forgotten_in_time() -> None:
    """
    The record of aborted uploads has a limit.
    """
    aborted = AbortedUploads()
    for number in range(10_001):
        aborted.add(str(number))

    assert "0" not in aborted
    assert "1" in aborted
    assert "10000" in aborted


def test_crc64_is_ours() -> None:
    """
    The service's CRC64 is CRC64NVME with the lowest byte first: the check
    value of "123456789" is AE8B14860A799888.
    """
    checksum = compute(ChecksumAlgorithm.CRC64NVME, b"123456789")

    assert checksum.value.hex() == "ae8b14860a799888"
    assert checksum_header(checksum) == {"x-ms-content-crc64": "iJh5CoYUi64="}
    assert received_checksum({"x-ms-content-crc64": "iJh5CoYUi64="}) == checksum

"""
What can be set for Azure, and what cannot; names, ids and headers by themselves.
"""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncstore.auth.azure_account import DEVELOPMENT_ENDPOINT
from asyncstore.checksum import compute
from asyncstore.config import StorageConfig
from asyncstore.drivers.azure import AzureDriver, open_driver
from asyncstore.drivers.azure.block_ids import AbortedUploads, Block, is_upload_id, new_upload_id
from asyncstore.drivers.azure.headers import checksum_header, checksum_in
from asyncstore.drivers.azure.metadata import decode_name, encode_name
from asyncstore.errors import ConfigurationError, InvalidURIError
from asyncstore.options import ReadOptions
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import parse_uri

FAKE_KEY = "ZmFrZS1rZXk="


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
        ("azure://container@acct", {"endpoint_url": "https://blobs.example"}, "https://blobs.example"),
        ("azure://container", {"endpoint_url": "http://127.0.0.1:10000/acct/"}, "http://127.0.0.1:10000/acct"),
        ("azure://container", {"connection_string": "UseDevelopmentStorage=true"}, DEVELOPMENT_ENDPOINT),
    ],
)
async def test_endpoint(uri: str, settings: dict[str, Any], endpoint: str) -> None:
    """
    The account comes from the URI, the settings or the address.
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
    ],
)
def test_impossible_settings(uri: str, settings: dict[str, Any]) -> None:
    """
    What does not fit is refused when the storage is opened.
    """
    with pytest.raises(ConfigurationError):
        opened(uri, **settings)


def test_signature_in_an_address() -> None:
    """
    A signature belongs to the settings, and is not shown where it was given instead.
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
    The service checks two kinds, or none is sent.
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
async def test_impossible_name(uri: str) -> None:
    """
    A name that the service would take for another is refused before anything is sent.
    """
    driver = opened()

    with pytest.raises(InvalidURIError):
        await driver.stat(parse_uri(uri), ReadOptions())
    await driver.aclose()


@pytest.mark.parametrize("container", ["abc", "a-b-c", "0" * 63, "$root", "$web"])
def test_possible_container(container: str) -> None:
    """
    Letters, digits and single hyphens, and the service's own.
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
    Any name becomes an identifier, and comes back.
    """
    encoded = encode_name(name)

    assert encoded.isascii()
    assert encoded.isidentifier()
    assert decode_name(encoded) == name


def test_plain_metadata_names_stay() -> None:
    """
    Names that others can read are left as they are; theirs are read as they are.
    """
    assert encode_name("colour_2") == "colour_2"
    assert encode_name("with-dash") == "with_x002d_dash"
    assert decode_name("some_xd83d_half") == "some_xd83d_half"


def test_block_ids() -> None:
    """
    The id of a block tells all that is needed to go on, in ids of one length.
    """
    uri = parse_uri("azure://container@acct/key")
    upload_id = new_upload_id(uri)
    checksum = compute(ChecksumAlgorithm.CRC64NVME, b"data")
    blocks = [Block(upload_id, 1), Block(upload_id, 50_000, checksum), Block(new_upload_id(uri), 0)]

    assert [Block.parse(block.id()) for block in blocks] == blocks
    assert {len(block.id()) for block in blocks} == {72}
    assert Block(upload_id, 1, compute(ChecksumAlgorithm.MD5, b"data")) != Block.parse(blocks[0].id())
    assert Block(upload_id, 1, compute(ChecksumAlgorithm.MD5, b"data")).id() == blocks[0].id()
    for text in ("", "AAAA", "no base64!", "é"):
        assert Block.parse(text) is None


def test_upload_id_belongs_to_a_blob() -> None:
    """
    An id of another blob, or one that was made up, is none.
    """
    uri = parse_uri("azure://container@acct/key")
    upload_id = new_upload_id(uri)

    assert is_upload_id(uri, upload_id)
    assert not is_upload_id(uri.with_key("other"), upload_id)
    assert not is_upload_id(uri, f"{upload_id[:-4]}0000")
    assert not is_upload_id(uri, "")


def test_aborted_uploads_are_forgotten_in_time() -> None:
    """
    What is remembered of aborted uploads does not grow without end.
    """
    aborted = AbortedUploads()
    for number in range(10_001):
        aborted.add(str(number))

    assert "0" not in aborted
    assert "1" in aborted
    assert "10000" in aborted


def test_crc64_is_ours() -> None:
    """
    The service's CRC64 has the bits of CRC64NVME, its lowest byte first: the check
    value of "123456789" is AE8B14860A799888.
    """
    checksum = compute(ChecksumAlgorithm.CRC64NVME, b"123456789")

    assert checksum.value.hex() == "ae8b14860a799888"
    assert checksum_header(checksum) == {"x-ms-content-crc64": "iJh5CoYUi64="}
    assert checksum_in({"x-ms-content-crc64": "iJh5CoYUi64="}) == checksum

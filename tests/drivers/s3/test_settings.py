"""
Opening S3: settings, addresses, and values that are refused before any request.
"""

from datetime import timedelta
from typing import Any

import pytest

from asyncstore.auth.aws.sigv4 import AWSKeys, SignatureSeries, sign_headers
from asyncstore.auth.credentials import Scope
from asyncstore.config import StorageConfig
from asyncstore.driver.body import BytesBody
from asyncstore.drivers.s3 import S3Driver, open_driver
from asyncstore.errors import ConfigurationError
from asyncstore.http.header_values import decode_value, encode_value, parse_date
from asyncstore.options import WriteOptions
from asyncstore.types import ChecksumAlgorithm
from asyncstore.uri import parse_uri
from tests.drivers.s3.test_replies import READ, URI, driving
from tests.servers.scripted import reply, saying, scripted

KEYS = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret"}


def opened(uri: str = "s3://bucket", **settings: Any) -> S3Driver:
    return open_driver(StorageConfig.build(uri, {**KEYS, **settings}))


async def host_and_path(driver: S3Driver, uri: str) -> tuple[str, str]:
    signed = await driver.sign("GET", parse_uri(uri), timedelta(minutes=1))
    await driver.aclose()
    _, _, host, path = signed.partition("?")[0].split("/", 3)
    return host, path


@pytest.mark.parametrize(
    ("uri", "settings", "expected"),
    [
        ("s3://bucket/k", {"region": "eu-west-1"}, ("bucket.s3.eu-west-1.amazonaws.com", "k")),
        ("s3://bucket@eu-west-1/k", {}, ("bucket.s3.eu-west-1.amazonaws.com", "k")),
        ("s3://bucket@eu-west-1/k", {"region": "eu-west-2"}, ("bucket.s3.eu-west-2.amazonaws.com", "k")),
        ("s3://bucket/k", {"region": "cn-north-1"}, ("bucket.s3.cn-north-1.amazonaws.com.cn", "k")),
        ("s3://with.dots/k", {"region": "eu-west-1"}, ("s3.eu-west-1.amazonaws.com", "with.dots/k")),
        ("s3://Upper/k", {"region": "eu-west-1"}, ("s3.eu-west-1.amazonaws.com", "Upper/k")),
        ("s3://bucket/k", {"endpoint_url": "https://s3.lab.example:9/x"}, ("s3.lab.example:9", "x/bucket/k")),
        (
            "s3://bucket/k",
            {"endpoint_url": "https://lab.example", "addressing_style": "virtual"},
            ("bucket.lab.example", "k"),
        ),
        ("s3://bucket/k", {"region": "r1", "addressing_style": "path"}, ("s3.r1.amazonaws.com", "bucket/k")),
        (
            "s3://bucket/k",
            {"endpoint_url": "https://s3.eu-west-3.amazonaws.com"},
            ("bucket.s3.eu-west-3.amazonaws.com", "k"),
        ),
        ("s3://bucket/a b/ä+%2F", {"region": "r1"}, ("bucket.s3.r1.amazonaws.com", "a%20b/%C3%A4%2B%252F")),
    ],
)
async def test_address(uri: str, settings: dict[str, str], expected: tuple[str, str]) -> None:
    """
    The host and path of a bucket depend on the settings, the region and the bucket's name.
    """
    assert await host_and_path(opened(uri.rpartition("/")[0], **settings), uri) == expected


async def test_address_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without settings, the endpoint and region come from the environment.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://env.example")
    monkeypatch.setenv("AWS_REGION", "eu-env-1")

    driver = opened()
    assert (await host_and_path(driver, "s3://bucket/k"))[0] == "env.example"
    assert driver.describe()["region"] == "eu-env-1"


@pytest.mark.parametrize(
    "settings",
    [
        {"adressing_style": "path"},
        {"addressing_style": "round"},
        {"checksum": "md5"},
        {"checksum": "crc65"},
        {"sse": "rot13"},
        {"sse_customer_key": "c2hvcnQ="},
        {"sse_customer_key": b"k" * 32, "sse": "AES256"},
        {"endpoint_url": "http://far.example"},
        {"endpoint_url": "far.example"},
        {"requester_pays": "perhaps"},
    ],
)
def test_invalid_settings(settings: dict[str, Any]) -> None:
    """
    Unknown and invalid settings are refused when the driver is opened.
    """
    with pytest.raises(ConfigurationError) as caught:
        opened(**settings)
    assert "not-a-secret" not in str(caught.value)


def test_unknown_setting_lists_the_known_ones() -> None:
    """
    The error for an unknown setting lists the known ones.
    """
    with pytest.raises(ConfigurationError, match=r"addressing_style.*verify_checksums"):
        opened(adressing_style="path")


@pytest.mark.parametrize(
    ("endpoint_url", "chosen"),
    [
        (None, "crc32c"),
        ("https://s3.eu-west-1.amazonaws.com", "crc32c"),
        ("https://bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com", "crc32c"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "crc32c"),
        ("https://storage.example", "crc32"),
        ("https://amazonaws.com.example", "crc32"),
    ],
)
def test_default_checksum(endpoint_url: str | None, chosen: str) -> None:
    """
    The default is the fastest one on AWS, elsewhere the one that all services support; describe() names it.
    """
    settings: list[dict[str, Any]] = [{}, {"checksum": "auto"}]
    for given in settings:
        driver = opened(endpoint_url=endpoint_url, **given)
        assert driver.preferred_checksum == driver.describe()["checksum"] == chosen


def test_plain_http_if_allowed() -> None:
    """
    Plain HTTP to another machine needs allow_http, except for anonymous access.
    """
    opened(endpoint_url="http://far.example", allow_http="yes")
    open_driver(StorageConfig.build("s3://bucket", {"endpoint_url": "http://far.example", "anonymous": True}))


def test_checksum_setting() -> None:
    """
    The setting is the checksum that the engine computes; with none, the capability is off.
    """
    assert opened(checksum="crc64nvme").preferred_checksum is ChecksumAlgorithm.CRC64NVME
    assert opened(checksum="none").preferred_checksum is None
    assert not opened(checksum="none").capabilities.checksums


@pytest.mark.parametrize(
    ("method", "expires"), [("POST", timedelta(hours=1)), ("GET", timedelta(0)), ("GET", timedelta(days=8))]
)
async def test_unsupported_presigned_urls(method: str, expires: timedelta) -> None:
    """
    Presigned URLs are for certain methods, and are valid for up to seven days.
    """
    driver = opened(region="r1")
    with pytest.raises(ConfigurationError):
        await driver.sign(method, parse_uri("s3://bucket/k"), expires)
    await driver.aclose()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "two  spaces",
        " around ",
        "grüße",
        "日本語" * 30,
        "=?not really",
        "=?UTF-8?Q?a?=",
        "a\tb",
        "é",
        "💾" * 9,
    ],
)
def test_metadata_value(value: str) -> None:
    """
    Any value survives encoding, in encoded words of at most 75 characters.
    """
    sent = encode_value(value)

    assert sent.isascii()
    assert sent == sent.strip()
    assert decode_value(sent) == value
    if sent != value:
        assert all(len(word) <= 75 for word in sent.split(" "))


@pytest.mark.parametrize("value", ["=?utf-8?b?w6TDtsO8?=", "=?UTF-8?Q?=C3=A4=C3=B6=C3=BC?=", "äöü"])
def test_metadata_value_from_another_writer(value: str) -> None:
    """
    Both encodings of RFC 2047 and plain UTF-8 are decoded.
    """
    assert decode_value(value) == "äöü"


def test_metadata_value_that_only_looks_encoded() -> None:
    """
    A value that cannot be decoded is returned unchanged.
    """
    assert decode_value("=?klingon?Q?x?=") == "=?klingon?Q?x?="


async def test_invalid_metadata_key() -> None:
    """
    A metadata key with a space is refused, since it cannot be part of a header name.
    """
    async with scripted(saying(b"")) as server:
        driver = opened(endpoint_url=server.url, region="r1")
        with pytest.raises(ConfigurationError, match="'a b'"):
            await driver.put(parse_uri("s3://bucket/k"), BytesBody(b"x"), WriteOptions(metadata={"a b": "1"}))
        await driver.aclose()

        assert server.requests == []


def test_dates() -> None:
    """
    The current and the obsolete HTTP date format are parsed; other text is not a date.
    """
    when = parse_date("Sun, 06 Nov 1994 08:49:37 GMT")
    assert when is not None
    assert when.isoformat() == "1994-11-06T08:49:37+00:00"
    assert parse_date("Sunday, 06-Nov-94 08:49:37 GMT") == when
    assert parse_date("soon") is None


@pytest.mark.parametrize("token", [None, "session/token+=="])
@pytest.mark.parametrize("query", ["", "a=1&b=%20"])
@pytest.mark.parametrize("headers", [{}, {"x-amz-checksum-mode": "ENABLED", "x-amz-request-payer": "requester"}])
def test_series_matches_single_signatures(token: str | None, query: str, headers: dict[str, str]) -> None:
    """
    A series signs like single requests, also when the second or the day changes.
    """
    keys, scope, empty = AWSKeys("AKIATEST", "not-a-secret", token), Scope("r1"), "0" * 64
    series = SignatureSeries("host.example", headers, keys=keys, scope=scope, payload_hash=empty)

    for when in (1e9, 1e9 + 0.5, 1e9 + 1, 1e9 + 86_400):
        alone = sign_headers(
            "GET", "/b/k", query, [("host", "host.example"), *headers.items()], keys=keys, scope=scope, when=when,
            payload_hash=empty,
        )  # fmt: skip
        assert series.sign("GET", "/b/k", query, when) == {**headers, **alone}


async def test_settings_that_are_sent_as_headers() -> None:
    """
    Requester pays, expected bucket owner and encryption are sent as headers, and signed.
    """
    settings = {"requester_pays": "yes", "expected_bucket_owner": "111122223333", "sse_kms_key_id": "k"}
    async with driving(saying(reply(200, ETag='"e"')), **settings) as (driver, server):
        await driver.put(URI, BytesBody(b"x"), WriteOptions())

        headers = server.requests[0].headers
        assert headers["x-amz-request-payer"] == "requester"
        assert headers["x-amz-expected-bucket-owner"] == "111122223333"
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "k"
        assert "x-amz-server-side-encryption" in headers["authorization"]


async def test_anonymous_requests_are_not_signed() -> None:
    """
    Anonymous requests have no signature.
    """
    async with scripted(saying(reply(200, b"x"))) as server:
        config = StorageConfig.build("s3://bucket", {"endpoint_url": server.url, "anonymous": True, "region": "r1"})
        driver = open_driver(config)
        await (await driver.open_read(URI, READ)).aclose()
        await driver.aclose()

        assert "authorization" not in server.requests[0].headers

"""
Where requests go: the same hosts as botocore's own rules name for the same bucket, region and demands.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore
import pytest
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError
from botocore.session import Session

from asyncstore import StorageError, open_storage
from asyncstore.auth.aws.partitions import partition_named, partition_of
from asyncstore.errors import ConfigurationError, NotSupportedError
from asyncstore.uri import parse_uri
from tests.servers.scripted import reply, saying, scripted

KEYS: dict[str, Any] = {"access_key_id": "AKIATEST", "secret_access_key": "not-a-secret"}

REGIONS = (
    "us-east-1",
    "eu-central-2",
    "ap-southeast-5",
    "mx-central-1",
    "cn-north-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "eu-isoe-west-1",
    "us-isof-south-1",
    "eusc-de-east-1",
    "xx-new-1",
)

_POINT = "arn:{partition}:s3:{region}:123456789012:accesspoint:{name}"

#: Ordinary, not a host name, an alias of an access point, directory buckets and access points to them.
BUCKETS = (
    "bucket",
    "with.dots",
    "points-kkp8h4jvawkwvhmzzwbcohu7r4i9suse1b-s3alias",
    "lambda-6h4jvawkwvhmzzwbcohu7r4i9s--ol-s3",
    "models--use1-az4--x-s3",
    "models--usw2-lax1-az1--x-s3",
    "reader--use1-az4--xa-s3",
)

#: Demands: FIPS, dual-stack, acceleration.
DEMANDS = tuple(itertools.product((False, True), repeat=3))


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Only what a test writes is configured."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


@cache
def rules() -> EndpointProvider:
    """The rules of botocore, without a client."""
    (file,) = (Path(botocore.__file__).parent / "data/s3/2006-03-01").glob("endpoint-rule-set-1.json*")
    content = file.read_bytes()
    ruleset = json.loads(gzip.decompress(content) if file.suffix == ".gz" else content)
    partitions = Session().get_component("data_loader").load_data("partitions")
    return EndpointProvider(ruleset, partitions)


def theirs(bucket: str, region: str, *, fips: bool, dual_stack: bool, accelerate: bool, endpoint: str | None) -> str:
    """Return host and path as botocore's rules say; empty for an error."""
    parameters: dict[str, Any] = {
        "Bucket": bucket,
        "Region": region,
        "UseFIPS": fips,
        "UseDualStack": dual_stack,
        "Accelerate": accelerate,
        "ForcePathStyle": False,
        "UseGlobalEndpoint": False,
        "DisableMultiRegionAccessPoints": False,
    }
    if endpoint is not None:
        parameters["Endpoint"] = endpoint
    try:
        found = rules().resolve_endpoint(**parameters)
    except EndpointProviderError:
        return ""
    parts = urlsplit(found.url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


async def ours(uri: str, **settings: Any) -> str:
    """Return scheme, host and path of the bucket; empty for an error."""
    try:
        async with open_storage(uri, **{**KEYS, **settings}) as storage:
            place = await storage._driver._wire.addresses.find(storage.root)  # type: ignore[attr-defined]
    except (ConfigurationError, NotSupportedError):
        return ""
    return f"{place.origin.url.scheme}://{place.origin.host}{place.path}"


@pytest.mark.parametrize("region", REGIONS)
async def test_hosts_are_those_of_botocore(region: str) -> None:
    """
    For every kind of bucket and all demands together, and an error where botocore has one.
    """
    names = [*BUCKETS, _POINT.format(partition=partition_of(region).name, region=region, name="reader")]
    different = []
    for bucket, (fips, dual_stack, accelerate) in itertools.product(names, DEMANDS):
        expected = theirs(bucket, region, fips=fips, dual_stack=dual_stack, accelerate=accelerate, endpoint=None)
        settings = {
            "use_fips_endpoint": fips,
            "use_dualstack_endpoint": dual_stack,
            "use_accelerate_endpoint": accelerate,
        }
        got = await ours(f"s3://{bucket}", region=region, **settings)
        if got != expected:
            different.append((bucket, settings, expected, got))
    assert not different


def partitions_of_botocore() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = Session().get_component("data_loader").load_data("partitions")["partitions"]
    return loaded


def test_partitions_are_those_of_botocore() -> None:
    """
    Our own table, which is used without the SDK, has the same partitions and ends of hosts.
    """
    for partition in partitions_of_botocore():
        ours = partition_named(partition["id"])
        assert ours is not None
        outputs = partition["outputs"]
        assert (ours.suffix, ours.dual_stack) == (outputs["dnsSuffix"], outputs["dualStackDnsSuffix"])
        for region in partition["regions"]:
            if not region.endswith("-global"):
                assert partition_of(region) is ours


@pytest.mark.parametrize(
    "bucket", ["bucket", "models--use1-az4--x-s3", _POINT.format(partition="aws", region="r-x-1", name="p")]
)
@pytest.mark.parametrize("endpoint", ["https://lab.example", "https://lab.example:9/base", "https://192.0.2.1:9"])
async def test_custom_endpoints(bucket: str, endpoint: str) -> None:
    """
    Directory buckets and access points are in the host name of a custom endpoint, unless it is an IP address; demands
    that it cannot meet are errors, as they are in botocore.
    """
    # For ordinary buckets the style differs: ours is the path, which every server knows.
    if bucket != "bucket":
        expected = theirs(bucket, "r-x-1", fips=False, dual_stack=False, accelerate=False, endpoint=endpoint)
        assert await ours(f"s3://{bucket}", region="r-x-1", endpoint_url=endpoint) == expected
    for demand in ("use_fips_endpoint", "use_dualstack_endpoint", "use_accelerate_endpoint"):
        assert await ours(f"s3://{bucket}", region="r-x-1", endpoint_url=endpoint, **{demand: True}) == ""


@pytest.mark.parametrize(
    ("endpoint", "region", "expected"),
    [
        ("https://s3-accelerate.amazonaws.com", "eu-west-1", "bucket.s3-accelerate.amazonaws.com"),
        ("https://s3-accelerate.amazonaws.com", None, "bucket.s3-accelerate.amazonaws.com"),
        ("https://s3-accelerate.dualstack.amazonaws.com", "eu-west-1", "bucket.s3-accelerate.dualstack.amazonaws.com"),
        ("https://s3-external-1.amazonaws.com", "us-east-1", "bucket.s3-external-1.amazonaws.com"),
        ("https://s3-fips-us-gov-west-1.amazonaws.com", "us-gov-west-1", "bucket.s3-fips-us-gov-west-1.amazonaws.com"),
        ("https://s3-fips.us-east-2.amazonaws.com", None, "bucket.s3-fips.us-east-2.amazonaws.com"),
        # In another region it is that region's endpoint of the same kind.
        ("https://s3-fips.us-east-2.amazonaws.com", "us-east-1", "bucket.s3-fips.us-east-1.amazonaws.com"),
        ("https://s3.dualstack.us-west-2.amazonaws.com", None, "bucket.s3.dualstack.us-west-2.amazonaws.com"),
        ("https://s3-eu-west-1.amazonaws.com", "eu-west-1", "bucket.s3-eu-west-1.amazonaws.com"),
        ("https://s3.amazonaws.com", "eu-west-1", "bucket.s3.eu-west-1.amazonaws.com"),
        (
            "https://bucket.vpce-1a2b-5e6f.s3.eu-west-1.vpce.amazonaws.com",
            None,
            "bucket.bucket.vpce-1a2b-5e6f.s3.eu-west-1.vpce.amazonaws.com",
        ),
    ],
)
async def test_endpoints_of_aws(endpoint: str, region: str | None, expected: str) -> None:
    """
    An endpoint of AWS that is named is used, and never replaced by one of another kind.
    """
    settings: dict[str, Any] = {} if region is None else {"region": region}
    async with open_storage("s3://bucket", endpoint_url=endpoint, **KEYS, **settings) as storage:
        url = await storage.presign(storage.root / "k", expires=timedelta(minutes=1))
        assert urlsplit(url).netloc == expected
        assert storage.describe()["endpoint source"] == "the settings"
    named = next((part for part in REGIONS_NAMED if part in endpoint), "us-east-1")
    assert f"%2F{region or named}%2Fs3%2F" in url


REGIONS_NAMED = ("us-east-2", "us-west-2", "eu-west-1")

_PROFILE = """
[profile lab]
region = RegionOne
{lines}
[services here]
s3 =
  endpoint_url = https://section.example
dynamodb =
  endpoint_url = https://other.example
"""


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
@pytest.mark.parametrize(
    ("lines", "variables", "host", "source"),
    [
        ("endpoint_url = https://profile.example", {}, "profile.example", "profile 'lab'"),
        ("services = here", {}, "section.example", "profile 'lab'"),
        ("services = here\nendpoint_url = https://profile.example", {}, "section.example", "profile 'lab'"),
        ("services = here", {"AWS_ENDPOINT_URL": "https://all.example"}, "all.example", "AWS_ENDPOINT_URL"),
        (
            "services = here",
            {"AWS_ENDPOINT_URL": "https://all.example", "AWS_ENDPOINT_URL_S3": "https://s3.example"},
            "s3.example",
            "AWS_ENDPOINT_URL_S3",
        ),
    ],
)
async def test_endpoint_of_the_configuration(
    no_configuration: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    lines: str,
    variables: dict[str, str],
    host: str,
    source: str,
) -> None:
    """
    It is the one that botocore uses, with any name of a region, and ``describe`` says where it comes from.
    """
    (no_configuration / "config").write_text(_PROFILE.format(lines=lines))
    for name, value in {variable: "lab", **variables}.items():
        monkeypatch.setenv(name, value)
    async with open_storage("s3://bucket", **KEYS) as storage:
        url = await storage.presign(storage.root / "k")
        described = storage.describe()
    assert urlsplit(url).netloc == host
    assert "%2FRegionOne%2Fs3%2F" in url
    assert (described["endpoint source"], described["region"]) == (source, "RegionOne")
    theirs = Session()
    provider = ConfiguredEndpointProvider(theirs.full_config, theirs.get_scoped_config(), "s3")
    assert provider.provide() == f"https://{host}"

    async with open_storage("s3://bucket", endpoint_url="https://given.example", **KEYS) as storage:
        assert urlsplit(await storage.presign(storage.root / "k")).netloc == "given.example"


async def test_configured_endpoints_can_be_ignored(no_configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By a variable or in the profile.
    """
    lines = "region = eu-west-1\nendpoint_url = https://profile.example\n"
    (no_configuration / "config").write_text(f"[default]\n{lines}ignore_configured_endpoint_urls = true\n")
    assert await ours("s3://bucket") == "https://bucket.s3.eu-west-1.amazonaws.com"
    (no_configuration / "config").write_text(f"[default]\n{lines}")
    assert await ours("s3://bucket") == "https://profile.example/bucket"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert await ours("s3://bucket") == "https://bucket.s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[default]\nservices = missing\n", r"no \[services missing\]"),
        ("[default\nregion = x\n", "not a valid AWS profile file"),
        ("[default]\nendpoint_url = not-a-url\n", "an endpoint is a URL"),
        ("[default]\nendpoint_url = http://far.example\n", "allow_http"),
        ("[default]\nuse_fips_endpoint = perhaps\n", "use_fips_endpoint is true or false"),
        ("[default]\ns3 =\n  addressing_style = round\n", "addressing_style of profile 'default'"),
    ],
)
async def test_invalid_configuration(no_configuration: Path, text: str, words: str) -> None:
    """
    It is an error before anything is sent, and never a request to AWS that was meant for another server.
    """
    (no_configuration / "config").write_text(text)
    async with open_storage("s3://bucket", **KEYS, attempts=1) as storage:
        with pytest.raises(ConfigurationError, match=words):
            await storage.read(storage.root / "k")


@pytest.mark.parametrize(
    ("where", "setting", "host"),
    [
        ("variable", "use_fips_endpoint", "bucket.s3-fips.us-east-1.amazonaws.com"),
        ("variable", "use_dualstack_endpoint", "bucket.s3.dualstack.us-east-1.amazonaws.com"),
        ("profile", "use_fips_endpoint", "bucket.s3-fips.us-east-1.amazonaws.com"),
        ("profile", "use_dualstack_endpoint", "bucket.s3.dualstack.us-east-1.amazonaws.com"),
        ("section", "use_dualstack_endpoint", "bucket.s3.dualstack.us-east-1.amazonaws.com"),
        ("section", "use_accelerate_endpoint", "bucket.s3-accelerate.amazonaws.com"),
    ],
)
async def test_demands_of_the_configuration(
    no_configuration: Path, monkeypatch: pytest.MonkeyPatch, where: str, setting: str, host: str
) -> None:
    """
    They hold unless the storage's own setting says otherwise; one that an endpoint cannot meet is an error.
    """
    if where == "variable":
        monkeypatch.setenv(f"AWS_{setting.upper()}", "true")
    else:
        inside = f"s3 =\n  {setting} = true\n" if where == "section" else f"{setting} = true\n"
        (no_configuration / "config").write_text(f"[default]\n{inside}")
    assert await ours("s3://bucket", region="us-east-1") == f"https://{host}"
    plain = "https://bucket.s3.us-east-1.amazonaws.com"
    assert await ours("s3://bucket", region="us-east-1", **{setting: False}) == plain
    assert await ours("s3://bucket", region="us-east-1", endpoint_url="https://lab.example") == ""


@pytest.mark.parametrize(
    "uri",
    [
        "s3://arn:aws:s3-object-lambda:us-east-1:123456789012:accesspoint/name/key",
        "s3://arn:aws:s3-outposts:us-east-1:123456789012:outpost/op-01/accesspoint/name/key",
        "s3://arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap/key",
        "s3://mfzwi23gnjvgw.mrap/key",
        "s3://name-abcd--op-s3/key",
    ],
)
async def test_access_points_that_are_not_supported(uri: str) -> None:
    """
    They are refused in words when the storage is opened, and for objects elsewhere before anything is sent.
    """
    with pytest.raises(NotSupportedError, match="is not supported: name the bucket"):
        open_storage(uri, **KEYS)
    async with open_storage("s3://bucket", **KEYS) as storage:
        with pytest.raises(NotSupportedError):
            await storage.read(uri)


@pytest.mark.parametrize(
    ("uri", "settings"),
    [
        ("s3://arn:aws:s3:us-west-2:12345:accesspoint/name/key", {}),
        ("s3://arn:other:s3:us-west-2:123456789012:accesspoint/name/key", {}),
        ("s3://arn:aws:s3:us-west-2:123456789012:accesspoint/name/key", {"region": "cn-north-1"}),
        ("s3://arn:aws:s3:us-west-2:123456789012:accesspoint/name/key", {"addressing_style": "path"}),
        ("s3://bucket--x-s3/key", {}),
    ],
)
async def test_invalid_names(uri: str, settings: dict[str, Any]) -> None:
    """
    A name that cannot be one is refused in words before anything is sent.
    """
    with pytest.raises(ConfigurationError):
        async with open_storage(uri, **KEYS, **settings) as storage:
            await storage.presign(storage.root)


async def test_region_of_an_access_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The ARN's region is used, and signed for, unless the configuration forbids another one than the client's.
    """
    uri = "s3://arn:aws:s3:us-west-2:123456789012:accesspoint/name/key"
    async with open_storage(uri, region="eu-west-1", **KEYS) as storage:
        url = await storage.presign(storage.root)
    parts = urlsplit(url)
    assert (parts.netloc, parts.path) == ("name-123456789012.s3-accesspoint.us-west-2.amazonaws.com", "/key")
    assert "%2Fus-west-2%2Fs3%2F" in parts.query
    monkeypatch.setenv("AWS_S3_USE_ARN_REGION", "false")
    async with open_storage(uri, region="eu-west-1", **KEYS) as storage:
        with pytest.raises(ConfigurationError, match="use_arn_region is false"):
            await storage.presign(storage.root)


def test_uris_of_access_points() -> None:
    """
    Both forms of an ARN are the same bucket, and its text is parsed back.
    """
    slash = parse_uri("s3://arn:aws:s3:us-west-2:123456789012:accesspoint/name/a/b c")
    colon = parse_uri("s3://arn:aws:s3:us-west-2:123456789012:accesspoint:name/a/b c")
    assert slash == colon == parse_uri(str(slash))
    assert slash.key == "a/b c"
    assert parse_uri("s3://arn:aws:s3:us-west-2:123456789012:accesspoint/name").key == ""
    with pytest.raises(StorageError, match="not the ARN of an access point"):
        parse_uri("s3://arn:aws:s3:::bucket/key")


@pytest.mark.parametrize("name", ["RegionOne", "GRA", "us_east", "default", "1", "eu.lab"])
async def test_free_names_of_regions(name: str) -> None:
    """
    With a custom endpoint a region is whatever the service calls it, also where only a refusal says so.
    """
    moved = f"<Error><Code>AuthorizationHeaderMalformed</Code><Region>{name}</Region></Error>"
    async with (
        scripted(saying(reply(400, moved.encode())), saying(reply(200, b"x", ETag='"e"'))) as server,
        open_storage("s3://bucket", endpoint_url=server.url, region="us-east-1", **KEYS) as storage,
    ):
        assert await storage.read(storage.root / "k") == b"x"
    async with open_storage("s3://bucket", endpoint_url="https://lab.example", region=name, **KEYS) as storage:
        assert f"%2F{name}%2Fs3%2F" in await storage.presign(storage.root / "k")
    if name != name.lower() or not name.isalnum():
        async with open_storage("s3://bucket", region=name, **KEYS) as storage:
            with pytest.raises(ConfigurationError, match="other services need their endpoint_url"):
                await storage.presign(storage.root / "k")

"""
The hosts of the services that issue keys: those of botocore's own rules for the same region and demands.
"""

from __future__ import annotations

import gzip
import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError
from botocore.session import Session

from asyncstore import AuthConfig
from asyncstore.auth.aws import partitions
from asyncstore.auth.aws.configuration import Configuration
from asyncstore.auth.aws.credentials import aws_credentials
from asyncstore.auth.aws.endpoints import service_address, sign_in_address, sts_endpoint
from asyncstore.errors import ConfigurationError
from tests.servers.identity.aws import KEYS, ROLE, SOURCE_SETTINGS, Service, serving

REGIONS = (
    "us-east-1",
    "eu-central-2",
    "cn-north-1",
    "us-gov-west-1",
    "us-gov-east-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "eu-isoe-west-1",
    "us-isof-south-1",
    "eusc-de-east-1",
    "xx-new-1",
)


@cache
def rules(service: str) -> EndpointProvider:
    """The rules of botocore, without a client."""
    folder = max((Path(botocore.__file__).parent / "data" / service).iterdir())
    (file,) = folder.glob("endpoint-rule-set-1.json*")
    content = file.read_bytes()
    ruleset = json.loads(gzip.decompress(content) if file.suffix == ".gz" else content)
    return EndpointProvider(ruleset, Session().get_component("data_loader").load_data("partitions"))


def theirs(service: str, **parameters: Any) -> str:
    """Return the URL; empty for an error."""
    if service == "signin":
        parameters["IsControlPlane"] = False
    try:
        return str(rules(service).resolve_endpoint(**parameters).url)
    except EndpointProviderError:
        return ""


def ours(service: str, region: str) -> str:
    """Return the URL; empty for an error."""
    configuration = Configuration()
    try:
        if service == "sts":
            return sts_endpoint(region, configuration)[0]
        if service == "signin":
            return sign_in_address(region, configuration)
        return service_address(service, region, configuration)
    except ConfigurationError:
        return ""


_BOTOCORE = tuple(int(number) for number in botocore.__version__.split(".")[:2])


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("service", ["sts", "sso", "sso-oidc", "signin"])
def test_addresses_are_those_of_botocore(service: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    For FIPS and dual-stack endpoints too, and an error for an endpoint that does not meet what is demanded.
    """
    if service == "signin" and partitions.partition_of(region).name != "aws" and _BOTOCORE < (1, 43):
        pytest.skip("needs botocore 1.43, whose rules know signing in outside of the partition aws")
    for fips, dual_stack in itertools.product((False, True), repeat=2):
        monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", str(fips).lower())
        monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", str(dual_stack).lower())
        asked: dict[str, Any] = {"Region": region, "UseFIPS": fips, "UseDualStack": dual_stack}
        if service == "sts":
            asked["UseGlobalEndpoint"] = False
        assert ours(service, region) == theirs(service, **asked)
        with monkeypatch.context() as patched:
            patched.setenv("AWS_ENDPOINT_URL", "https://lab.example")
            assert ours(service, region) == theirs(service, Endpoint="https://lab.example", **asked)


@pytest.mark.parametrize("service", ["s3", "sts", "sso", "sso-oidc", "signin"])
@pytest.mark.parametrize(
    ("lines", "variables"),
    [
        ("endpoint_url = https://profile.example", {}),
        ("services = here", {}),
        ("services = here\nendpoint_url = https://profile.example", {}),
        ("services = here", {"AWS_ENDPOINT_URL": "https://all.example"}),
        ("services = here", {"AWS_ENDPOINT_URL_SSO_OIDC": "https://oidc.example"}),
        ("services = here", {"AWS_ENDPOINT_URL_STS": "https://sts.example", "AWS_ENDPOINT_URL": "https://all.example"}),
        ("", {}),
    ],
)
def test_configured_endpoints_are_those_of_botocore(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch, service: str, lines: str, variables: dict[str, str]
) -> None:
    """
    The same variables, sections and profile decide, in the same order.
    """
    sections = (
        "[services here]\ns3 =\n  endpoint_url = https://s3.example\nsso_oidc =\n  endpoint_url = https://o.example\n"
    )
    (aws_files / "config").write_text(f"[profile lab]\n{lines}\n{sections}")
    for name, value in {"AWS_PROFILE": "lab", **variables}.items():
        monkeypatch.setenv(name, value)
    session = Session()
    expected = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), service).provide()
    found = Configuration.read(None).endpoint(service)
    assert (None if found is None else found.value) == expected


async def test_token_service_of_the_profile(aws_files: Path) -> None:
    """
    A role in the settings is assumed at the endpoint that the profile names for STS.
    """
    async with serving(Service()) as url:
        section = f"[services here]\nsts =\n  endpoint_url = {url}\n"
        (aws_files / "config").write_text(f"[default]\nservices = here\n{section}")
        async with aws_credentials(AuthConfig(), {"role_arn": ROLE, **SOURCE_SETTINGS}) as credentials:
            assert (await credentials.get()).value == KEYS


def test_partitions_of_an_installed_sdk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A partition that is newer than our table is read from botocore's data; other data leaves the table as it is.
    """
    (tmp_path / "data").mkdir()
    new = {"id": "aws-new", "regionRegex": r"^nn\-\w+\-\d+$", "outputs": {"dnsSuffix": "new.example"}}
    new["outputs"]["dualStackDnsSuffix"] = "dual.new.example"  # type: ignore[index]

    class Spec:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(partitions, "find_spec", lambda _: Spec)
    monkeypatch.setattr(partitions, "_known", partitions.partitions())
    for content, suffix in ((json.dumps({"partitions": [new]}), "new.example"), ("{}", "amazonaws.com")):
        (tmp_path / "data/partitions.json").write_text(content)
        partitions._of_botocore.cache_clear()
        partitions.load_partitions()
        assert partitions.partition_of("nn-west-1").suffix == suffix
    partitions._of_botocore.cache_clear()

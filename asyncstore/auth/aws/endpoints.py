"""
The regions and endpoints of AWS services, and the hosts that belong to AWS.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from yarl import URL

from asyncstore.auth.aws.configuration import Configuration, Found
from asyncstore.auth.aws.partitions import partition_of, partition_of_host, partitions
from asyncstore.auth.tokens import Scope
from asyncstore.errors import ConfigurationError

#: https://docs.aws.amazon.com/general/latest/gr/rande.html
_REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+")

# Their names in hosts.
_NAMES: Final = {"sts": "sts", "sso": "portal.sso", "sso-oidc": "oidc"}

# The ends of the hosts on which people sign in, of the partitions where they are not those of the services.
_SIGN_IN: Final = {
    "aws": "aws.amazon.com",
    "aws-cn": "amazonaws.cn",
    "aws-us-gov": "amazonaws-us-gov.com",
    "aws-iso": "c2shome.ic.gov",
    "aws-iso-b": "sc2shome.sgov.gov",
    "aws-iso-e": "csphome.adc-e.uk",
    "aws-iso-f": "csphome.hci.ic.gov",
    "aws-eusc": "amazonaws-eusc.eu",
}

# Legacy names of S3 that include the region.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html#s3-legacy-endpoints
_OLD_S3: Final = re.compile(rf"s3-(?P<region>{_REGION.pattern})")

# Hosts of customers: machines and load balancers.
_CUSTOMERS: Final = re.compile(r"compute(?:-\d+)?|elb")

# https://docs.aws.amazon.com/general/latest/gr/s3.html
_SIGNED_AS: Final = {"s3-accesspoint": "s3", "s3-control": "s3"}

# The region that requests to global services are signed for.
_HOME: Final = "us-east-1"


def address_of(text: str, what: str) -> SplitResult:
    """
    Return the parts of a URL.

    Args:
        what: Whose URL it is, for messages.

    Raises:
        ConfigurationError: It is not a URL.
    """
    try:
        parts = urlsplit(text)
        # The property raises if the port is not valid.
        _ = parts.port
    except ValueError:
        raise ConfigurationError(f"{what} is not a valid URL") from None
    return parts


def origin_of(text: str, what: str) -> URL:
    """
    Return scheme, host and port of a URL.

    Args:
        what: Whose URL it is, for messages.

    Raises:
        ConfigurationError: It is not a URL, or has no scheme.
    """
    try:
        return URL(text).origin()
    except ValueError:
        raise ConfigurationError(f"{what} is not a valid URL") from None


def sts_endpoint(region: str | None, configuration: Configuration, endpoint: str | None = None) -> tuple[str, Scope]:
    """
    Return the URL of the token service, and the scope of requests to it.

    https://docs.aws.amazon.com/general/latest/gr/sts.html

    Args:
        endpoint: Replaces that of the configuration and of the region.

    Raises:
        ConfigurationError: AWS does not have this region, and no endpoint is configured; or
            the endpoint is not of the kind that the configuration demands.
    """
    scope = Scope(region or _HOME, "sts")
    if configured := _configured("sts", configuration, endpoint):
        return configured, scope
    if region is None and not any(demanded(configuration)):
        return "https://sts.amazonaws.com", scope
    if not is_region(scope.region):
        raise ConfigurationError(f"{region!r} is not an AWS region, so it has no token service: set sts_endpoint")
    return _regional("sts", scope.region, configuration), scope


def service_address(service: str, region: str, configuration: Configuration) -> str:
    """
    Return the URL of a regional service, without a slash at its end.

    Args:
        service: Its name in environment variables.

    Raises:
        ConfigurationError: AWS does not have this region; or the configured endpoint is not
            of the kind that the configuration demands.
    """
    if named := _configured(service, configuration, None):
        return named.rstrip("/")
    if not is_region(region):
        raise ConfigurationError(f"{region!r} is not an AWS region")
    return _regional(service, region, configuration)


def sign_in_address(region: str, configuration: Configuration) -> str:
    """
    Return the URL of the service that refreshes the sessions of ``aws login``; raises as :func:`service_address`.
    """
    if named := _configured("signin", configuration, None):
        return named.rstrip("/")
    if not is_region(region):
        raise ConfigurationError(f"{region!r} is not an AWS region")
    partition = partition_of(region)
    fips, dual_stack = demanded(configuration)
    end = _SIGN_IN.get(partition.name, partition.suffix)
    if fips and not dual_stack and partition.name == "aws-us-gov":
        return f"https://{'' if region == 'us-gov-west-1' else f'{region}.'}signin-fips.{end}"
    if fips or dual_stack:
        return _regional("signin", region, configuration)
    return f"https://{region}.signin.{end}"


def is_region(name: str) -> bool:
    """
    Return whether *name* looks like a region of AWS.
    """
    return _REGION.fullmatch(name) is not None


def region_in(host: str) -> str | None:
    """
    Return the region that the name of a host of AWS has as one of its labels.
    """
    if partition_of_host(host) is None:
        return None
    return next((label for label in reversed(host.split(".")) if is_region(label)), None)


def demanded(configuration: Configuration) -> tuple[bool, bool]:
    """
    Return whether FIPS and dual-stack endpoints are demanded.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html
    """
    return configuration.flag("use_fips_endpoint"), configuration.flag("use_dualstack_endpoint")


def check_kind(endpoint: str, *, source: str, fips: bool, dual_stack: bool) -> None:
    """
    Check that a given endpoint is of the kind that is demanded.

    Args:
        source: Where the endpoint comes from, for messages.

    Raises:
        ConfigurationError: It is not. Its requests would leave what the demand is there to guarantee.
    """
    host = address_of(endpoint, f"the endpoint of {source}").hostname or ""
    for wanted, present, setting in (
        (fips, "fips" in host, "use_fips_endpoint"),
        (dual_stack, "dualstack" in host or host.endswith(_dual_stacks()), "use_dualstack_endpoint"),
    ):
        if wanted and not present:
            raise ConfigurationError(
                f"{setting} cannot be combined with the endpoint of {source}, which is not of that kind: "
                "leave out one or the other"
            )


def _dual_stacks() -> tuple[str, ...]:
    return tuple(f".{partition.dual_stack}" for partition in partitions())


def _configured(service: str, configuration: Configuration, endpoint: str | None) -> str | None:
    found = Found(endpoint, "the settings") if endpoint else configuration.endpoint(service)
    if found is None:
        return None
    fips, dual_stack = demanded(configuration)
    address_of(found.value, f"the endpoint of {service}")
    check_kind(found.value, source=found.source, fips=fips, dual_stack=dual_stack)
    return found.value


def _regional(service: str, region: str, configuration: Configuration) -> str:
    fips, dual_stack = demanded(configuration)
    partition = partition_of(region)
    # In GovCloud the ordinary endpoints of these services are FIPS endpoints.
    plain = partition.name == "aws-us-gov" and not dual_stack and service in _NAMES
    name = _NAMES.get(service, service) + ("-fips" if fips and not plain else "")
    return f"https://{name}.{region}.{partition.dual_stack if dual_stack else partition.suffix}"


def scope_of_host(url: URL, region: str | None = None) -> Scope | None:
    """
    Return the scope of requests to *url*; ``None`` unless it is https to a host of AWS.

    Args:
        region: Of the bucket, for transfer acceleration, whose hosts do not name a region.

    >>> scope_of_host(URL("https://bucket.s3.eu-central-1.amazonaws.com/key"))
    Scope(region='eu-central-1', service='s3')
    """
    host = url.raw_host or ""
    partition = partition_of_host(host)
    if partition is None or url.scheme != "https" or url.port != 443:
        return None
    # From the right: region, service, and before these any bucket name.
    labels = host.removesuffix(f".{partition.suffix}").removesuffix(f".{partition.dual_stack}").split(".")
    if old := _OLD_S3.fullmatch(labels[-1]):
        return Scope(old["region"])
    found = labels.pop() if _REGION.fullmatch(labels[-1]) else None
    if labels and labels[-1] == "dualstack":
        labels.pop()
    if not labels or _CUSTOMERS.fullmatch(labels[-1]):
        return None
    service = labels[-1].removesuffix("-fips")
    if service == "s3-accelerate":
        return Scope(found or region or _HOME)
    return Scope(found or _HOME, _SIGNED_AS.get(service, service))

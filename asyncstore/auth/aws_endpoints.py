"""
Where the services of AWS are, and which hosts are theirs.
"""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from yarl import URL

from asyncstore.auth.sigv4 import Scope
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError

#: https://docs.aws.amazon.com/general/latest/gr/rande.html
_REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+")
_AWS: Final = re.compile(r"(?P<name>.+)\.amazonaws\.com(?:\.cn)?")

# How regions were once part of the name of S3.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html#s3-legacy-endpoints
_OLD_S3: Final = re.compile(rf"s3-(?P<region>{_REGION.pattern})")

# Machines and load balancers of AWS's customers.
_CUSTOMERS: Final = re.compile(r"compute(?:-\d+)?|elb")

# https://docs.aws.amazon.com/general/latest/gr/s3.html
_SIGNED_AS: Final = {"s3-accesspoint": "s3", "s3-control": "s3"}

# Services with one address for the world are signed for this region.
_HOME: Final = "us-east-1"


def configured_endpoint(service: str) -> str | None:
    """
    Return ``AWS_ENDPOINT_URL_<SERVICE>``, else ``AWS_ENDPOINT_URL``.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    if flag(os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "")):
        return None
    name = service.upper().replace("-", "_")
    return os.environ.get(f"AWS_ENDPOINT_URL_{name}") or os.environ.get("AWS_ENDPOINT_URL") or None


def address_of(text: str, what: str) -> SplitResult:
    """
    Return the parts of an address.

    Args:
        what: Whose it is, for messages.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        parts = urlsplit(text)
        # Read to be checked: it is a property that can fail.
        _ = parts.port
    except ValueError:
        raise ConfigurationError(f"{what} is no address") from None
    return parts


def origin_of(text: str, what: str) -> URL:
    """
    Return scheme, host and port of an address.

    Args:
        what: Whose it is, for messages.

    Raises:
        ConfigurationError: It is none, or has no scheme.
    """
    try:
        return URL(text).origin()
    except ValueError:
        raise ConfigurationError(f"{what} is no address") from None


def sts_endpoint(region: str | None, endpoint: str | None = None) -> tuple[str, Scope]:
    """
    Return the address of the token service, and what requests to it are signed for.

    Args:
        endpoint: Instead of what the environment says, and of the region's own.


    Raises:
        ConfigurationError: There is no such region, and nothing else says where it is.

    https://docs.aws.amazon.com/general/latest/gr/sts.html
    """
    configured = endpoint or configured_endpoint("sts")
    if region is not None and not _REGION.fullmatch(region):
        if configured is None:
            raise ConfigurationError(f"{region!r} is no region of AWS, so it has no token service: set sts_endpoint")
        return configured, Scope(region, "sts")
    if region is None:
        return configured or "https://sts.amazonaws.com", Scope(_HOME, "sts")
    suffix = ".cn" if region.startswith("cn-") else ""
    return configured or f"https://sts.{region}.amazonaws.com{suffix}", Scope(region, "sts")


def service_address(service: str, name: str, region: str, of_profile: str | None) -> str:
    """
    Return the address of a service with one in each region, without a slash at its end.

    Args:
        service: As variables call it.
        name: As its hosts do.
        of_profile: What a profile says, if no variable does.

    Raises:
        ConfigurationError: There is no such region.
    """
    if named := configured_endpoint(service) or of_profile:
        address_of(named, f"the endpoint of {service}")
        return named.rstrip("/")
    if not _REGION.fullmatch(region):
        raise ConfigurationError(f"{region!r} is no region of AWS")
    suffix = ".cn" if region.startswith("cn-") else ""
    return f"https://{name}.{region}.amazonaws.com{suffix}"


def scope_of_host(url: URL, region: str | None = None) -> Scope | None:
    """
    Return the scope of requests to *url* if it is AWS's own, over TLS; ``None`` if it is not.

    Args:
        region: Of the bucket, for hosts of transfer acceleration, which name none.

    >>> scope_of_host(URL("https://bucket.s3.eu-central-1.amazonaws.com/key"))
    Scope(region='eu-central-1', service='s3')
    """
    match = _AWS.fullmatch(url.raw_host or "")
    if match is None or url.scheme != "https" or url.port != 443:
        return None
    # From the right: region, service, and before these a bucket of any name.
    labels = match["name"].split(".")
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

"""
Where a bucket is: endpoint, addressing style and region, resolved once and cached.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from asyncstore.auth.aws.configuration import Configuration, Found
from asyncstore.auth.aws.credentials import AWSCredentials
from asyncstore.auth.aws.endpoints import check_kind, is_region, region_in
from asyncstore.auth.aws.partitions import partition_named, partition_of, partition_of_host
from asyncstore.auth.credentials import Scope
from asyncstore.drivers.s3.bucket_names import AccessPoint, access_point, zone_of
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import Origin, require_tls
from asyncstore.uri import ObjectURI

DEFAULT_REGION: Final = "us-east-1"

# The endpoints of S3 itself, old forms included.
# https://docs.aws.amazon.com/general/latest/gr/s3.html
_STANDARD: Final = re.compile(
    r"s3(?P<accelerate>-accelerate)?(?P<fips>-fips)?(?P<dual_stack>\.dualstack)?(?:[.-](?P<region>[a-z0-9-]+-\d+))?"
)
_AWS_BUCKET: Final = re.compile(r"[^/]+\.s3[.-]([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")

# A region becomes a label of AWS's host names. Other services have names of their own, which only signatures contain.
_AWS_REGION: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ANY_REGION: Final = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,62}[A-Za-z0-9])?", re.ASCII)

# A wildcard certificate covers one label, so a bucket name with dots stays in the path.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
_DNS_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """
    Where the requests for one bucket go.

    Attributes:
        origin: The server.
        path: The path before ``/key``: ``/bucket``, or empty if the bucket is in the
            host name.
        scope: The region and service that signatures name.
        in_session: Whether requests are signed with the keys of a session that the bucket
            creates, as a directory bucket's are.
    """

    origin: Origin
    path: str
    scope: Scope
    in_session: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """
    Which of S3's endpoints are used.

    Attributes:
        fips: Those whose cryptography is validated under FIPS 140.
        dual_stack: Those that IPv6 reaches too.
        accelerate: Transfer acceleration.
    """

    fips: bool = False
    dual_stack: bool = False
    accelerate: bool = False

    def host(self, region: str, *, service: str = "s3", zone: str = "") -> str:
        """
        Return the host of a service in a region.

        Raises:
            ConfigurationError: AWS has no such endpoint.
        """
        partition = partition_of(region)
        if self.fips and partition.name == "aws-cn":
            raise ConfigurationError(f"S3 has no FIPS endpoint in {region}: leave out use_fips_endpoint")
        dual_stack = ".dualstack" if self.dual_stack else ""
        if self.accelerate and not zone and service == "s3":
            if partition.name == "aws-cn":
                raise ConfigurationError(f"S3 has no transfer acceleration in {region}: leave it out")
            return f"s3-accelerate{dual_stack}.{partition.suffix}"
        fips = "-fips" if self.fips else ""
        return f"{service}{fips}{zone and f'-{zone}'}{dual_stack}.{region}.{partition.suffix}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    The endpoint that the settings and AWS's configuration choose.

    Attributes:
        kind: The kind of S3's own endpoint.
        given: The endpoint that was named; ``None`` for S3's own.
        region: The region that it names.
        at_aws: Whether it is one of AWS.
        custom: Whether it is used for every region, unlike S3's own ones, which have one for each.
        source: Where it was named.
    """

    kind: Kind
    given: Origin | None = None
    region: str | None = None
    at_aws: bool = True
    custom: bool = False
    source: str = ""

    @classmethod
    def choose(cls, given: Found | None, kind: Kind) -> Endpoint:
        """
        Return the endpoint for what was *given*, in which S3's own endpoints are recognized.

        Args:
            kind: What is demanded.

        Raises:
            ConfigurationError: *given* is not an endpoint, or is not what is demanded.
        """
        if kind.fips and kind.accelerate:
            raise ConfigurationError("transfer acceleration has no FIPS endpoints: leave out one or the other")
        if given is None:
            return cls(kind)
        origin = Origin.parse(given.value)
        partition = partition_of_host(origin.host)
        name = origin.host.removesuffix(f".{partition.suffix}") if partition else ""
        match = _STANDARD.fullmatch(name) if origin.base.startswith("https:") and not origin.path else None
        if match is not None and (match["region"] is None or is_region(match["region"])):
            own = {part: bool(match[part]) for part in ("fips", "dual_stack", "accelerate")}
            found = Kind(**{part: value or getattr(kind, part) for part, value in own.items()})
            return cls(found, origin, match["region"], source=given.source)
        check_kind(given.value, source=given.source, fips=kind.fips, dual_stack=kind.dual_stack)
        if kind.accelerate:
            raise ConfigurationError(
                f"use_accelerate_endpoint cannot be combined with the endpoint of {given.source}: leave out one"
            )
        at_aws = partition is not None
        return cls(kind, origin, region_in(origin.host), at_aws=at_aws, custom=True, source=given.source)

    def service(self, region: str) -> str:
        """
        Return the address of the service itself in *region*.
        """
        if self.given is not None and (self.custom or (self.region == region and not self._changed)):
            return self.given.base
        return f"https://{self.kind.host(region)}"

    @property
    def _changed(self) -> bool:
        # A demand was added to what the given host says.
        assert self.given is not None
        host = self.given.host
        return (self.kind.fips and "-fips" not in host) or (self.kind.dual_stack and ".dualstack" not in host)


class Addresses:
    """
    Resolves the place of each bucket, and corrects it when the provider names another region.

    Args:
        endpoint: Takes precedence over AWS's configuration.
        region: Takes precedence over all others.
        fips, dual_stack, accelerate: What the settings demand; ``None`` leaves that to AWS's configuration.

    Attributes:
        on_resolved: Called with AWS's configuration when it has been read.
    """

    def __init__(
        self,
        *,
        endpoint: str | None,
        region: str | None,
        style: str,
        credentials: AWSCredentials,
        allow_http: bool,
        fips: bool | None = None,
        dual_stack: bool | None = None,
        accelerate: bool | None = None,
    ) -> None:
        self._given = Found(endpoint, "the settings") if endpoint is not None else None
        self._demands = {"fips": fips, "dual_stack": dual_stack, "accelerate": accelerate}
        self._region = region
        self._style = style
        self._credentials = credentials
        self._allow_http = allow_http
        self._places: dict[tuple[str, str | None], Place] = {}
        self._endpoint: Endpoint | None = None
        self.on_resolved: Callable[[Configuration], None] | None = None
        self._arn_regions = True
        self._sessions = not credentials.anonymous
        if endpoint is not None:
            self._check(Origin.parse(endpoint))

    def known(self, uri: ObjectURI) -> Place | None:
        """
        Return the cached place of a bucket.
        """
        return self._places.get((uri.bucket, uri.region))

    async def find(self, uri: ObjectURI) -> Place:
        """
        Return the place of a bucket; may look up the region of the credentials.

        Raises:
            ConfigurationError: AWS's configuration is not valid, or does not fit the bucket or the settings.
        """
        endpoint = await self.resolve()
        point = access_point(uri.bucket)
        region = self._region or uri.region or endpoint.region
        if point is not None:
            region = self._region_of(point, region)
        region = region or await self._credentials.region()
        # Another task, or a reply, may have resolved it in the meantime.
        return self.known(uri) or self._put(uri, region or DEFAULT_REGION)

    async def resolve(self) -> Endpoint:
        """
        Return the endpoint, for which AWS's configuration is read the first time.
        """
        if self._endpoint is None:
            configuration = await self._credentials.configuration()
            self._configure(configuration)
            if self.on_resolved is not None:
                self.on_resolved(configuration)
        assert self._endpoint is not None
        return self._endpoint

    def moved(self, uri: ObjectURI, region: str | None, endpoint: str | None) -> bool:
        """
        Update the bucket's region from a refusal; return whether that changed anything.

        Args:
            region: From a header or the error.
            endpoint: A host name from the error. Only its region is used, so a
                reply cannot send credentials anywhere but to AWS.
        """
        if region is None and endpoint is not None and (match := _AWS_BUCKET.fullmatch(endpoint)):
            region = match.group(1)
        old = self.known(uri)
        if uri.bucket.startswith("arn:"):
            # An ARN names its region.
            return False
        if region is None or not self._names_region(region) or (old and old.scope.region == region):
            return False
        self._put(uri, region)
        return True

    @property
    def resolved(self) -> bool:
        """Whether AWS's configuration has been read."""
        return self._endpoint is not None

    @property
    def surely_at_aws(self) -> bool:
        """Whether the endpoint is one of AWS, whatever a profile says that has not been read yet."""
        return self.at_aws and (self._endpoint is not None or self._given is not None)

    @property
    def at_aws(self) -> bool:
        """Whether the endpoint is one of AWS, and not a compatible service, as far as it is known yet."""
        if self._endpoint is not None:
            return self._endpoint.at_aws
        found = self._given or self._credentials.configured_endpoint("s3")
        return found is None or partition_of_host(Origin.parse(found.value).url.host or "") is not None

    @property
    def configured(self) -> Found:
        """The configured endpoint, before the region is resolved, and where it comes from."""
        found = self._given or self._credentials.configured_endpoint("s3")
        return found or Found("the default of the region", "")

    def _configure(self, configuration: Configuration) -> None:
        given = self._given or configuration.endpoint("s3")
        defaults = {
            "fips": configuration.flag("use_fips_endpoint"),
            "dual_stack": configuration.flag("use_dualstack_endpoint")
            or configuration.flag("s3.use_dualstack_endpoint"),
            "accelerate": configuration.flag("s3.use_accelerate_endpoint"),
        }
        demands = {name: defaults[name] if value is None else value for name, value in self._demands.items()}
        endpoint = Endpoint.choose(given, Kind(**demands))
        if endpoint.given is not None:
            self._check(endpoint.given)
        style = configuration.find("s3.addressing_style")
        if self._style == "auto" and style is not None:
            if style.value not in ("auto", "path", "virtual"):
                raise ConfigurationError(f"addressing_style of {style.source} is auto, path or virtual")
            self._style = style.value
        arn_regions = configuration.find("s3.use_arn_region")
        self._arn_regions = arn_regions is None or configuration.flag("s3.use_arn_region")
        if configuration.flag("s3_disable_express_session_auth"):
            self._sessions = False
        self._endpoint = endpoint

    def _put(self, uri: ObjectURI, region: str) -> Place:
        if not self._names_region(region):
            raise ConfigurationError(
                f"{region!r} is not a valid region: those of AWS look like eu-central-1, "
                "and other services need their endpoint_url"
            )
        place = self._place(uri.bucket, region)
        self._check(place.origin)
        self._places[uri.bucket, uri.region] = place
        return place

    def _place(self, bucket: str, region: str) -> Place:
        assert self._endpoint is not None
        if (point := access_point(bucket)) is not None:
            return self._place_of_point(point, region)
        if (zone := zone_of(bucket)) is not None:
            return replace(self._place_in_zone(bucket, zone, region), in_session=self._sessions)
        if region == "aws-global":
            region = DEFAULT_REGION
        service, scope = Origin.parse(self._endpoint.service(region)), Scope(region)
        if self._virtual(service, bucket):
            return _virtual_place(service, bucket, scope)
        if self._endpoint.kind.accelerate:
            raise ConfigurationError(
                f"transfer acceleration needs a bucket name that fits into a host name, without dots, not {bucket!r}"
            )
        return Place(service, f"{service.path}/{bucket}", scope)

    def _place_of_point(self, point: AccessPoint, region: str) -> Place:
        endpoint = self._endpoint
        assert endpoint is not None
        if endpoint.kind.accelerate:
            raise ConfigurationError("access points have no transfer acceleration: leave it out")
        if self._style == "path":
            raise ConfigurationError("an access point is in the host name: leave out addressing_style")
        host = endpoint.kind.host(region, service="s3-accesspoint")
        service = endpoint.given.base if endpoint.custom and endpoint.given else f"https://{host}"
        return _virtual_place(Origin.parse(service), point.label, Scope(region))

    def _place_in_zone(self, bucket: str, zone: str, region: str) -> Place:
        endpoint = self._endpoint
        assert endpoint is not None
        if endpoint.kind.accelerate:
            raise ConfigurationError("directory buckets have no transfer acceleration: leave it out")
        scope = Scope(region, "s3express")
        if endpoint.custom and endpoint.given is not None:
            given = endpoint.given
            if self._style == "path" or given.loopback or _is_address(given):
                return Place(given, f"{given.path}/{bucket}", scope)
            return _virtual_place(given, bucket, scope)
        return _virtual_place(
            Origin.parse(f"https://{endpoint.kind.host(region, service='s3express', zone=zone)}"), bucket, scope
        )

    def _region_of(self, point: AccessPoint, region: str | None) -> str:
        if region is not None and region != point.region and not self._arn_regions:
            raise ConfigurationError(
                f"the access point is in {point.region}, not in {region}, and use_arn_region is false"
            )
        if region is not None and is_region(region) and partition_of(region) != partition_named(point.partition):
            raise ConfigurationError(
                f"the access point is in the partition {point.partition}, which {region} is not part of"
            )
        return point.region

    def _virtual(self, service: Origin, bucket: str) -> bool:
        if self._style != "auto":
            return self._style == "virtual"
        return partition_of_host(service.host) is not None and _DNS_LABEL.fullmatch(bucket) is not None

    def _names_region(self, region: str) -> bool:
        custom = self._endpoint is not None and self._endpoint.custom
        return (_ANY_REGION if custom else _AWS_REGION).fullmatch(region) is not None

    def check_key(self, origin: Origin) -> None:
        """
        Check that a customer's key may be sent to *origin* by a request without credentials.

        Raises:
            ConfigurationError: It would travel over plain HTTP.
        """
        require_tls(origin.base, allow_http=self._allow_http)

    def _check(self, origin: Origin) -> None:
        if not self._credentials.anonymous:
            require_tls(origin.base, allow_http=self._allow_http)


def _virtual_place(service: Origin, label: str, scope: Scope) -> Place:
    scheme, _, rest = service.base.partition("://")
    return Place(Origin.parse(f"{scheme}://{label}.{rest}"), service.path, scope)


def _is_address(origin: Origin) -> bool:
    return re.fullmatch(r"[\d.]+(?::\d+)?|\[.*", origin.host) is not None

"""
The S3 driver: AWS and the many servers that speak its protocol.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from asyncstore.auth.aws.credentials import SETTINGS, aws_credentials
from asyncstore.auth.aws.sigv4 import MAX_EXPIRES, SIGNATURE_HEADERS, encode_key, policy_fields, sign_policy
from asyncstore.config import HTTPOptions, StorageConfig
from asyncstore.driver import Capabilities
from asyncstore.driver.encryption import key_in
from asyncstore.driver.presigning import expiry_of_url, form_fields
from asyncstore.driver.settings import read_settings
from asyncstore.drivers.s3 import batch, listing, protection
from asyncstore.drivers.s3.addresses import Addresses
from asyncstore.drivers.s3.batch import Batches
from asyncstore.drivers.s3.bucket_names import access_point, zone_of
from asyncstore.drivers.s3.copying import Copies
from asyncstore.drivers.s3.encryption import key_headers, write_headers
from asyncstore.drivers.s3.headers import checksum_of
from asyncstore.drivers.s3.listing import Listings
from asyncstore.drivers.s3.multipart import MultipartUploads
from asyncstore.drivers.s3.presigning import PRESIGN_OPTIONS, demanded_headers, demanded_query
from asyncstore.drivers.s3.sessions import LIFETIME
from asyncstore.drivers.s3.settings import READERS, S3Settings
from asyncstore.drivers.s3.wire import Wire
from asyncstore.errors import ConfigurationError, NotSupportedError
from asyncstore.http.client import HTTPClient
from asyncstore.http.driver import check_presigning, sdk_connection, take_headers
from asyncstore.options import PLAIN_PRESIGN, GiB, MiB, PostOptions, PresignOptions
from asyncstore.types import ChecksumAlgorithm, PresignedPost, PresignedURL
from asyncstore.uri import ObjectURI, Provider

CAPABILITIES: Final = Capabilities(
    reference="https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html",
    # The largest number of parts of the largest size.
    max_object_size=10_000 * 5 * GiB,
    max_put_size=5 * GiB,
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
    max_key_bytes=1024,
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    max_metadata_bytes=2048,
    multipart=True,
    min_part_size=5 * MiB,
    max_part_size=5 * GiB,
    max_parts=10_000,
    copy=True,
    copy_keeps=frozenset({"metadata", "storage_class", "tags"}),
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    max_copy_size=5 * GiB,
    copy_part=True,
    delete_batch_size=batch.MAX_KEYS,
    list_page_size=listing.MAX_KEYS,
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    storage_classes=True,
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    implied_classes=frozenset({"STANDARD", "EXPRESS_ONEZONE", "FSX_OPENZFS", "OUTPOSTS", "SNOW"}),
    versions=True,
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
    tags=10,
    encryption_kinds=frozenset({"managed", "kms", "customer_key"}),
    object_lock=True,
    bypass_retention=True,
    acls=protection.ACLS,
    copy_from_key=True,
    checksums=frozenset(ChecksumAlgorithm),
    etag_is_md5=True,
    sign=True,
    presign_post=True,
    presign_options=PRESIGN_OPTIONS,
)

# Directory buckets have random ETags; what an Object Lambda answers is not what is stored.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/directory-buckets-overview.html
_OPAQUE_ETAGS: Final = ("--x-s3", "--xa-s3", "--ol-s3")

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-express-differences.html
DIRECTORY_CAPABILITIES: Final = replace(
    CAPABILITIES,
    reference="https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-express-differences.html",
    copy_keeps=frozenset({"metadata"}),
    sorted_listing=False,
    storage_classes=False,
    versions=False,
    tags=0,
    # A session says it for all objects: the settings can choose it.
    encryption_kinds=frozenset(),
    object_lock=False,
    bypass_retention=False,
    acls=frozenset(),
    copy_from_key=False,
    checksums=CAPABILITIES.checksums - {ChecksumAlgorithm.MD5},
    etag_is_md5=False,
    presign_post=False,
)

# Headers that S3 does not take from the query of a URL.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-kms-encryption.html
_ENCRYPTION: Final = "x-amz-server-side-encryption"


def open_driver(config: StorageConfig) -> S3Driver:
    """
    Return a driver for *config*; no file is read and no request sent.

    Raises:
        ConfigurationError: A setting is unknown or invalid, or credentials would travel over plain HTTP.
    """
    rest = dict(config.settings)
    region = config.region or config.uri.region
    credentials = aws_credentials(config.auth, rest, region=region, http=config.http)
    settings = read_settings(S3Settings, rest, provider="s3", readers=READERS, others=SETTINGS)
    access_point(config.uri.bucket)
    if zone_of(config.uri.bucket) is not None and key_in(settings.default_encryption) is not None:
        raise ConfigurationError("directory buckets do not take keys of the customer: leave out sse_customer_key")
    addresses = Addresses(
        endpoint=config.endpoint_url,
        region=config.region,
        style=settings.addressing_style,
        credentials=credentials,
        allow_http=config.http.allow_http,
        fips=settings.use_fips_endpoint,
        dual_stack=settings.use_dualstack_endpoint,
        accelerate=settings.use_accelerate_endpoint,
    )
    http, headers = take_headers(config.http, "x-amz-", reserved=SIGNATURE_HEADERS)
    wire = Wire(
        HTTPClient(http, config.session, request_id_header="x-amz-request-id"),
        credentials,
        addresses,
        {**headers, **settings.common_headers()},
        write_headers(settings.default_encryption),
    )
    return S3Driver(wire, settings, http, config.uri)


class S3Driver(Copies, MultipartUploads, Listings, Batches):
    """
    A storage on S3; :func:`open_driver` creates it.
    """

    provider = Provider.S3

    def __init__(self, wire: Wire, settings: S3Settings, http: HTTPOptions, root: ObjectURI) -> None:
        super().__init__(wire, settings)
        self.capabilities = CAPABILITIES
        if zone_of(root.bucket) is not None:
            self.capabilities = DIRECTORY_CAPABILITIES
        if settings.checksum == "none":
            self.capabilities = replace(self.capabilities, checksums=frozenset())
        if not settings.etag_is_md5 or root.bucket.endswith(_OPAQUE_ETAGS):
            self._compares_etags = False
            self._checksum_of = checksum_of
            self.capabilities = replace(self.capabilities, etag_is_md5=False)
        self._http = http
        self._root = root

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        """
        Return a presigned URL for GET, HEAD, PUT or DELETE, valid for up to seven days.

        Raises:
            ConfigurationError: *method* or *expires* is not supported.
        """
        check_presigning("S3", method, expires, longest=MAX_EXPIRES)
        self._check_url(method, options)
        wire = self._wire
        place = await wire.place(uri)
        if place.in_session and expires > LIFETIME:
            raise ConfigurationError(
                f"a presigned URL of a directory bucket is valid for at most {LIFETIME}, the lifetime of its session"
            )
        lease = await wire.keys_for(uri)
        url = str(place.origin.at(f"{place.path}/{encode_key(uri.key)}", ""))
        headers = demanded_headers(options)
        ends = expiry_of_url(wire.clock.now(), expires, lease.ends_at)
        signed = wire.credentials.presign(
            method,
            url,
            lease,
            place.scope,
            expires=expires,
            clock_offset=wire.clock.offset,
            headers=headers,
            query=sorted([*wire.common.items(), *demanded_query(options)]),
        )
        return PresignedURL(signed, ends, headers)

    async def sign_post(self, uri: ObjectURI, expires: timedelta, options: PostOptions) -> PresignedPost:
        """
        Return a presigned form, valid for up to seven days.

        Raises:
            ConfigurationError: *expires* is not supported.
            NotSupportedError: The credentials are anonymous, or the policy cannot say what the storage demands.
        """
        check_presigning("S3", "PUT", expires, longest=MAX_EXPIRES)
        self._check_url("PUT", PLAIN_PRESIGN)
        wire = self._wire
        if wire.common or access_point(uri.bucket) is not None:
            raise NotSupportedError(
                "a presigned form has neither an access point nor the headers of every request of this storage: "
                "use a storage of the bucket without them",
                op="sign_post",
                provider=self.provider,
            )
        place = await wire.place(uri)
        lease = await wire.keys_for(uri)
        if (keys := lease.value) is None:
            raise NotSupportedError("anonymous credentials cannot sign forms", op="sign_post", provider=self.provider)
        now = wire.clock.now()
        ends = expiry_of_url(now, expires, lease.ends_at)
        fields = form_fields(uri, options, policy_fields(keys, place.scope, now), ends)
        fields["x-amz-signature"] = sign_policy(fields["policy"], keys, place.scope, now)
        return PresignedPost(url=str(place.origin.at(place.path or "/", "")), fields=fields, expires_at=ends)

    def _check_url(self, method: str, options: PresignOptions) -> None:
        """
        Check that the query can say all that the request's headers would.

        Raises:
            NotSupportedError: S3 takes what the storage demands only from headers, which a URL does not have.
        """
        writes = method == "PUT" and options.upload_id is None
        demanded = write_headers(self._encryption) if writes else key_headers(self._encryption)
        if demanded or any(name.startswith(_ENCRYPTION) for name in self._wire.common):
            raise NotSupportedError(
                "a presigned URL cannot demand the encryption that this storage is set to, "
                f"since S3 takes it only from headers: presign {method} with a storage without it",
                op="sign",
                provider=self.provider,
            )

    @asynccontextmanager
    async def native(self) -> AsyncIterator[Any]:
        """
        Yield an aiobotocore client with the same endpoint, region, TLS settings and credentials.

        The SDK retries by its own rules.

        Raises:
            ConfigurationError: aiobotocore is not installed.
            NotSupportedError: The storage uses an ``ssl.SSLContext``, which the SDK does not accept.
        """
        try:
            from aiobotocore.config import AioConfig
            from botocore import UNSIGNED
        except ImportError:
            raise ConfigurationError("native() needs aiobotocore: pip install 'asyncstore[s3]'") from None
        verify, proxies = sdk_connection(self._http, self.provider)
        region = (await self._wire.place(self._root)).scope.region
        credentials = self._wire.credentials
        session = await credentials.for_botocore()
        endpoint = await self._wire.addresses.resolve()
        config = AioConfig(
            # The SDK's default for presigned URLs is a signature version that S3 retires.
            signature_version=UNSIGNED if credentials.anonymous else "s3v4",
            connect_timeout=self._http.connect_timeout,
            read_timeout=self._http.stall_timeout,
            proxies=proxies,
            s3={
                "addressing_style": self._settings.addressing_style,
                "use_accelerate_endpoint": endpoint.kind.accelerate,
                "us_east_1_regional_endpoint": "regional",
            },
            # What it would look up itself is resolved.
            use_fips_endpoint=endpoint.kind.fips and not endpoint.custom,
            use_dualstack_endpoint=endpoint.kind.dual_stack and not endpoint.custom,
            ignore_configured_endpoint_urls=True,
            # Loads the service description from files in a thread, not in the event loop.
            warm_up_loader_caches=True,
        )
        # The SDK knows the hosts of access points and the like only below S3's own endpoint.
        address = endpoint.given.base if endpoint.custom and endpoint.given else None
        async with session.create_client(
            "s3", endpoint_url=address, region_name=region, config=config, verify=verify
        ) as client:
            yield client

    def describe(self) -> dict[str, str]:
        addresses = self._wire.addresses
        place = addresses.known(self._root)
        style = self._settings.addressing_style
        if place is not None:
            style = "path" if place.path.endswith(f"/{self._root.bucket}") else "virtual"
        endpoint, source = addresses.configured
        return {
            "endpoint": place.origin.base if place else endpoint,
            **({"endpoint source": source} if source else {}),
            "addressing": style,
            "region": place.scope.region if place else "not resolved yet",
            "checksum": str(self.preferred_checksum or "none"),
            "conditions": "looked at first, since the endpoint may ignore them" if self.unproven else "by the endpoint",
            **super().describe(),
        }

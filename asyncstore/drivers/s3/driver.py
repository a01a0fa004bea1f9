"""
The S3 driver: AWS and the many servers that speak its protocol.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from asyncstore.auth.aws import AWSCredentials, aws_credentials
from asyncstore.auth.sigv4 import MAX_EXPIRES, encode_key
from asyncstore.body import Body, ReadBody
from asyncstore.config import HTTPOptions, StorageConfig
from asyncstore.driver import Capabilities, Driver
from asyncstore.drivers.s3 import batch, copying, listing, multipart, objects, tagging, versions
from asyncstore.drivers.s3.addresses import Addresses
from asyncstore.drivers.s3.native import native_client
from asyncstore.drivers.s3.settings import S3Settings
from asyncstore.drivers.s3.wire import Wire
from asyncstore.errors import ConfigurationError, StorageError
from asyncstore.http.client import HTTPClient
from asyncstore.http.failures import FAILURES, translated
from asyncstore.options import CopyOptions, DeleteOptions, GiB, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import (
    Checksum,
    ChecksumAlgorithm,
    ListPage,
    Metadata,
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
)
from asyncstore.uri import ObjectURI, Provider

_SIGNABLE: Final = ("GET", "HEAD", "PUT", "DELETE")

CAPABILITIES: Final = Capabilities(
    reference="https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html",
    # As many parts of the largest size as there can be.
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
    versions=True,
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
    tags=10,
    checksums=frozenset(ChecksumAlgorithm),
    sign=True,
)


def open_driver(config: StorageConfig) -> S3Driver:
    """
    Return a driver as *config* describes it; nothing is read or sent yet.

    Raises:
        ConfigurationError: A setting is unknown or does not fit; credentials
            would go over plain HTTP.
    """
    rest = dict(config.settings)
    region = config.region or config.uri.region
    credentials = aws_credentials(config.auth, rest, region=region, http=config.http)
    settings = S3Settings.take(rest)
    addresses = Addresses(
        endpoint=config.endpoint_url or credentials.service_endpoint("s3"),
        region=config.region,
        style=settings.addressing_style,
        credentials=credentials,
        allow_http=config.http.allow_http,
    )
    wire = Wire(HTTPClient(config.http, config.session), credentials, addresses, settings.common_headers())
    return S3Driver(wire, settings, config.http, config.uri)


class S3Driver(Driver):
    """
    One storage on S3. Made by :func:`open_driver`.
    """

    provider = Provider.S3

    def __init__(self, wire: Wire, settings: S3Settings, http: HTTPOptions, root: ObjectURI) -> None:
        self.capabilities = CAPABILITIES
        if settings.checksum is None:
            self.capabilities = replace(CAPABILITIES, checksums=frozenset())
        self.preferred_checksum = settings.checksum
        self._wire = wire
        self._settings = settings
        self._http = http
        self._root = root

    def open_read(self, uri: ObjectURI, options: ReadOptions) -> Coroutine[Any, Any, ReadBody]:
        # Not a coroutine of its own: one less for each of many small reads.
        return objects.open_read(self._wire, self._settings, uri, options)

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        return await objects.put(self._wire, self._settings, uri, body, options)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        await objects.delete(self._wire, uri, options)

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        return await objects.stat(self._wire, self._settings, uri, options)

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await listing.list_page(self._wire, prefix, options, token)

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await versions.list_page(self._wire, prefix, options, token)

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        return await tagging.get(self._wire, uri)

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        await tagging.replace(self._wire, uri, tags)

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        return await batch.delete_batch(self._wire, uris)

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        return await copying.copy(self._wire, self._settings, source, target, options)

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        return await multipart.initiate(self._wire, self._settings, uri, options)

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        return await multipart.upload_part(self._wire, self._settings, uri, upload_id, number, body, options)

    async def copy_part(
        self,
        source: ObjectURI,
        target: ObjectURI,
        upload_id: str,
        number: int,
        start: int,
        end: int,
        options: CopyOptions,
    ) -> Part:
        return await copying.copy_part(
            self._wire, self._settings, source, target, upload_id, number, start, end, options
        )

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        return await multipart.complete(self._wire, self._settings, uri, upload_id, parts, options, checksum)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        await multipart.abort(self._wire, uri, upload_id)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        return await multipart.list_parts(self._wire, self._settings, uri, upload_id, token)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        return await listing.list_multipart_uploads(self._wire, prefix, token)

    async def sign(self, method: str, uri: ObjectURI, expires: timedelta) -> str:
        """
        Return a URL for GET, HEAD, PUT or DELETE, good for up to seven days.

        Raises:
            ConfigurationError: Another method, or another time.
        """
        if method not in _SIGNABLE:
            raise ConfigurationError(f"a URL is signed for one of {_SIGNABLE}, not {method!r}")
        if not timedelta(seconds=1) <= expires <= MAX_EXPIRES:
            raise ConfigurationError(f"a signed URL lives from one second to seven days, not {expires}")
        wire = self._wire
        place = await wire.addresses.find(uri)
        lease = wire.credentials.current() or await wire.credentials.get()
        url = str(place.origin.at(f"{place.path}/{encode_key(uri.key)}", ""))
        return wire.credentials.presign(
            method, url, lease, place.scope, expires=expires, clock_offset=wire.clock_offset
        )

    @asynccontextmanager
    async def native(self) -> AsyncIterator[Any]:
        """
        Yield an aiobotocore client on the same endpoint, region, trust and credentials.
        """
        place = await self._wire.addresses.find(self._root)
        region = place.scope.region
        async with native_client(
            self._wire.credentials,
            self._http,
            endpoint=self._wire.addresses.endpoint(region),
            region=region,
            style=self._settings.addressing_style,
        ) as client:
            yield client

    @property
    def credentials(self) -> AWSCredentials:
        return self._wire.credentials

    def describe(self) -> dict[str, str]:
        addresses, credentials = self._wire.addresses, self._wire.credentials
        place = addresses.known(self._root)
        style = self._settings.addressing_style
        if place is not None:
            style = "path" if place.path.endswith(f"/{self._root.bucket}") else "virtual"
        return {
            "endpoint": place.origin.base if place else addresses.configured,
            "addressing": style,
            "region": place.scope.region if place else "not asked for yet",
            "credentials": f"{credentials.auth_type} ({credentials.source})",
            "checksum": str(self._settings.checksum or "none"),
            "clock offset": f"{self._wire.clock_offset:+.0f} s",
        }

    def classify(self, error: Exception) -> StorageError | None:
        return translated(error) if isinstance(error, FAILURES) else None

    async def aclose(self) -> None:
        await self._wire.http.aclose()
        await self._wire.credentials.aclose()

"""
The driver of Azure Blob Storage.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from asyncstore.auth.azure import AzureCredentials, azure_credentials
from asyncstore.body import Body, ReadBody
from asyncstore.config import HTTPOptions, StorageConfig
from asyncstore.driver import Capabilities, Driver
from asyncstore.drivers.azure import batch, blocks, copying, listing, objects, tagging
from asyncstore.drivers.azure.addresses import Addresses
from asyncstore.drivers.azure.block_ids import AbortedUploads
from asyncstore.drivers.azure.native import native_client
from asyncstore.drivers.azure.settings import MAX_TAGS, AzureSettings
from asyncstore.drivers.azure.signing import Signer
from asyncstore.drivers.azure.wire import Wire
from asyncstore.errors import StorageError
from asyncstore.http.client import HTTPClient
from asyncstore.http.failures import FAILURES, translated
from asyncstore.options import CopyOptions, DeleteOptions, ListOptions, MiB, ReadOptions, WriteOptions
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

CAPABILITIES: Final = Capabilities(
    # https://learn.microsoft.com/rest/api/storageservices/understanding-block-blobs--append-blobs--and-page-blobs
    reference="https://learn.microsoft.com/azure/storage/blobs/scalability-targets",
    max_object_size=50_000 * copying.MAX_BLOCK,
    # https://learn.microsoft.com/rest/api/storageservices/put-blob
    max_put_size=5000 * MiB,
    # Characters, not bytes, so that some longer keys are refused that the service would take:
    # https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
    max_key_bytes=1024,
    max_metadata_bytes=8192,
    multipart=True,
    min_part_size=1,
    max_part_size=copying.MAX_BLOCK,
    max_parts=50_000,
    # There are blocks, but no uploads: see asyncstore.drivers.azure.blocks.
    empty_uploads=False,
    independent_uploads=False,
    copy=True,
    max_copy_size=copying.MAX_SYNCHRONOUS,
    copy_part=True,
    delete_batch_size=batch.MAX_BLOBS,
    list_page_size=listing.MAX_RESULTS,
    # https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    storage_classes=True,
    versions=True,
    tags=MAX_TAGS,
    # The service's CRC64 is this one.
    checksums=frozenset({ChecksumAlgorithm.CRC64NVME, ChecksumAlgorithm.MD5}),
    sign=True,
)


def open_driver(config: StorageConfig) -> AzureDriver:
    """
    Return a driver as *config* describes it; nothing is read or sent yet.

    Raises:
        ConfigurationError: A setting is unknown or does not fit; no account or no
            credentials are named; credentials would go over plain HTTP.
    """
    rest = dict(config.settings)
    credentials = azure_credentials(config.auth, rest, http=config.http, account=config.uri.namespace)
    settings = AzureSettings.take(rest)
    addresses = Addresses(config, credentials, settings.endpoint_suffix)
    wire = Wire(HTTPClient(config.http, config.session), credentials, addresses, settings.api_version)
    return AzureDriver(wire, settings, config.http)


class AzureDriver(Driver):
    """
    One storage on Azure. Made by :func:`open_driver`.
    """

    provider = Provider.AZURE

    def __init__(self, wire: Wire, settings: AzureSettings, http: HTTPOptions) -> None:
        self.capabilities = CAPABILITIES
        if settings.async_copy:
            self.capabilities = replace(CAPABILITIES, max_copy_size=CAPABILITIES.max_object_size)
        self.preferred_checksum = settings.checksum
        self._wire = wire
        self._settings = settings
        self._http = http
        self._aborted = AbortedUploads()
        self._signer = Signer(wire)

    def open_read(self, uri: ObjectURI, options: ReadOptions) -> Coroutine[Any, Any, ReadBody]:
        # Not a coroutine of its own: one less for each of many small reads.
        return objects.open_read(self._wire, uri, options)

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        return await objects.put(self._wire, self._settings, uri, body, options)

    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        await objects.delete(self._wire, self._settings, uri, options)

    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        return await objects.stat(self._wire, uri, options)

    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await listing.list_page(self._wire, prefix, options, token)

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        return await listing.list_versions_page(self._wire, prefix, options, token)

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        return await tagging.get(self._wire, self._settings, uri)

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        await tagging.replace(self._wire, self._settings, uri, tags)

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        return await batch.delete_batch(self._wire, self._settings, uris)

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        return await copying.copy(self._wire, self._settings, self._aborted, source, target, options)

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        return blocks.initiate(self._wire, self._settings, uri, options)

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        return await blocks.upload_part(
            self._wire, self._settings, self._aborted, uri, upload_id, number, body, options
        )

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
            self._wire, self._settings, self._aborted, source, target, upload_id, number, start, end, options
        )

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        return await blocks.complete(
            self._wire, self._settings, self._aborted, uri, upload_id, parts, options, checksum
        )

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        await blocks.abort(self._wire, self._settings, self._aborted, uri, upload_id)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        return await blocks.list_parts(self._wire, self._settings, self._aborted, uri, upload_id)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        return await listing.list_multipart_uploads(self._wire, self._settings, prefix, token)

    async def sign(self, method: str, uri: ObjectURI, expires: timedelta) -> str:
        """
        Return a URL for GET, HEAD, PUT or DELETE; see :class:`Signer`.
        """
        return await self._signer.sign(method, uri, expires)

    @asynccontextmanager
    async def native(self) -> AsyncIterator[Any]:
        """
        Yield an azure-storage-blob client on the same endpoint, trust and credentials.
        """
        wire = self._wire
        async with native_client(wire.credentials, self._http, endpoint=wire.addresses.origin.base) as client:
            yield client

    @property
    def credentials(self) -> AzureCredentials:
        return self._wire.credentials

    def describe(self) -> dict[str, str]:
        wire, credentials = self._wire, self._wire.credentials
        return {
            "endpoint": wire.addresses.origin.base,
            "account": wire.addresses.account or "not named",
            "credentials": f"{credentials.auth_type} ({credentials.source})",
            "checksum": str(self._settings.checksum or "none"),
            "api version": wire.api_version,
            "clock offset": f"{wire.clock_offset:+.0f} s",
        }

    def classify(self, error: Exception) -> StorageError | None:
        return translated(error) if isinstance(error, FAILURES) else None

    async def aclose(self) -> None:
        await self._wire.http.aclose()
        await self._wire.credentials.aclose()

"""
The driver of Azure Blob Storage.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from asyncstore.auth.azure.account import blob_endpoint, suffix_of
from asyncstore.auth.azure.credentials import SETTINGS, azure_credentials
from asyncstore.config import HTTPOptions, StorageConfig
from asyncstore.driver import Capabilities
from asyncstore.driver.encryption import key_in, without_keys
from asyncstore.driver.settings import read_settings
from asyncstore.drivers.azure import batch, copying, listing
from asyncstore.drivers.azure.addresses import Addresses
from asyncstore.drivers.azure.batch import Batches
from asyncstore.drivers.azure.copying import Copies
from asyncstore.drivers.azure.listing import Listings
from asyncstore.drivers.azure.settings import MAX_TAGS, READERS, AzureSettings
from asyncstore.drivers.azure.signing import PRESIGN_OPTIONS, Signer
from asyncstore.drivers.azure.wire import SIGNATURE_HEADERS, Wire
from asyncstore.errors import ConfigurationError
from asyncstore.http.client import HTTPClient
from asyncstore.http.driver import sdk_connection, take_headers
from asyncstore.http.origin import is_safe, require_tls
from asyncstore.options import PLAIN_PRESIGN, MiB, PresignOptions
from asyncstore.types import ChecksumAlgorithm, PresignedURL
from asyncstore.uri import ObjectURI, Provider

CAPABILITIES: Final = Capabilities(
    # https://learn.microsoft.com/rest/api/storageservices/understanding-block-blobs--append-blobs--and-page-blobs
    reference="https://learn.microsoft.com/azure/storage/blobs/scalability-targets",
    max_object_size=50_000 * copying.MAX_BLOCK,
    # https://learn.microsoft.com/rest/api/storageservices/put-blob
    max_put_size=5000 * MiB,
    # The service counts characters; counting bytes refuses some long keys that it would accept:
    # https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
    max_key_bytes=1024,
    max_metadata_bytes=8192,
    multipart=True,
    min_part_size=1,
    max_part_size=copying.MAX_BLOCK,
    max_parts=50_000,
    # Azure has blocks, but no uploads: see asyncstore.drivers.azure.blocks.
    empty_uploads=False,
    independent_uploads=False,
    copy=True,
    copy_keeps=frozenset({"metadata", "storage_class", "tags"}),
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
    folders=True,
    versions=True,
    tags=MAX_TAGS,
    encryption_kinds=frozenset({"customer_key", "scope"}),
    # https://learn.microsoft.com/azure/storage/blobs/immutable-version-level-worm-policies
    object_lock=True,
    # The service's CRC64 is CRC64NVME.
    checksums=frozenset({ChecksumAlgorithm.CRC64NVME, ChecksumAlgorithm.MD5}),
    part_checksums=ChecksumAlgorithm.CRC64NVME,
    sign=True,
    presign_options=PRESIGN_OPTIONS,
)


def open_driver(config: StorageConfig) -> AzureDriver:
    """
    Return a driver for *config*; no file is read and no request sent.

    Raises:
        ConfigurationError: A setting is unknown or invalid, the account or the
            credentials are missing, or credentials would travel over plain HTTP.
    """
    rest = dict(config.settings)
    suffix = _suffix(config)
    credentials = azure_credentials(
        config.auth, rest, http=config.http, account=config.uri.namespace, endpoint_suffix=suffix
    )
    settings = read_settings(AzureSettings, rest, provider="azure", readers=READERS, others=SETTINGS)
    addresses = Addresses(config, credentials, suffix)
    if key_in(settings.default_encryption) is not None:
        require_tls(addresses.origin.base, allow_http=config.http.allow_http)
    http, headers = take_headers(config.http, "x-ms-", reserved=SIGNATURE_HEADERS)
    wire = Wire(
        HTTPClient(http, config.session, request_id_header="x-ms-request-id"),
        credentials,
        addresses,
        settings.api_version,
        headers,
    )
    return AzureDriver(wire, settings, http)


def _suffix(config: StorageConfig) -> str | None:
    """
    Return the DNS suffix of the cloud that the configuration names, if any.
    """
    ours, theirs = config.settings.get("endpoint_suffix"), config.uri.region
    if ours and theirs and ours != theirs:
        raise ConfigurationError(f"endpoint_suffix is {ours!r}, and the URI is in the cloud {theirs!r}")
    return ours or theirs or suffix_of(urlsplit(blob_endpoint(config.endpoint_url or "")).netloc.lower())


class AzureDriver(Copies, Listings, Batches):
    """
    One storage on Azure. Made by :func:`open_driver`.
    """

    provider = Provider.AZURE

    def __init__(self, wire: Wire, settings: AzureSettings, http: HTTPOptions) -> None:
        super().__init__(wire, settings)
        self.capabilities = CAPABILITIES
        if not is_safe(wire.addresses.origin.base, allow_http=http.allow_http):
            self.capabilities = without_keys(CAPABILITIES)
        if settings.async_copy:
            self.capabilities = replace(self.capabilities, max_copy_size=CAPABILITIES.max_object_size)
        if settings.tags:
            # Those of the settings replace those of the source, which the engine then adds.
            self.capabilities = replace(self.capabilities, copy_keeps=self.capabilities.copy_keeps - {"tags"})
        self.preferred_checksum = settings.checksum
        self._http = http
        self._signer = Signer(wire)

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        """
        Return a presigned URL for GET, HEAD, PUT or DELETE; see :class:`Signer`.
        """
        return await self._signer.sign(method, uri, expires, options)

    @asynccontextmanager
    async def native(self) -> AsyncIterator[Any]:
        """
        Yield an azure-storage-blob client with the same endpoint, TLS settings and credentials.

        The SDK makes its own retries.

        Raises:
            ConfigurationError: azure-storage-blob is not installed.
            NotSupportedError: The storage has an ``ssl_context``, which the SDK does not accept.
        """
        try:
            from azure.core.pipeline.transport import AioHttpTransport
            from azure.storage.blob.aio import BlobServiceClient
        except ImportError:
            raise ConfigurationError("native() needs azure-storage-blob: pip install 'asyncstore[azure]'") from None
        verify, proxies = sdk_connection(self._http, self.provider)
        transport = AioHttpTransport(
            connection_timeout=self._http.connect_timeout,
            read_timeout=self._http.stall_timeout,
            connection_verify=verify,
            use_env_settings=False,
        )
        async with BlobServiceClient(
            self._wire.addresses.origin.base,
            credential=await self._wire.credentials.for_azure(),
            transport=transport,
            proxies=proxies,
        ) as client:
            yield client

    def describe(self) -> dict[str, str]:
        wire = self._wire
        return {
            "endpoint": wire.addresses.origin.base,
            "account": wire.addresses.account or "not known",
            "checksum": str(self._settings.checksum or "none"),
            "api version": wire.api_version,
            **super().describe(),
        }

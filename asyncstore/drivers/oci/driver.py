"""
The OCI driver: Oracle's Object Storage by its own API.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Literal

from asyncstore.auth.oci import OCICredentials, oci_credentials
from asyncstore.body import Body, ReadBody
from asyncstore.config import HTTPOptions, StorageConfig
from asyncstore.driver import Capabilities, Driver
from asyncstore.drivers.oci import actions, batch, copying, listing, multipart, objects, preauthenticated, versions
from asyncstore.drivers.oci.addresses import Addresses
from asyncstore.drivers.oci.native import native_client
from asyncstore.drivers.oci.preauthenticated import PreauthenticatedRequest
from asyncstore.drivers.oci.settings import ALGORITHMS, OCISettings
from asyncstore.drivers.oci.wire import Wire
from asyncstore.errors import StorageError
from asyncstore.http.client import HTTPClient
from asyncstore.http.failures import FAILURES, translated
from asyncstore.options import CopyOptions, DeleteOptions, GiB, ListOptions, MiB, ReadOptions, WriteOptions
from asyncstore.types import (
    Checksum,
    ListPage,
    Metadata,
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
)
from asyncstore.uri import ObjectURI, Provider

CAPABILITIES: Final = Capabilities(
    reference="https://docs.oracle.com/iaas/Content/Object/Tasks/usingmultipartuploads.htm",
    max_object_size=10 * 1024 * GiB,
    # https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/PutObject
    max_put_size=50 * GiB,
    # https://docs.oracle.com/iaas/Content/Object/Tasks/managingobjects.htm#namerequirements
    max_key_bytes=1024,
    max_metadata_bytes=2048,
    multipart=True,
    # Of every part but the last. Oracle has stated 10 MiB, and states no number today.
    min_part_size=10 * MiB,
    max_part_size=50 * GiB,
    max_parts=10_000,
    copy=True,
    max_copy_size=10 * 1024 * GiB,
    # https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/datatypes/CopyObjectDetails
    copy_replace=False,
    delete_batch_size=batch.MAX_KEYS,
    list_page_size=listing.MAX_KEYS,
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    storage_classes=True,
    versions=True,
    checksums=ALGORITHMS,
    sign=True,
)


def open_driver(config: StorageConfig) -> OCIDriver:
    """
    Return a driver as *config* describes it; nothing is read or sent yet.

    Raises:
        ConfigurationError: A setting is unknown or does not fit; credentials
            would go over plain HTTP.
    """
    rest = dict(config.settings)
    credentials = oci_credentials(config.auth, rest, http=config.http)
    settings = OCISettings.take(rest)
    addresses = Addresses(
        endpoint=config.endpoint_url or credentials.service_endpoint("objectstorage"),
        region=config.region,
        credentials=credentials,
        allow_http=config.http.allow_http,
    )
    wire = Wire(HTTPClient(config.http, config.session), credentials, addresses, settings.namespace)
    return OCIDriver(wire, settings, config.http, config.uri)


class OCIDriver(Driver):
    """
    One storage on OCI. Made by :func:`open_driver`.
    """

    provider = Provider.OCI

    def __init__(self, wire: Wire, settings: OCISettings, http: HTTPOptions, root: ObjectURI) -> None:
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

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        return await batch.delete_batch(self._wire, uris)

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        return await copying.copy(self._wire, self._settings, source, target, options)

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        return await multipart.initiate(self._wire, self._settings, uri, options)

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        return await multipart.upload_part(self._wire, self._settings, uri, upload_id, number, body, options)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        return await multipart.complete(self._wire, uri, upload_id, parts, options, checksum)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        await multipart.abort(self._wire, uri, upload_id)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        return await multipart.list_parts(self._wire, uri, upload_id, token)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        return await multipart.list_uploads(self._wire, prefix, token)

    async def sign(self, method: str, uri: ObjectURI, expires: timedelta) -> str:
        """
        Return the address of a new pre-authenticated request for GET, HEAD or PUT.

        Raises:
            ConfigurationError: Another method, or a time that has passed.
        """
        return await preauthenticated.create(self._wire, method, uri, expires)

    def list_preauthenticated_requests(self, prefix: ObjectURI) -> AsyncIterator[PreauthenticatedRequest]:
        """
        Yield the pre-authenticated requests for keys that start with ``prefix.key``.
        """
        return preauthenticated.list_all(self._wire, prefix)

    async def delete_preauthenticated_request(self, bucket: ObjectURI, request_id: str) -> None:
        """
        End a pre-authenticated request: its address works no more.
        """
        await preauthenticated.delete(self._wire, bucket, request_id)

    async def rename(self, source: ObjectURI, key: str, *, if_none_match: Literal["*"] | None = None) -> None:
        """
        Give an object another key in its bucket, without moving its bytes.

        Raises:
            NotFoundError: No such object.
            AlreadyExistsError: ``if_none_match="*"``, and there is an object of that key.
        """
        await actions.rename(self._wire, source, key, if_none_match=if_none_match)

    async def restore(self, uri: ObjectURI, *, hours: int = 24, version_id: str | None = None) -> None:
        """
        Ask for an archived object to be readable for *hours*; :meth:`stat` tells when it is.
        """
        await actions.restore(self._wire, uri, hours=hours, version_id=version_id)

    @asynccontextmanager
    async def native(self) -> AsyncIterator[Any]:
        """
        Yield an ``oci.object_storage.ObjectStorageClient``, which blocks: use it in a thread.
        """
        endpoint = await self._wire.addresses.find(self._root)
        async with native_client(
            self._wire.credentials, self._http, endpoint=endpoint.origin.base, region=endpoint.region
        ) as client:
            yield client

    @property
    def credentials(self) -> OCICredentials:
        return self._wire.credentials

    def describe(self) -> dict[str, str]:
        addresses, credentials = self._wire.addresses, self._wire.credentials
        endpoint = addresses.known(self._root)
        return {
            "endpoint": endpoint.origin.base if endpoint else addresses.configured,
            "region": (endpoint.region or "unnamed") if endpoint else "not asked for yet",
            "namespace": self._root.namespace or self._settings.namespace or "that of the tenancy",
            "credentials": f"{credentials.auth_type} ({credentials.source})",
            "checksum": str(self._settings.checksum or "none"),
            "clock offset": f"{self._wire.clock_offset:+.0f} s",
        }

    def classify(self, error: Exception) -> StorageError | None:
        return translated(error) if isinstance(error, FAILURES) else None

    async def aclose(self) -> None:
        await self._wire.aclose()

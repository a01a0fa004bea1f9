"""
The OCI driver: Oracle's Object Storage through its native API.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from anyio import to_thread

from asyncstore.auth.oci.credentials import SETTINGS, oci_credentials
from asyncstore.config import HTTPOptions, StorageConfig
from asyncstore.driver import Capabilities
from asyncstore.driver.encryption import without_keys
from asyncstore.driver.settings import read_settings
from asyncstore.drivers.oci import actions, listing
from asyncstore.drivers.oci.actions import Actions
from asyncstore.drivers.oci.addresses import Addresses, Endpoint
from asyncstore.drivers.oci.copying import Copies
from asyncstore.drivers.oci.listing import Listings
from asyncstore.drivers.oci.multipart import MultipartUploads
from asyncstore.drivers.oci.preauthenticated import PreauthenticatedRequests
from asyncstore.drivers.oci.settings import ALGORITHMS, READERS, OCISettings
from asyncstore.drivers.oci.wire import Wire
from asyncstore.http.client import HTTPClient
from asyncstore.http.driver import sdk_connection
from asyncstore.http.origin import is_safe
from asyncstore.options import GiB, MiB
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
    # Of every part but the last. Oracle once documented 10 MiB; today it documents no number.
    min_part_size=10 * MiB,
    max_part_size=50 * GiB,
    max_parts=10_000,
    copy=True,
    copy_keeps=frozenset({"metadata", "storage_class"}),
    max_copy_size=10 * 1024 * GiB,
    # https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/datatypes/CopyObjectDetails
    copy_replace=False,
    delete_batch_size=actions.MAX_BATCH,
    list_page_size=listing.MAX_KEYS,
    conditional_read=True,
    conditional_create=True,
    conditional_replace=True,
    conditional_delete=True,
    conditional_copy=True,
    storage_classes=True,
    implied_classes=frozenset({"Standard"}),
    versions=True,
    encryption_kinds=frozenset({"kms", "customer_key"}),
    copy_from_key=True,
    checksums=ALGORITHMS,
    sign=True,
)


def open_driver(config: StorageConfig) -> OCIDriver:
    """
    Return a driver for *config*; nothing is read or sent.

    Raises:
        ConfigurationError: A setting is unknown or has an invalid value; credentials
            would be sent over plain HTTP.
    """
    rest = dict(config.settings)
    credentials = oci_credentials(config.auth, rest, http=config.http)
    settings = read_settings(OCISettings, rest, provider="oci", readers=READERS, others=SETTINGS)
    addresses = Addresses(
        endpoint=config.endpoint_url or credentials.service_endpoint("objectstorage"),
        region=config.region,
        credentials=credentials,
        allow_http=config.http.allow_http,
    )
    wire = Wire(
        HTTPClient(config.http, config.session, request_id_header="opc-request-id"),
        credentials,
        addresses,
        settings.namespace,
    )
    return OCIDriver(wire, settings, config.http, config.uri)


class OCIDriver(Copies, MultipartUploads, Listings, Actions, PreauthenticatedRequests):
    """
    A storage on OCI; :func:`open_driver` creates it.
    """

    provider = Provider.OCI

    def __init__(self, wire: Wire, settings: OCISettings, http: HTTPOptions, root: ObjectURI) -> None:
        super().__init__(wire, settings)
        self.capabilities = CAPABILITIES
        if not is_safe(wire.addresses.configured, allow_http=http.allow_http):
            self.capabilities = without_keys(self.capabilities)
        if settings.checksum is None:
            self.capabilities = replace(self.capabilities, checksums=frozenset())
        self.preferred_checksum = settings.checksum
        self._http = http
        self._root = root

    @asynccontextmanager
    async def native(self) -> AsyncIterator[Any]:
        """
        Yield an ``oci.object_storage.ObjectStorageClient``, whose calls block: make them in a thread.

        It has the same endpoint, TLS settings and credentials, and retries as the SDK does.

        Raises:
            ConfigurationError: The SDK is not installed.
            NotSupportedError: The storage has an ``ssl_context``, which the SDK cannot use.
        """
        verify, proxies = sdk_connection(self._http, self.provider)
        signer = await self._wire.credentials.for_oci()
        endpoint = await self._wire.endpoint_of(self._root)
        client = await to_thread.run_sync(self._native_client, signer, endpoint)
        # The SDK would use proxies from the environment, which a storage does not.
        client.base_client.session.trust_env = False
        client.base_client.session.verify = verify
        client.base_client.session.proxies = proxies
        try:
            yield client
        finally:
            client.base_client.session.close()

    def _native_client(self, signer: Any, endpoint: Endpoint) -> Any:
        from oci.object_storage import ObjectStorageClient

        config = {"region": endpoint.region} if endpoint.region else {}
        timeout = (self._http.connect_timeout, self._http.stall_timeout)
        return ObjectStorageClient(config, signer=signer, service_endpoint=endpoint.origin.base, timeout=timeout)

    def describe(self) -> dict[str, str]:
        addresses = self._wire.addresses
        endpoint = addresses.known(self._root)
        return {
            "endpoint": endpoint.origin.base if endpoint else addresses.configured,
            "region": (endpoint.region or "unknown") if endpoint else "not resolved yet",
            "namespace": self._root.namespace or self._settings.namespace or "the tenancy's",
            "checksum": str(self._settings.checksum or "none"),
            **super().describe(),
        }

"""
The GCS driver.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from asyncstore.auth.credentials import require_tls
from asyncstore.auth.gcp import GCPCredentials, gcp_credentials
from asyncstore.auth.goog4 import MAX_EXPIRES, unsigned_url
from asyncstore.body import Body, ReadBody
from asyncstore.config import HTTPOptions, StorageConfig
from asyncstore.driver import Driver
from asyncstore.drivers.gcs import batch, components, copying, listing, multipart, objects, put, versions
from asyncstore.drivers.gcs.capabilities import capabilities_of
from asyncstore.drivers.gcs.compose import ComposedUploads
from asyncstore.drivers.gcs.endpoints import auth_of, endpoint_of
from asyncstore.drivers.gcs.errors import NoXMLUploadsError
from asyncstore.drivers.gcs.names import check_name, xml_path
from asyncstore.drivers.gcs.native import native_client
from asyncstore.drivers.gcs.resumable import ResumableUploads
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.drivers.gcs.wire import Wire
from asyncstore.errors import ConfigurationError, NotSupportedError, StorageError
from asyncstore.http.client import HTTPClient
from asyncstore.http.failures import FAILURES, translated
from asyncstore.options import CopyOptions, DeleteOptions, ListOptions, ReadOptions, WriteOptions
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

_SIGNABLE: Final = ("GET", "HEAD", "PUT", "DELETE")

# Tokens of pages of the uploads that are composed, which come after those of the XML API.
_COMPOSED: Final = "composed "


def open_driver(config: StorageConfig) -> GCSDriver:
    """
    Return a driver as *config* describes it; nothing is read or sent yet.

    Raises:
        ConfigurationError: A setting is unknown or does not fit; credentials
            would go over plain HTTP.
    """
    rest = dict(config.settings)
    credentials = gcp_credentials(auth_of(config), rest, http=config.http)
    settings = GCSSettings.take(rest)
    origin = endpoint_of(config, settings)
    if not credentials.anonymous or settings.encryption_key is not None:
        require_tls(origin.base, allow_http=config.http.allow_http)
    wire = Wire(HTTPClient(config.http, config.session), credentials, origin, settings.user_project)
    return GCSDriver(wire, settings, config.http)


class GCSDriver(Driver):
    """
    One storage on GCS. Made by :func:`open_driver`.
    """

    provider = Provider.GCS

    def __init__(self, wire: Wire, settings: GCSSettings, http: HTTPOptions) -> None:
        self.capabilities = capabilities_of(settings, may_sign=wire.credentials.may_sign)
        self.preferred_checksum = settings.checksum
        self._wire = wire
        self._settings = settings
        self._http = http
        self._resumable = ResumableUploads(wire, settings)
        self._composed = ComposedUploads(wire, settings)
        # Until the endpoint shows that it has none.
        self._xml_uploads = settings.multipart != "compose"

    def open_read(self, uri: ObjectURI, options: ReadOptions) -> Coroutine[Any, Any, ReadBody]:
        # Not a coroutine of its own: one less for each of many small reads.
        return objects.open_read(self._wire, self._settings, uri, options)

    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        if body.size >= self._settings.resumable_threshold:
            return await self._resumable.put(uri, body, options)
        return await put.put(self._wire, self._settings, uri, body, options)

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
        """
        Start an upload: one that is composed at the end if that is set, if there is a
        condition, or if the endpoint has no others.
        """
        conditional = options.if_match is not None or options.if_none_match is not None
        # Headers are ASCII; JSON is not.
        plain = all(value.isascii() for value in options.metadata.values())
        if not conditional and plain and self._xml_uploads:
            try:
                return await multipart.initiate(self._wire, self._settings, uri, options)
            except NoXMLUploadsError:
                if self._settings.multipart != "auto":
                    raise
                self._xml_uploads = False
        return await self._composed.initiate(uri, options)

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        if components.is_composed(upload_id):
            return await self._composed.upload_part(uri, upload_id, number, body, options)
        return await multipart.upload_part(self._wire, self._settings, uri, upload_id, number, body, options)

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        if components.is_composed(upload_id):
            return await self._composed.complete(uri, upload_id, parts, options, checksum)
        if options.if_match is not None or options.if_none_match is not None:
            raise NotSupportedError(
                "the condition of an upload by parts has to be given when it is started", provider=self.provider
            )
        return await multipart.complete(self._wire, self._settings, uri, upload_id, parts, options, checksum)

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        if components.is_composed(upload_id):
            await self._composed.abort(uri, upload_id)
        else:
            await multipart.abort(self._wire, uri, upload_id)

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        if components.is_composed(upload_id):
            return await self._composed.list_parts(uri, upload_id, token)
        return await multipart.list_parts(self._wire, self._settings, uri, upload_id, token)

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        """
        Return the uploads of the XML API, page by page, and with the last of them those that are composed.
        """
        uploads: list[Any] = []
        if self._xml_uploads and not (token or "").startswith(_COMPOSED):
            try:
                page = await multipart.list_uploads(self._wire, prefix, token)
            except NoXMLUploadsError:
                if self._settings.multipart != "auto":
                    raise
                self._xml_uploads = False
                page = MultipartUploadPage([], None)
            if page.next_token is not None:
                return page
            uploads, token = [*page.uploads], None
        composed = await self._composed.list_uploads(prefix, token and token.removeprefix(_COMPOSED))
        following = None if composed.next_token is None else _COMPOSED + composed.next_token
        return MultipartUploadPage([*uploads, *composed.uploads], following)

    async def sign(self, method: str, uri: ObjectURI, expires: timedelta) -> str:
        """
        Return a URL of the XML API for GET, HEAD, PUT or DELETE, good for up to seven days.

        Raises:
            ConfigurationError: Another method, or another time.
            NotSupportedError: The credentials sign nothing.
        """
        if method not in _SIGNABLE:
            raise ConfigurationError(f"a URL is signed for one of {_SIGNABLE}, not {method!r}")
        if not timedelta(seconds=1) <= expires <= MAX_EXPIRES:
            raise ConfigurationError(f"a signed URL lives from one second to seven days, not {expires}")
        check_name(uri)
        origin, signer = self._wire.origin, await self._wire.credentials.url_signer()
        unsigned = unsigned_url(
            method,
            str(origin.at(origin.path + xml_path(uri), "")),
            account=signer.account,
            algorithm=signer.algorithm,
            when=time.time(),
            expires=expires,
            host=origin.host,
        )
        return unsigned.signed(await signer.sign(unsigned.string_to_sign.encode(), unsigned.scope))

    @asynccontextmanager
    async def native(self) -> AsyncIterator[Any]:
        """
        Yield a ``gcloud.aio.storage.Storage`` on the same connections, endpoint and token.
        """
        wire = self._wire
        proxy = None if wire.origin.loopback else self._http.proxy
        async with native_client(await wire.http.session(), wire.credentials, wire.origin.base, proxy=proxy) as client:
            yield client

    @property
    def credentials(self) -> GCPCredentials:
        return self._wire.credentials

    def describe(self) -> dict[str, str]:
        credentials = self._wire.credentials
        return {
            "endpoint": self._wire.origin.base,
            "credentials": f"{credentials.auth_type} ({credentials.source})",
            "multipart": self._settings.multipart,
            "checksum": str(self._settings.checksum or "none"),
        }

    def classify(self, error: Exception) -> StorageError | None:
        return translated(error) if isinstance(error, FAILURES) else None

    async def aclose(self) -> None:
        await self._wire.http.aclose()
        await self._wire.credentials.aclose()

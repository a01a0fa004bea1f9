"""
Uploads by parts, for callers who order the parts themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from asyncstore.body import BytesBody, BytesLike
from asyncstore.checks import Checks
from asyncstore.driver import Driver
from asyncstore.engine.calls import Calls
from asyncstore.engine.given import in_memory
from asyncstore.errors import InvalidRequestError
from asyncstore.options import UploadOptions
from asyncstore.types import Checksum, MultipartUpload, ObjectInfo, Part
from asyncstore.uri import ObjectURI, URILike

_UPLOAD: Final = UploadOptions()


class MultipartVerbs:
    """
    The verbs of :class:`~asyncstore.protocols.MultipartCapable`.

    Whoever begins an upload here completes or aborts it: what is neither is kept,
    and billed, by the provider.

    Attributes:
        root: What the storage was opened with.
    """

    root: ObjectURI
    _driver: Driver
    _calls: Calls
    _checks: Checks

    async def initiate_multipart_upload(self, uri: URILike, *, options: UploadOptions = _UPLOAD) -> str:
        """
        Begin an upload by parts and return its id; the caller completes or aborts it.
        """
        target = self._target(uri)
        self._checks.write(options)
        return await self._calls(
            "initiate_multipart_upload", target, self._driver.initiate_multipart_upload, target, options
        )

    async def upload_part(
        self, uri: URILike, upload_id: str, number: int, data: BytesLike, *, options: UploadOptions = _UPLOAD
    ) -> Part:
        """
        Write part *number* (from 1); the same number again replaces it.
        """
        target = self._target(uri)
        if not 1 <= number <= self._driver.capabilities.max_parts:
            raise InvalidRequestError(f"parts are numbered 1 to {self._driver.capabilities.max_parts}, not {number}")
        whole = in_memory(data)
        if whole is None:
            raise TypeError(f"the data of a part is bytes, not {type(data).__name__}")
        body = BytesBody(whole)
        return await self._calls(
            "upload_part", target, self._driver.upload_part, target, upload_id, number, body, options
        )

    async def complete_multipart_upload(
        self,
        uri: URILike,
        upload_id: str,
        parts: Sequence[Part],
        *,
        options: UploadOptions = _UPLOAD,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        """
        Make the object out of *parts*, in the order of their numbers.

        Args:
            options: The same as at the beginning.
            checksum: Of the whole object; compared before it appears where the provider can.
        """
        target = self._target(uri)
        self._checks.write(options)
        complete = self._driver.complete_multipart_upload
        return await self._calls(
            "complete_multipart_upload", target, complete, target, upload_id, parts, options, checksum
        )

    async def abort_multipart_upload(self, uri: URILike, upload_id: str) -> None:
        """
        Drop an upload and its parts; one that is gone already is no error.
        """
        target = self._target(uri)
        await self._calls("abort_multipart_upload", target, self._driver.abort_multipart_upload, target, upload_id)

    async def list_parts(self, uri: URILike, upload_id: str) -> AsyncIterator[Part]:
        """
        Yield the parts of an unfinished upload, by number.
        """
        target = self._target(uri)
        token: str | None = None
        while True:
            page = await self._calls("list_parts", target, self._driver.list_parts, target, upload_id, token)
            for part in page.parts:
                yield part
            token = page.next_token
            if token is None:
                return

    async def list_multipart_uploads(self, prefix: URILike | None = None) -> AsyncIterator[MultipartUpload]:
        """
        Yield the unfinished uploads whose keys start with that of *prefix*.
        """
        start = self._checks.prefix(self.root if prefix is None else prefix)
        self._checks.require("multipart uploads", self._driver.capabilities.multipart)
        token: str | None = None
        list_uploads = self._driver.list_multipart_uploads
        while True:
            page = await self._calls("list_multipart_uploads", start, list_uploads, start, token)
            for unfinished in page.uploads:
                yield unfinished
            token = page.next_token
            if token is None:
                return

    def _target(self, uri: URILike) -> ObjectURI:
        self._checks.require("multipart uploads", self._driver.capabilities.multipart)
        return self._checks.object(uri)

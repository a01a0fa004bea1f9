"""
Multipart uploads for callers that control the parts themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Final, Unpack

from asyncstore._support.argument_types import check_argument, check_items
from asyncstore.driver import Driver
from asyncstore.driver.body import BytesBody, BytesLike
from asyncstore.engine.pages import Pages, part_pages
from asyncstore.engine.requests import Requests
from asyncstore.engine.steps import result_of
from asyncstore.engine.upload.journaled import settle
from asyncstore.engine.upload.multipart import complete, initiate
from asyncstore.engine.upload.stream_source import in_memory
from asyncstore.engine.upload.sweep import is_below, sweep
from asyncstore.engine.writing import Writing
from asyncstore.errors import InvalidRequestError
from asyncstore.keywords import UploadFields, merged
from asyncstore.options import UploadOptions
from asyncstore.storage.arguments import Checks, check_type
from asyncstore.types import BulkResult, Checksum, MultipartUpload, Part, WriteResult
from asyncstore.uri import ObjectURI, URILike

_UPLOAD: Final = UploadOptions()


class MultipartVerbs:
    """
    The verbs of :class:`~asyncstore.protocols.MultipartCapable`.

    The caller completes or aborts every upload: the provider keeps, and bills, the
    parts of an unfinished one.

    Attributes:
        root: The URI that the storage was opened with.
    """

    root: ObjectURI
    _driver: Driver
    _requests: Requests
    _checks: Checks

    async def initiate_multipart_upload(
        self, uri: URILike, *, options: UploadOptions = _UPLOAD, **fields: Unpack[UploadFields]
    ) -> str:
        """
        Initiate a multipart upload and return its id; the caller completes or aborts it.

        If the reply is lost, or the call fails or is cancelled, the upload whose id nobody knows is aborted.
        """
        target = self._target(uri)
        options = merged(options, UploadOptions, fields)
        self._checks.write(options)
        return await initiate(self._requests, target, options)

    async def upload_part(
        self, uri: URILike, upload_id: str, number: int, data: BytesLike, *, options: UploadOptions = _UPLOAD
    ) -> Part:
        """
        Write part *number* (from 1); a part with the same number is replaced.
        """
        target = self._upload(uri, upload_id)
        check_argument("number", number, int)
        check_type(options, UploadOptions)
        if not 1 <= number <= self._driver.capabilities.max_parts:
            raise InvalidRequestError(f"a part number must be 1 to {self._driver.capabilities.max_parts}, not {number}")
        whole = in_memory(data)
        if whole is None:
            raise TypeError(f"the data of a part must be bytes, not {type(data).__name__}")
        body = BytesBody(whole)
        step = await self._requests(
            "upload_part", target, self._driver.upload_part, target, upload_id, number, body, options
        )
        return await result_of(self._requests, "upload_part", target, step)

    async def complete_multipart_upload(
        self,
        uri: URILike,
        upload_id: str,
        parts: Sequence[Part],
        *,
        options: UploadOptions = _UPLOAD,
        checksum: Checksum | None = None,
    ) -> WriteResult:
        """
        Assemble the object from *parts*, in the order of their numbers.

        If the upload turns out to be gone after a reply was lost, the object is compared with its parts.

        Args:
            options: The same as for :meth:`initiate_multipart_upload`.
            checksum: Of the whole object; compared before it appears if the provider can.

        Raises:
            InvalidRequestError: Two of *parts* have one number.
        """
        target = self._upload(uri, upload_id)
        self._checks.write(options)
        check_argument("checksum", checksum, Checksum | None)
        check_items("parts", parts, Part)
        _check_numbers(parts)
        with Writing(self._requests, "complete_multipart_upload", target) as writing:
            info = writing.result(await complete(self._requests, target, upload_id, parts, options, checksum))
        self._requests.uploads.discard(upload_id)
        return info

    async def abort_multipart_upload(self, uri: URILike, upload_id: str) -> None:
        """
        Abort an upload and delete its parts; a missing upload is not an error.
        """
        target = self._upload(uri, upload_id)
        await self._requests("abort_multipart_upload", target, self._driver.abort_multipart_upload, target, upload_id)
        self._requests.uploads.discard(upload_id)

    async def list_parts(self, uri: URILike, upload_id: str) -> AsyncIterator[Part]:
        """
        Yield the parts of an unfinished upload, by number.
        """
        _check_id(upload_id)
        target = self._checks.object(uri)
        self._require_multipart()
        pages = part_pages(self._requests, target, upload_id)
        while (page := await pages.next()) is not None:
            for part in page.parts:
                yield part

    async def list_multipart_uploads(self, prefix: URILike | None = None) -> AsyncIterator[MultipartUpload]:
        """
        Yield the unfinished uploads whose keys start with that of *prefix*, or that are under :attr:`root`.
        """
        start = self._checks.start(prefix)
        self._checks.require("multipart uploads", self._driver.capabilities.multipart)
        fetch = self._driver.list_multipart_uploads
        pages = Pages(self._requests, "list_multipart_uploads", start, fetch, start, entries=attrgetter("uploads"))
        while (page := await pages.next()) is not None:
            for unfinished in page.uploads:
                yield unfinished

    async def sweep_uploads(self, prefix: URILike | None = None, *, older_than: timedelta) -> BulkResult:
        """
        Abort unfinished uploads that nobody will complete, and remove their records from the journal on disk.

        Skipped are uploads that are younger than *older_than* or whose age is not known, those in progress in this
        storage, and recorded ones in progress in another process of this user. Nothing tells whether a program
        elsewhere is still at an upload: choose more than the longest one takes. Azure lists the unfinished uploads
        to a blob that exists only if *prefix* is that blob.

        Cancelling leaves the uploads that are not aborted yet.

        Args:
            prefix: An object, or a directory of keys; by default :attr:`root`. ``logs`` leaves out ``logs-old/a``.
            older_than: Since an upload was initiated; ``timedelta(0)`` aborts those of unknown age, too.

        Returns:
            An outcome for each unfinished upload. What could not be aborted is among the failures.

        Raises:
            NotSupportedError: The provider has no multipart uploads.
        """
        check_argument("older_than", older_than, timedelta)
        if older_than < timedelta(0):
            raise ValueError(f"older_than must not be negative, not {older_than}")
        # All of them first, since to abort some could move the others to pages that were read.
        start = self._checks.start(prefix)
        uploads = [upload async for upload in self.list_multipart_uploads(start) if is_below(upload.uri, start)]
        result = await sweep(self._requests, uploads, older_than)
        await settle(self._requests, start)
        return result

    async def _settle_uploads(self) -> None:
        """
        Remove the records of uploads below :attr:`root` that exist no more from the journal on disk.
        """
        await settle(self._requests, self._checks.start(None))

    def _upload(self, uri: URILike, upload_id: str) -> ObjectURI:
        _check_id(upload_id)
        return self._target(uri)

    def _target(self, uri: URILike) -> ObjectURI:
        target = self._checks.target(uri)
        self._require_multipart()
        return target

    def _require_multipart(self) -> None:
        self._checks.require("multipart uploads", self._driver.capabilities.multipart)


def _check_id(upload_id: str) -> None:
    check_argument("upload_id", upload_id, str)
    if not upload_id:
        # A service that takes an empty parameter as none would write or delete the object itself.
        raise InvalidRequestError(
            "upload_id is empty: give the id that initiate_multipart_upload or list_multipart_uploads returned"
        )


def _check_numbers(parts: Sequence[Part]) -> None:
    counts = Counter(part.number for part in parts)
    if twice := sorted(number for number, count in counts.items() if count > 1):
        raise InvalidRequestError(f"each part number can be given once, and these were given more often: {twice[:10]}")

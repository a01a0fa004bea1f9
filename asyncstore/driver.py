"""
What a provider writes.

A driver makes *one* request for each call. It has no retry, limit or
concurrency of its own: the engine has them, once for all. It may rely on this:

* URIs are parsed, belong to its provider and have a non-empty key where an
  object is meant; options are checked; metadata keys are lower case.
* A capability that is not announced is never used: the caller was told
  :class:`NotSupportedError` before.
* Nothing is called after :meth:`Driver.aclose`.

In return it raises nothing but :class:`StorageError` (with the provider's code,
status, request id and ``retry_after``; *op* and *uri* are filled in above it) and
what :meth:`Driver.classify` can turn into one. A call that is cancelled leaves
no connection, file or task behind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from asyncstore.body import Body, ReadBody
from asyncstore.errors import NotSupportedError, StorageError
from asyncstore.options import CopyOptions, DeleteOptions, ListOptions, ReadOptions, WriteOptions
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
from asyncstore.uri import ObjectURI


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """
    What a provider can do, and its real limits.

    The engine plans with these numbers, the portable type refuses what is off
    before any request, and the conformance suite tests what is on.

    Attributes:
        reference: The provider's page that states the limits.
        min_object_size: Bytes of the smallest object; 1 where there are no empty ones.
        max_object_size: Bytes of the largest object.
        max_put_size: Bytes of the largest object written by one request.
        max_key_bytes: UTF-8 bytes of the longest key.
        max_metadata_bytes: UTF-8 bytes of all user metadata of an object.
        multipart: Objects can be written by parts.
        min_part_size: Bytes of every part but the last.
        max_part_size: Bytes of the largest part.
        max_parts: Parts of one upload.
        empty_uploads: An upload by parts is there, and listed, before its first part.
        independent_uploads: Several uploads by parts to one key can be completed one after
            the other; else the first that is completed ends the others.
        copy: An object can be copied by the provider itself.
        max_copy_size: Bytes of the largest copy by one request.
        copy_replace: A copy can be given all that ``CopyOptions.replace`` says. Where it
            cannot, it has its source's content headers, and its metadata unless other
            metadata is given.
        copy_part: A part can be made from a range of another object.
        delete_batch_size: Keys that one request can delete; 0 has none.
        list_page_size: Entries of the largest page.
        conditional_read: if_match, if_none_match and dates on a read.
        conditional_create: ``if_none_match="*"`` on put and on completing.
        conditional_replace: ``if_match`` on put and on completing.
        conditional_delete: ``if_match`` on delete.
        conditional_copy: Conditions on the target of a copy.
        metadata: User metadata is kept.
        content_type: The content type is kept.
        content_headers: Content encoding, language, disposition and cache
            control are kept.
        storage_classes: Objects have a class or tier that can be chosen.
        versions: Old versions can be listed, read and deleted by their id, where the bucket keeps them.
        tags: Tags that an object can have; 0 has none.
        checksums: Algorithms that the provider can check on a write.
        sign: URLs can be signed for others.
    """

    reference: str
    max_object_size: int
    max_put_size: int
    min_object_size: int = 0
    max_key_bytes: int = 1024
    max_metadata_bytes: int = 2048
    multipart: bool = False
    min_part_size: int = 1
    max_part_size: int = 0
    max_parts: int = 0
    empty_uploads: bool = True
    independent_uploads: bool = True
    copy: bool = False
    max_copy_size: int = 0
    copy_replace: bool = True
    copy_part: bool = False
    delete_batch_size: int = 0
    list_page_size: int = 1000
    conditional_read: bool = False
    conditional_create: bool = False
    conditional_replace: bool = False
    conditional_delete: bool = False
    conditional_copy: bool = False
    metadata: bool = True
    content_type: bool = True
    content_headers: bool = True
    storage_classes: bool = False
    versions: bool = False
    tags: int = 0
    checksums: frozenset[ChecksumAlgorithm] = frozenset()
    sign: bool = False


class Driver(ABC):
    """
    One provider's requests. See the module for what it may rely on.

    Attributes:
        provider: The name it goes by in errors and progress.
        capabilities: What it can do, with the settings it was opened with.
        preferred_checksum: The algorithm for a write whose options name none;
            ``None`` sends no checksum.
    """

    provider: str
    capabilities: Capabilities
    preferred_checksum: ChecksumAlgorithm | None = None

    @abstractmethod
    def open_read(self, uri: ObjectURI, options: ReadOptions) -> Coroutine[Any, Any, ReadBody]:
        """
        Send a read and return once the head of the reply is here.

        ``options.range`` is never empty. The caller closes the body.

        Raises:
            NotFoundError: No such object or version.
            NotModifiedError, PreconditionFailedError: A condition did not hold.
            RangeNotSatisfiableError: The range starts at or after the end (a
                suffix of an empty object included).
        """

    @abstractmethod
    async def put(self, uri: ObjectURI, body: Body, options: WriteOptions) -> ObjectInfo:
        """
        Write an object with one request, all or nothing.

        Raises:
            AlreadyExistsError, PreconditionFailedError: A condition did not hold.
            IntegrityError: The provider received other bytes than were meant.
        """

    @abstractmethod
    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        """
        Delete an object; one that is missing is no error unless a condition is set.
        """

    @abstractmethod
    async def stat(self, uri: ObjectURI, options: ReadOptions) -> Metadata:
        """
        Return the metadata of an object; ``options.range`` is ``None``.

        Raises:
            NotFoundError: No such object or version.
        """

    @abstractmethod
    async def list_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return one page of keys that start with ``prefix.key``, in byte order.

        *token* is ``None`` for the first page, later the ``next_token`` before.
        """

    async def list_versions_page(self, prefix: ObjectURI, options: ListOptions, token: str | None) -> ListPage:
        """
        Return one page of the versions of the objects whose keys start with ``prefix.key``.

        Keys come in byte order and the versions of a key one after the other, each with
        ``version_id`` (as a read takes it), ``is_current`` and ``is_deleted``.
        """
        raise self._unsupported("list_versions_page")

    async def get_tags(self, uri: ObjectURI) -> Mapping[str, str]:
        """
        Return the tags of an object.

        Raises:
            NotFoundError: No such object.
        """
        raise self._unsupported("get_tags")

    async def set_tags(self, uri: ObjectURI, tags: Mapping[str, str]) -> None:
        """
        Put *tags*, up to ``capabilities.tags`` of them, in the place of all that the object has.

        Raises:
            NotFoundError: No such object.
            InvalidRequestError: A tag is not as the provider wants it.
        """
        raise self._unsupported("set_tags")

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        """
        Delete up to ``capabilities.delete_batch_size`` objects of one bucket.

        Returns an outcome for each of *uris*, in their order; ``None`` is
        deleted, or was missing.

        Raises:
            NotSupportedError: The provider has this request, and this endpoint has
                not: objects are deleted one by one then.
        """
        raise self._unsupported("delete_batch")

    async def copy(self, source: ObjectURI, target: ObjectURI, options: CopyOptions) -> ObjectInfo:
        """
        Copy up to ``capabilities.max_copy_size`` bytes inside the provider.
        """
        raise self._unsupported("copy")

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        """
        Start an upload by parts and return its id.
        """
        raise self._unsupported("initiate_multipart_upload")

    async def upload_part(self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions) -> Part:
        """
        Write part *number* (from 1); the same number again replaces it.
        """
        raise self._unsupported("upload_part")

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
        """
        Write part *number* from the bytes *start* to *end* (exclusive) of *source*.
        """
        raise self._unsupported("copy_part")

    async def complete_multipart_upload(
        self,
        uri: ObjectURI,
        upload_id: str,
        parts: Sequence[Part],
        options: WriteOptions,
        checksum: Checksum | None = None,
    ) -> ObjectInfo:
        """
        Make the object out of *parts*, in the order of their numbers.

        *checksum* is of the whole object; a provider that can compare it does so
        before the object appears.

        Raises:
            NotFoundError: No such upload.
            InvalidRequestError: A part is missing, too small or not as given.
            AlreadyExistsError, PreconditionFailedError: A condition did not hold.
            IntegrityError: The object is not what *checksum* says.
        """
        raise self._unsupported("complete_multipart_upload")

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        """
        Drop an upload and its parts; one that is gone already is no error.
        """
        raise self._unsupported("abort_multipart_upload")

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        """
        Return one page of the parts of an upload, by number.

        An interrupted upload is gone on with by what this says: the ``etag`` that
        :meth:`upload_part` returned, and the checksum of each part if the provider tells it.
        """
        raise self._unsupported("list_parts")

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        """
        Return one page of the unfinished uploads whose keys start with ``prefix.key``.
        """
        raise self._unsupported("list_multipart_uploads")

    async def sign(self, method: str, uri: ObjectURI, expires: timedelta) -> str:
        """
        Return a URL that lets whoever holds it do *method* until it expires.
        """
        raise self._unsupported("sign")

    def native(self) -> AbstractAsyncContextManager[Any]:
        """
        Open the provider's own SDK client, on the same endpoint and credentials.
        """
        raise self._unsupported("native")

    @property
    def credentials(self) -> Any:
        """
        The :class:`~asyncstore.auth.credentials.Credentials` of requests; ``None`` where nobody asks for any.
        """
        return None

    def describe(self) -> dict[str, str]:
        """
        Return what was resolved (endpoint, region, ...) for people to read; no secrets.
        """
        return {}

    def classify(self, error: Exception) -> StorageError | None:
        """
        Name an error that is not a :class:`StorageError`; ``None`` if it is none of ours.
        """
        return None

    async def aclose(self) -> None:  # noqa: B027 - most drivers hold something, memory does not
        """
        Give back all that the driver holds; may be called twice.
        """

    def _unsupported(self, op: str) -> NotSupportedError:
        return NotSupportedError(f"{self.provider} has no {op}", op=op, provider=self.provider)

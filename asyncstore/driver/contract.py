"""
What a provider implements.

A driver sends *one* request for each call. It does not retry, limit or run
anything in parallel: the engine does. A copy, a part or a completion that takes several
requests returns :class:`Pending`, which the engine passes back to :meth:`Driver.advance`
until it gets the result. A driver may rely on this:

* URIs are parsed, belong to its provider and have a non-empty key where an
  object is meant; options are valid; metadata keys are lower case.
* A capability that is not announced is never used: the caller got
  :class:`NotSupportedError` before.
* Nothing is called after :meth:`Driver.aclose`.

In return it raises only :class:`StorageError` (with the provider's code, status,
request id and ``retry_after``; the engine fills in *op* and *uri*) and what
:meth:`Driver.classify` can turn into one. A cancelled call leaves no connection,
file or task behind.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

from asyncstore.driver.body import Body, ReadBody
from asyncstore.encryption import EncryptionKind
from asyncstore.errors import NotSupportedError, StorageError, UnavailableError
from asyncstore.options import (
    PLAIN_PRESIGN,
    CopyOptions,
    DeleteOptions,
    ListOptions,
    PostOptions,
    PresignOptions,
    ReadOptions,
    WriteOptions,
)
from asyncstore.retention import Retention
from asyncstore.types import (
    Checksum,
    ChecksumAlgorithm,
    ListPage,
    Metadata,
    MultipartUploadPage,
    ObjectInfo,
    Part,
    PartPage,
    PresignedPost,
    PresignedURL,
)
from asyncstore.uri import ObjectURI

T = TypeVar("T")

#: A kind of condition on a write: ``if_none_match`` on put, ``if_match`` on put, either on completing a multipart
#: upload, ``if_match`` on delete, and either on the target of a copy. An endpoint may know one and not another.
Condition = Literal["create", "replace", "complete", "delete", "copy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """
    What an endpoint can do, and its limits.

    A driver starts with what its provider documents and narrows that with
    :meth:`Driver.narrow` when the endpoint refuses a feature. The engine plans with
    these numbers, the storage refuses what is off before any request, and the
    conformance suite tests what is on.

    Attributes:
        reference: The provider's page that states the limits.
        min_object_size: Bytes of the smallest object; 1 if objects cannot be empty.
        max_object_size: Bytes of the largest object.
        max_put_size: Bytes of the largest object written by one request.
        max_key_bytes: UTF-8 bytes of the longest key.
        max_metadata_bytes: UTF-8 bytes of all user metadata of an object.
        multipart: Multipart uploads.
        min_part_size: Bytes of every part but the last.
        max_part_size: Bytes of the largest part.
        max_parts: Parts of one upload.
        empty_uploads: A multipart upload exists, and is listed, before its first part.
        independent_uploads: Several multipart uploads to one key can be completed one after
            the other; otherwise completing the first ends the others.
        copy: The provider can copy an object itself.
        max_copy_size: Bytes of the largest copy by one request.
        copy_replace: A copy can be stored with everything in ``CopyOptions.replace``.
            Otherwise it has its source's content headers, and its source's metadata unless
            other metadata is given.
        copy_keeps: What a copy by one request has of its source without ``CopyOptions.replace``:
            ``metadata`` (with the content headers), ``storage_class`` (which the engine names in
            ``CopyOptions.storage_class``), ``tags``. A multipart copy keeps metadata and storage
            class, and tags if they can be read; ``CopyResult.not_kept`` says what a copy lacks.
        copy_part: A part can be made from a range of another object.
        delete_batch_size: Keys that one request can delete; 0 if none can delete several.
        list_page_size: Entries of the largest page.
        sorted_listing: Listings come in byte order of keys; otherwise in any order.
        ranges: A part of an object can be read; otherwise the reply to a range has all of it.
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
        implied_classes: Classes that objects have because of their bucket, or if none is chosen;
            a copy does not ask for them.
        folders: Objects can stand for folders without a key that says so, and there may be
            directories; ``ListOptions.folders`` tells them.
        versions: Old versions can be listed, read and deleted by their id, where the bucket keeps them.
        tags: Tags that an object can have; 0 if tags are not supported.
        encryption_kinds: Kinds of :class:`~asyncstore.Encryption` that an operation can choose.
        object_lock: Objects can be protected from being deleted or replaced, until a moment or by a legal hold; on S3
            in buckets that were created for it.
        bypass_retention: A deletion can bypass a retention in governance mode.
        acls: The predefined access lists that a write can choose.
        copy_from_key: A copy can read a source that is encrypted with a customer's key.
        checksums: Algorithms that the provider can check on a write.
        part_checksums: The algorithm of :meth:`Driver.checksum_of_parts`, for objects made of parts
            whose replies have no checksum of the whole.
        etag_is_md5: An ETag of 32 hexadecimal digits, of an object or part written by one
            request, is the MD5 of its bytes unless they are encrypted.
        sign: Presigned URLs.
        presign_post: Presigned forms, for uploads by browsers.
        presign_options: Fields of :class:`~asyncstore.PresignOptions` that a presigned URL can bind.
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
    copy_keeps: frozenset[str] = frozenset()
    copy_part: bool = False
    delete_batch_size: int = 0
    list_page_size: int = 1000
    sorted_listing: bool = True
    ranges: bool = True
    conditional_read: bool = False
    conditional_create: bool = False
    conditional_replace: bool = False
    conditional_delete: bool = False
    conditional_copy: bool = False
    metadata: bool = True
    content_type: bool = True
    content_headers: bool = True
    storage_classes: bool = False
    implied_classes: frozenset[str] = frozenset()
    folders: bool = False
    versions: bool = False
    tags: int = 0
    encryption_kinds: frozenset[EncryptionKind] = frozenset()
    object_lock: bool = False
    bypass_retention: bool = False
    acls: frozenset[str] = frozenset()
    copy_from_key: bool = False
    checksums: frozenset[ChecksumAlgorithm] = frozenset()
    part_checksums: ChecksumAlgorithm | None = None
    etag_is_md5: bool = False
    sign: bool = False
    presign_post: bool = False
    presign_options: frozenset[str] = frozenset()

    @property
    def empty_objects(self) -> bool:
        """Whether objects can be empty, as markers of folders are."""
        return self.min_object_size == 0


@dataclass(frozen=True, slots=True)
class Narrowing:
    """
    Something that a provider supports and this endpoint does not.

    Attributes:
        feature: The name of the feature for messages, such as ``"batch deletion"``.
        reason: How it was detected.
        changes: The capabilities that changed, with their new values; empty for a
            feature that only the driver itself uses.
    """

    feature: str
    reason: str
    changes: Mapping[str, Any]


class NotInBatchError(UnavailableError):
    """
    A batch did not settle this key: the engine deletes it by a request of its own.
    """

    default_message = "the batch does not say whether this object was deleted"


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """
    The state of an operation that needs another request.

    Attributes:
        target: The object that it writes.
        state: What the driver needs to send it; opaque to the engine. It is never
            changed, so that a step whose reply was lost can be sent again.
        wait: Seconds to wait before.
        stuck: Why the last request has achieved nothing, if it has not. The engine ends an operation of
            which this is said as often, one time after the other, as it would send a request that fails.
    """

    target: ObjectURI
    state: Any
    wait: float = 0.0
    stuck: str = ""


class Driver(ABC):
    """
    One provider's requests. See the module for what it may rely on.

    Attributes:
        provider: Its name in errors and progress.
        capabilities: What it can do, with the settings it was opened with.
        preferred_checksum: The algorithm for a write whose options name none;
            ``None`` sends no checksum.
        unproven: The conditions that the endpoint may ignore, because it is not the provider's own and
            has not refused one yet: the engine looks at the object before such a write.
        narrowed: The features that this endpoint turned out not to support.
        on_narrowing: Called with each new narrowing; set by the storage.
        bound_to: Why opening the same configuration again gives other objects, for the error of a
            storage that is pickled or copied; empty if it gives the same ones.
    """

    provider: str
    capabilities: Capabilities
    preferred_checksum: ChecksumAlgorithm | None = None
    unproven: frozenset[Condition] = frozenset()
    narrowed: tuple[Narrowing, ...] = ()
    on_narrowing: Callable[[Narrowing], None] | None = None
    bound_to: str = ""

    def narrow(self, feature: str, reason: str, **changes: Any) -> None:
        """
        Record that this endpoint does not support *feature*, once for each feature.

        *changes* are fields of :class:`Capabilities` with their new values. They hold
        from now on; ``Storage.describe`` and the debug log say why.
        """
        if any(known.feature == feature for known in self.narrowed):
            return
        narrowing = Narrowing(feature, reason, changes)
        self.capabilities = replace(self.capabilities, **changes)
        self.narrowed = (*self.narrowed, narrowing)
        if self.on_narrowing is not None:
            self.on_narrowing(narrowing)

    async def prepare(self) -> None:  # noqa: B027 - most drivers know all that they need
        """
        Read what the configuration of the provider's own tools says, before operations are planned; sends nothing.

        A storage that is not opened with ``async with`` does not call it: the first request then does the same.

        Raises:
            ConfigurationError: It cannot be read.
        """

    def check_target(self, uri: ObjectURI) -> None:  # noqa: B027 - most drivers write anywhere
        """
        Refuse to write or delete at *uri*, if that is known before anything is sent.

        Raises:
            StorageError: Nothing can be written there.
        """

    @abstractmethod
    def open_read(self, uri: ObjectURI, options: ReadOptions) -> Coroutine[Any, Any, ReadBody]:
        """
        Send a read and return when the head of the reply has arrived.

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
            IntegrityError: The provider received other bytes than were sent.
        """

    @abstractmethod
    async def delete(self, uri: ObjectURI, options: DeleteOptions) -> None:
        """
        Delete an object; a missing one is not an error unless a condition is set.
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
        Return one page of keys that start with ``prefix.key``, in byte order if
        ``capabilities.sorted_listing``.

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
        Replace all tags of an object by *tags*, at most ``capabilities.tags``.

        Raises:
            NotFoundError: No such object.
            InvalidRequestError: The provider does not accept a key or value.
        """
        raise self._unsupported("set_tags")

    async def set_retention(
        self,
        uri: ObjectURI,
        retention: Retention | None,
        version_id: str | None = None,
        *,
        bypass: bool = False,
    ) -> None:
        """
        Replace the retention of an object or version; ``None`` removes it.

        Args:
            bypass: Whether a retention in governance mode may be shortened or removed.

        Raises:
            NotFoundError: No such object or version.
            PermissionDeniedError: The retention may not be shortened or removed.
        """
        raise self._unsupported("set_retention")

    async def set_legal_hold(self, uri: ObjectURI, held: bool, version_id: str | None = None) -> None:
        """
        Set or end the legal hold of an object or version.

        Raises:
            NotFoundError: No such object or version.
        """
        raise self._unsupported("set_legal_hold")

    async def delete_batch(self, uris: Sequence[ObjectURI]) -> Sequence[StorageError | None]:
        """
        Delete up to ``capabilities.delete_batch_size`` objects of one bucket.

        Returns an outcome for each of *uris*, in their order; ``None`` means
        deleted or missing, :class:`NotInBatchError` that the reply does not prove either.

        Raises:
            NotSupportedError: This endpoint does not support batch deletion; the engine
                then deletes one by one.
        """
        raise self._unsupported("delete_batch")

    async def copy(
        self, source: ObjectURI, target: ObjectURI, options: CopyOptions
    ) -> ObjectInfo | Pending[ObjectInfo]:
        """
        Start a copy of up to ``capabilities.max_copy_size`` bytes inside the provider.

        ``options.storage_class`` is the class of the copy, or that of the source: used only if
        ``capabilities.copy_keeps`` lists it.
        """
        raise self._unsupported("copy")

    async def initiate_multipart_upload(self, uri: ObjectURI, options: WriteOptions) -> str:
        """
        Start a multipart upload and return its id.
        """
        raise self._unsupported("initiate_multipart_upload")

    async def upload_part(
        self, uri: ObjectURI, upload_id: str, number: int, body: Body, options: WriteOptions
    ) -> Part | Pending[Part]:
        """
        Write part *number* (from 1); the same number replaces it.
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
    ) -> ObjectInfo | Pending[ObjectInfo]:
        """
        Assemble the object from *parts*, in the order of their numbers.

        *checksum* is that of the whole object; a provider that can compare it does so
        before the object appears.

        Raises:
            NotFoundError: No such upload.
            InvalidRequestError: A part is missing, too small or different.
            AlreadyExistsError, PreconditionFailedError: A condition did not hold.
            IntegrityError: The object does not match *checksum*.
        """
        raise self._unsupported("complete_multipart_upload")

    async def abort_multipart_upload(self, uri: ObjectURI, upload_id: str) -> None:
        """
        Abort an upload and delete its parts; a missing upload is not an error.
        """
        raise self._unsupported("abort_multipart_upload")

    async def list_parts(self, uri: ObjectURI, upload_id: str, token: str | None) -> PartPage:
        """
        Return one page of the parts of an upload, by number.

        An interrupted upload is resumed from this: parts have the ``etag`` that
        :meth:`upload_part` returned, and their checksum if the provider reports it.
        """
        raise self._unsupported("list_parts")

    async def list_multipart_uploads(self, prefix: ObjectURI, token: str | None) -> MultipartUploadPage:
        """
        Return one page of the unfinished uploads whose keys start with ``prefix.key``.
        """
        raise self._unsupported("list_multipart_uploads")

    async def checksum_of_parts(self, uri: ObjectURI, info: Metadata) -> Checksum | None:
        """
        Return the checksum of the version that *info* describes, from those of the parts that it was made of.

        ``None`` if they are not known. Only with ``capabilities.part_checksums``.
        """
        raise self._unsupported("checksum_of_parts")

    async def advance(self, pending: Pending[T]) -> T | Pending[T] | StorageError:
        """
        Send the next request of an operation that returned *pending*.

        Returns the result, the next pending request, or the error with which the provider
        aborted the operation: it is then undone, and a copy is restarted if the error is retryable.

        Raises:
            StorageError: The request itself failed; the same one is retried.
        """
        raise self._unsupported("advance")

    async def undo(self, pending: Pending[T], error: BaseException) -> Pending[T] | None:
        """
        Send the next request that undoes an operation, if any; one that has ended is not an error.

        Called until it returns ``None``, first with the last *pending* of
        :meth:`advance`, then with its own result. *error* is why: a :class:`StorageError`
        with a status was a reply to the last step; after any other one, that step may
        still take place. The parts of a multipart upload are left to
        :meth:`abort_multipart_upload`.
        """
        return None

    async def sign(
        self, method: str, uri: ObjectURI, expires: timedelta, options: PresignOptions = PLAIN_PRESIGN
    ) -> PresignedURL:
        """
        Return a presigned URL: anyone who has it can do *method*, as *options* say, until it expires.

        Of *options*, those in ``capabilities.presign_options`` that *method* can have are set.
        """
        raise self._unsupported("sign")

    async def sign_post(self, uri: ObjectURI, expires: timedelta, options: PostOptions) -> PresignedPost:
        """
        Return a presigned form: anyone who has it can upload to *uri*, as *options* say, until it expires.
        """
        raise self._unsupported("sign_post")

    def native(self) -> AbstractAsyncContextManager[Any]:
        """
        Open the provider's own SDK client, on the same endpoint and credentials.
        """
        raise self._unsupported("native")

    @property
    def credentials(self) -> Any:
        """
        The :class:`~asyncstore.auth.credentials.Credentials` of requests; ``None`` without authentication.
        """
        return None

    def describe(self) -> dict[str, str]:
        """
        Return what was resolved (endpoint, region, ...) for people to read, without secrets.
        """
        return {}

    def service_time(self) -> float:
        """
        Return the service's present time in seconds since the epoch, by its last refusal.

        The times that it stores with objects are compared with it. By default, this machine's time.
        """
        return time.time()

    def classify(self, error: Exception) -> StorageError | None:
        """
        Turn an error of the transport into a :class:`StorageError`; ``None`` for any other error.
        """
        return None

    async def aclose(self) -> None:  # noqa: B027 - most drivers hold something, memory does not
        """
        Release connections and credentials; may be called twice.
        """

    def _unsupported(self, op: str) -> NotSupportedError:
        return NotSupportedError(f"{self.provider} does not support {op}", op=op, provider=self.provider)

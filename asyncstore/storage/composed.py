"""
Verbs made of several others: move and update.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, Unpack

from asyncstore._support.argument_types import check_argument
from asyncstore.driver import Driver
from asyncstore.encryption import Encryption, key_of
from asyncstore.engine import lost_replies
from asyncstore.engine.conditions import prove
from asyncstore.engine.copy import copy
from asyncstore.engine.download.read import read
from asyncstore.engine.download.verify import compare_copy, strong_etag
from asyncstore.engine.existing import exists
from asyncstore.engine.progress import measured
from asyncstore.engine.requests import Requests
from asyncstore.engine.upload.stream_source import in_memory
from asyncstore.engine.upload.upload import put
from asyncstore.errors import (
    IntegrityError,
    InvalidRequestError,
    NotFoundError,
    NotSupportedError,
    PreconditionFailedError,
    SourceChangedError,
    StorageError,
)
from asyncstore.keywords import CopyFields, UploadFields, merged
from asyncstore.options import PLAIN_READ, CopyOptions, DeleteOptions, ReadOptions, UploadOptions
from asyncstore.protocols import ProgressSink
from asyncstore.storage.arguments import Checks
from asyncstore.types import UNKNOWN, CopyResult, Metadata, WriteResult
from asyncstore.uri import ObjectURI, URILike

#: Takes the current bytes of an object, or ``None`` if it does not exist, and returns the new ones.
Change = Callable[[bytes | None], bytes | Awaitable[bytes]]

_COPY: Final = CopyOptions()
_UPLOAD: Final = UploadOptions()

# Seconds between two attempts at an update, at most: the others need no longer for theirs.
_MAX_WAIT: Final = 1.0


class ComposedVerbs:
    """
    The verbs that need several requests whatever the provider.
    """

    _driver: Driver
    _requests: Requests
    _checks: Checks

    async def move(
        self,
        source: URILike,
        target: URILike,
        *,
        options: CopyOptions = _COPY,
        progress: ProgressSink | None = None,
        **fields: Unpack[CopyFields],
    ) -> CopyResult:
        """
        Copy an object inside the provider, then delete the source, if it is still the one that was copied.

        No provider does both at once: after an error or a cancellation both objects can be there, and never neither.
        What the copy keeps is as in :meth:`copy`. In a bucket that keeps versions, the old ones of the source stay.

        Args:
            progress: Called in the event loop with cumulative counts, as in :meth:`copy`; must not block.

        Raises:
            NotFoundError: The source does not exist, or another program moved or deleted it after it had been
                copied. In that case the copy stays at *target*: of two concurrent moves of an object one fails so.
            AlreadyExistsError: *target* exists, and ``options.if_none_match`` is set.
            InvalidRequestError: Source and target are the same, or ``options.source_version_id`` is set.
            SourceChangedError: The source was replaced meanwhile. Both objects are there.
            IntegrityError: The copy has another size or checksum than the source, which is not deleted.
            NotSupportedError: The provider does not copy objects.
        """
        options = merged(options, CopyOptions, fields)
        origin, uri = self._checks.target(source), self._checks.target(target)
        self._checks.copy(options)
        if origin == uri:
            raise InvalidRequestError("source and target are the same object", uri=str(origin))
        if options.source_version_id is not None:
            raise InvalidRequestError("move() takes no source_version_id: copy that version, then delete it")
        looked = ReadOptions(if_match=options.source_if_match, encryption=options.source_encryption)
        with measured(progress, uri) as meter:
            info = await self._requests("move", origin, self._driver.stat, origin, looked, on_retry=meter.retried)
            copied = await copy(self._requests, origin, uri, options, meter, info=info)
            if copied.size == UNKNOWN:
                await self._look_at_copy(uri, info, options.encryption)
            try:
                await self._delete_moved(origin, uri, info, options.source_encryption)
            except StorageError as exc:
                exc.add_note(f"the copy is complete: {uri}")
                raise
        return copied

    async def _look_at_copy(self, target: ObjectURI, info: Metadata, encryption: Encryption | None) -> None:
        """
        Compare a copy whose size the provider did not say with its source, before that is deleted.
        """
        found = await self._requests("move", target, self._driver.stat, target, _keyed(encryption))
        with self._requests.error_context("move", target):
            compare_copy(info, found)
            if found.size == UNKNOWN != info.size:
                raise IntegrityError(
                    "the provider does not say the size of the copy, so its source is not deleted",
                    expected=f"{info.size} bytes",
                    actual="no size",
                )

    async def _delete_moved(
        self, source: ObjectURI, target: ObjectURI | Path, info: Metadata, encryption: Encryption | None
    ) -> None:
        """
        Delete an object that was copied to *target*, if it is still the one of *info*.
        """
        etag = strong_etag(info)
        try:
            if etag is not None and self._driver.capabilities.conditional_delete:
                await lost_replies.delete(self._requests, source, DeleteOptions(if_match=etag))
                return
            again = await self._requests("move", source, self._driver.stat, source, _keyed(encryption))
            if (again.etag, again.size, again.last_modified) != (info.etag, info.size, info.last_modified):
                raise PreconditionFailedError
            await lost_replies.delete(self._requests, source, DeleteOptions())
        except PreconditionFailedError as exc:
            if not await exists(self._requests, source, encryption):
                raise self._vanished(source, target) from exc
            raise SourceChangedError(
                "the object was replaced after it had been copied, and was not deleted",
                op="move",
                uri=str(source),
                provider=self._driver.provider,
            ) from exc
        except NotFoundError as exc:
            raise self._vanished(source, target) from exc

    def _vanished(self, source: ObjectURI, target: ObjectURI | Path) -> NotFoundError:
        # The copy stays: its ETag can be that of the same bytes, which another move has put there.
        return NotFoundError(
            f"another program moved or deleted the object after it had been copied to {target}, where the copy stays",
            op="move",
            uri=str(source),
            provider=self._driver.provider,
        )

    async def update(
        self,
        uri: URILike,
        change: Change,
        *,
        attempts: int = 100,
        options: UploadOptions = _UPLOAD,
        **fields: Unpack[UploadFields],
    ) -> WriteResult:
        """
        Replace the bytes of an object by what *change* makes of them, without losing anybody else's update.

        ::

            def increment(count: bytes | None) -> bytes:
                return str(int(count or 0) + 1).encode()

            await storage.update("counter", increment)

        The object is read, and written only if it is still the same (compare-and-swap); otherwise both are done again.
        Headers and metadata are those of *options*, not those of the object. An exception of *change*
        leaves the object as it is, and so does a cancellation before the write.

        Args:
            change: Called in the event loop with the current bytes, or with ``None`` if the object does not exist.
                Returns the new bytes, or an awaitable of them. It may be called several times.
            attempts: How often the object is read and written at most, including the first time.

        Raises:
            PreconditionFailedError: Others wrote first in all *attempts*.
            UnavailableError: Transient faults outlasted the retries; or the reply to a write was lost and nothing tells
                whether it was carried out, so that the update may have been applied.
            NotSupportedError: The provider has no conditional writes, or this endpoint ignores them.
        """
        target = self._checks.target(uri)
        options = merged(options, UploadOptions, fields)
        self._checks.write(options)
        if options.if_match is not None or options.if_none_match is not None:
            raise InvalidRequestError("update() takes no if_match and no if_none_match: it sets them itself")
        check_argument("attempts", attempts, int)
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {attempts}")
        if not callable(change):
            raise TypeError(f"change takes a function, not {type(change).__name__}")
        able = self._driver.capabilities
        self._checks.require(
            "conditional writes, which update() needs", able.conditional_create and able.conditional_replace
        )
        attempt = 1
        while True:
            current, conditional = await self._current(target, options)
            new = change(current)
            data = await new if inspect.isawaitable(new) else new
            if in_memory(data) is None:
                raise TypeError(f"change must return bytes, not {type(data).__name__}")
            try:
                return await put(self._requests, target, data, conditional)
            except PreconditionFailedError as exc:
                if exc.ambiguous:
                    # Another program may have written what it made of ours: a second time would be one too many.
                    reason = "the object has been written or deleted since"
                    raise lost_replies.in_doubt(self._requests, "update", target, reason) from exc
                if attempt >= attempts:
                    exc.add_note(f"others wrote first in {attempts} attempts")
                    raise
                wait = min(_MAX_WAIT, self._requests.retry.backoff(exc, attempt))
            attempt += 1
            await self._requests.retry.sleep(wait)

    async def _current(self, target: ObjectURI, options: UploadOptions) -> tuple[bytes | None, UploadOptions]:
        """
        Return the current bytes of an object, and *options* with the condition that they are still the same.
        """
        try:
            body, data = await read(self._requests, target, _keyed(options.encryption))
        except NotFoundError:
            await prove(self._requests, "update", target, "create")
            return None, replace(options, if_none_match="*")
        etag = None if body is None else strong_etag(body.info)
        if etag is None:
            raise NotSupportedError(
                "the object has no ETag that a write could depend on",
                op="update",
                uri=str(target),
                provider=self._driver.provider,
            )
        await prove(self._requests, "update", target, "replace")
        return data, replace(options, if_match=etag)


def _keyed(encryption: Encryption | None) -> ReadOptions:
    """
    Return how to read an object that was written with *encryption*.
    """
    key = key_of(encryption)
    return PLAIN_READ if key is None else ReadOptions(encryption=key)

"""
Multipart uploads, request by request.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from asyncstore.errors import InvalidRequestError, NotFoundError, StorageError
from asyncstore.options import UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, requires, tagged, unfinished_uploads
from asyncstore.testing.conformance.payloads import payload
from asyncstore.types import Part
from asyncstore.uri import ObjectURI


class Multipart(Harness):
    """
    Initiate, upload parts, complete, abort, and list parts and uploads.
    """

    @requires("multipart")
    async def test_parts_make_the_object(self, storage: Storage) -> None:
        """
        Parts are joined in the order of their numbers, whatever order they were sent in.
        """
        target, upload_id = await self._initiate(storage)
        data = self._parts(storage, 3)
        parts = [await self._send_part(storage, target, upload_id, number, data[number - 1]) for number in (3, 1, 2)]

        info = await storage.complete_multipart_upload(target, upload_id, sorted(parts, key=lambda part: part.number))

        found = await storage.stat(target)
        assert await storage.read(target) == b"".join(data)
        assert (info.uri, info.size, info.etag) == (found.uri, found.size, found.etag)
        assert await unfinished_uploads(storage) == []

    @requires("multipart")
    async def test_order_of_the_list_does_not_matter(self, storage: Storage) -> None:
        """
        A completion can list the parts in any order.
        """
        target, upload_id = await self._initiate(storage)
        data = self._parts(storage, 2)
        parts = [await self._send_part(storage, target, upload_id, number, data[number - 1]) for number in (2, 1)]

        await storage.complete_multipart_upload(target, upload_id, parts)

        assert await storage.read(target) == b"".join(data)

    @requires("multipart")
    async def test_part_sent_again_replaces(self, storage: Storage) -> None:
        """
        A part that is sent again replaces the earlier part with its number.
        """
        target, upload_id = await self._initiate(storage)
        await self._send_part(storage, target, upload_id, 1, b"old")
        part = await self._send_part(storage, target, upload_id, 1, b"new")

        await storage.complete_multipart_upload(target, upload_id, [part])

        assert await storage.read(target) == b"new"

    @requires("multipart")
    async def test_part_left_out(self, storage: Storage) -> None:
        """
        Parts that the completion does not list are left out; numbers can have gaps.
        """
        target, upload_id = await self._initiate(storage)
        first, last = self._parts(storage, 2)
        parts = [
            await self._send_part(storage, target, upload_id, 1, first),
            await self._send_part(storage, target, upload_id, 5, b"left out"),
            await self._send_part(storage, target, upload_id, 7, last),
        ]

        await storage.complete_multipart_upload(target, upload_id, [parts[0], parts[2]])

        assert await storage.read(target) == first + last
        assert await unfinished_uploads(storage) == []

    @requires("multipart")
    async def test_wrong_etag_is_refused(self, storage: Storage) -> None:
        """
        A part with another ETag fails the completion, and the upload remains.
        """
        target, upload_id = await self._initiate(storage)
        part = await self._send_part(storage, target, upload_id, 1, b"data")
        wrong = Part(1, "0" * 32, part.size)

        with pytest.raises(InvalidRequestError):
            await storage.complete_multipart_upload(target, upload_id, [wrong])

        assert not await storage.exists(target)
        assert await unfinished_uploads(storage) == [target.key]

    @requires("multipart")
    async def test_missing_part_is_refused(self, storage: Storage) -> None:
        """
        A completion that lists a part that was never sent fails.
        """
        target, upload_id = await self._initiate(storage)
        part = await self._send_part(storage, target, upload_id, 1, self._parts(storage, 1)[0])

        with pytest.raises(InvalidRequestError):
            await storage.complete_multipart_upload(target, upload_id, [part, Part(2, part.etag, part.size)])

        assert not await storage.exists(target)

    @requires("multipart")
    @tagged("small-parts")
    async def test_small_part_in_the_middle_is_refused(self, storage: Storage) -> None:
        """
        Only the last part can be smaller than the provider's minimum.
        """
        if storage.capabilities.min_part_size <= 1:
            pytest.xfail(f"{storage.provider} accepts parts of any size")
        target, upload_id = await self._initiate(storage)
        parts = [await self._send_part(storage, target, upload_id, number, b"small") for number in (1, 2)]

        with pytest.raises(InvalidRequestError):
            await storage.complete_multipart_upload(target, upload_id, parts)

    @requires("multipart")
    async def test_parts_are_listed(self, storage: Storage) -> None:
        """
        The parts that were sent are listed by number.
        """
        target, upload_id = await self._initiate(storage)
        sent = {n: await self._send_part(storage, target, upload_id, n, b"x" * n) for n in (3, 1, 10, 2)}

        listed = [part async for part in storage.list_parts(target, upload_id)]

        assert [(part.number, part.size, part.etag) for part in listed] == [
            (number, number, sent[number].etag) for number in (1, 2, 3, 10)
        ]

    @requires("multipart")
    async def test_listed_parts_complete(self, storage: Storage) -> None:
        """
        The listed parts complete an upload, so another process can finish it.
        """
        target, upload_id = await self._initiate(storage)
        data = self._parts(storage, 2)
        for number in (2, 1):
            await self._send_part(storage, target, upload_id, number, data[number - 1])

        parts = [part async for part in storage.list_parts(target, upload_id)]
        await storage.complete_multipart_upload(target, upload_id, parts)

        assert await storage.read(target) == b"".join(data)

    @requires("multipart")
    async def test_uploads_are_listed(self, storage: Storage) -> None:
        """
        Unfinished uploads are listed under a raw prefix, also several of one key.
        """
        initiated = [await self._initiate(storage, key) for key in ("b/1", "a", "b/1", "b-2")]
        for target, upload_id in initiated:
            await self._send_part(storage, target, upload_id, 1, b"data")

        listed = [(one.uri, one.upload_id) async for one in storage.list_multipart_uploads()]
        under = [one.uri async for one in storage.list_multipart_uploads(storage.root / "b/")]

        assert sorted(listed, key=str) == sorted(initiated, key=str)
        assert under == [storage.root / "b/1", storage.root / "b/1"]

    @requires("multipart")
    async def test_sweep_aborts_unfinished_uploads(self, storage: Storage, faulty: Storage) -> None:
        """
        Another storage aborts what is old enough, below a directory or everywhere.
        """
        for key in ("b/1", "a", "b/1", "b-2"):
            await self._send_part(storage, *await self._initiate(storage, key), 1, b"data")
        hour = timedelta(hours=1)

        too_young = await faulty.sweep_uploads(older_than=hour)
        below = await faulty.sweep_uploads(faulty.root / "b", older_than=timedelta(0))
        left = [one.uri.key async for one in storage.list_multipart_uploads()]
        everywhere = await faulty.sweep_uploads(older_than=timedelta(0))

        assert (too_young.done, too_young.skipped) == (0, 4)
        assert (below.done, below.skipped) == (2, 0)
        assert sorted(left) == sorted((storage.root / key).key for key in ("a", "b-2"))
        assert everywhere.done == 2
        assert [one async for one in storage.list_multipart_uploads()] == []

    @requires("multipart", "empty_uploads")
    async def test_uploads_without_a_part_are_listed(self, storage: Storage) -> None:
        """
        An upload is listed as soon as it is initiated.
        """
        initiated = [await self._initiate(storage, key) for key in ("b/1", "a", "b/1")]

        listed = [(one.uri, one.upload_id) async for one in storage.list_multipart_uploads()]

        assert sorted(listed, key=str) == sorted(initiated, key=str)

    @requires("multipart")
    async def test_abort(self, storage: Storage) -> None:
        """
        An aborted upload is gone, with its parts; aborting again is harmless.
        """
        target, upload_id = await self._initiate(storage)
        part = await self._send_part(storage, target, upload_id, 1, b"data")

        await storage.abort_multipart_upload(target, upload_id)
        await storage.abort_multipart_upload(target, upload_id)

        assert await unfinished_uploads(storage) == []
        assert not await storage.exists(target)
        with pytest.raises(NotFoundError):
            await storage.complete_multipart_upload(target, upload_id, [part])
        with pytest.raises(NotFoundError):
            await self._send_part(storage, target, upload_id, 2, b"data")

    @requires("multipart")
    async def test_abort_of_an_empty_upload(self, storage: Storage) -> None:
        """
        An upload without parts can be aborted.
        """
        target, upload_id = await self._initiate(storage)

        await storage.abort_multipart_upload(target, upload_id)

        assert await unfinished_uploads(storage) == []

    @requires("multipart")
    async def test_nothing_is_seen_before_completion(self, storage: Storage) -> None:
        """
        Before its completion, an upload is not visible to stat, read or list.
        """
        target, upload_id = await self._initiate(storage)
        await self._send_part(storage, target, upload_id, 1, b"data")

        assert not await storage.exists(target)
        assert await keys_of(storage) == []
        with pytest.raises(NotFoundError):
            await storage.read(target)

    @requires("multipart", "independent_uploads")
    async def test_racing_uploads_do_not_mix(self, storage: Storage) -> None:
        """
        Of two interleaved uploads to one key, the one completed last is the object, whole.
        """
        target, one = await self._initiate(storage)
        _, other = await self._initiate(storage)
        data = {one: self._parts(storage, 2, seed=1), other: self._parts(storage, 2, seed=2)}
        parts: dict[str, list[Part]] = {one: [], other: []}
        for number in (1, 2):
            for upload_id in (one, other):
                sent = await self._send_part(storage, target, upload_id, number, data[upload_id][number - 1])
                parts[upload_id].append(sent)

        await storage.complete_multipart_upload(target, other, parts[other])
        first = await storage.read(target)
        await storage.complete_multipart_upload(target, one, parts[one])

        assert first == b"".join(data[other])
        assert await storage.read(target) == b"".join(data[one])
        assert await unfinished_uploads(storage) == []

    @requires("multipart")
    async def test_unknown_upload_id_is_refused(self, storage: Storage) -> None:
        """
        A part of an upload that does not exist is refused.
        """
        target, upload_id = await self._initiate(storage)

        with pytest.raises(StorageError) as failure:
            await self._send_part(storage, target, f"{upload_id[:-4]}0000", 1, b"data")

        assert isinstance(failure.value, NotFoundError | InvalidRequestError)

    @requires("multipart")
    @pytest.mark.parametrize("number", [0, -1])
    async def test_impossible_part_number_is_refused(self, storage: Storage, number: int) -> None:
        """
        Part numbers below 1 or above the provider's maximum are refused.
        """
        target, upload_id = await self._initiate(storage)

        with pytest.raises(InvalidRequestError):
            await self._send_part(storage, target, upload_id, number, b"data")
        with pytest.raises(InvalidRequestError):
            await self._send_part(storage, target, upload_id, storage.capabilities.max_parts + 1, b"data")

    @requires("multipart", "metadata", "content_type")
    async def test_attributes_come_from_the_initiation(self, storage: Storage) -> None:
        """
        The object has the attributes with which the upload was initiated.
        """
        target = storage.root / "key"
        options = UploadOptions(content_type="image/png", metadata={"a": "1"})
        upload_id = await storage.initiate_multipart_upload(target, options=options)
        part = await storage.upload_part(target, upload_id, 1, b"data", options=options)
        await storage.complete_multipart_upload(target, upload_id, [part], options=options)

        found = await storage.stat(target)

        assert (found.content_type, found.metadata) == ("image/png", {"a": "1"})

    async def _initiate(self, storage: Storage, key: str = "key") -> tuple[ObjectURI, str]:
        target = storage.root / key
        return target, await storage.initiate_multipart_upload(target)

    async def _send_part(self, storage: Storage, target: ObjectURI, upload_id: str, number: int, data: bytes) -> Part:
        return await storage.upload_part(target, upload_id, number, data)

    def _parts(self, storage: Storage, count: int, seed: int = 0) -> list[bytes]:
        size = self.part_size(storage)
        return [payload(size, seed=10 * seed + number) for number in range(count - 1)] + [b"the last one"]

"""
Group L: uploads by parts, ordered by the caller.
"""

from __future__ import annotations

import pytest

from asyncstore.errors import InvalidRequestError, NotFoundError, StorageError
from asyncstore.options import UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, requires, tagged, unfinished
from asyncstore.testing.conformance.payloads import payload
from asyncstore.types import Part
from asyncstore.uri import ObjectURI


class Multipart(Harness):
    """
    The six requests, one by one.
    """

    @requires("multipart")
    async def test_parts_make_the_object(self, storage: Storage) -> None:
        """
        Parts sent in any order make the object in the order of their numbers.
        """
        target, upload_id = await self._begun(storage)
        data = self._parts(storage, 3)
        parts = [await self._sent(storage, target, upload_id, number, data[number - 1]) for number in (3, 1, 2)]

        info = await storage.complete_multipart_upload(target, upload_id, sorted(parts, key=lambda part: part.number))

        found = await storage.stat(target)
        assert await storage.read(target) == b"".join(data)
        assert (info.uri, info.size, info.etag) == (found.uri, found.size, found.etag)
        assert await unfinished(storage) == []

    @requires("multipart")
    async def test_order_of_the_list_does_not_matter(self, storage: Storage) -> None:
        """
        Parts may be named in any order when an upload is completed.
        """
        target, upload_id = await self._begun(storage)
        data = self._parts(storage, 2)
        parts = [await self._sent(storage, target, upload_id, number, data[number - 1]) for number in (2, 1)]

        await storage.complete_multipart_upload(target, upload_id, parts)

        assert await storage.read(target) == b"".join(data)

    @requires("multipart")
    async def test_part_sent_again_replaces(self, storage: Storage) -> None:
        """
        Of two parts with one number the later one counts.
        """
        target, upload_id = await self._begun(storage)
        await self._sent(storage, target, upload_id, 1, b"old")
        part = await self._sent(storage, target, upload_id, 1, b"new")

        await storage.complete_multipart_upload(target, upload_id, [part])

        assert await storage.read(target) == b"new"

    @requires("multipart")
    async def test_part_left_out(self, storage: Storage) -> None:
        """
        Parts that are not named do not belong to the object; numbers may have gaps.
        """
        target, upload_id = await self._begun(storage)
        first, last = self._parts(storage, 2)
        parts = [
            await self._sent(storage, target, upload_id, 1, first),
            await self._sent(storage, target, upload_id, 5, b"left out"),
            await self._sent(storage, target, upload_id, 7, last),
        ]

        await storage.complete_multipart_upload(target, upload_id, [parts[0], parts[2]])

        assert await storage.read(target) == first + last
        assert await unfinished(storage) == []

    @requires("multipart")
    async def test_wrong_etag_is_refused(self, storage: Storage) -> None:
        """
        A part that is not as named fails the completion; the upload is still there.
        """
        target, upload_id = await self._begun(storage)
        part = await self._sent(storage, target, upload_id, 1, b"data")
        wrong = Part(1, "0" * 32, part.size)

        with pytest.raises(InvalidRequestError):
            await storage.complete_multipart_upload(target, upload_id, [wrong])

        assert not await storage.exists(target)
        assert await unfinished(storage) == [target.key]

    @requires("multipart")
    async def test_missing_part_is_refused(self, storage: Storage) -> None:
        """
        A part that was never sent cannot be named.
        """
        target, upload_id = await self._begun(storage)
        part = await self._sent(storage, target, upload_id, 1, self._parts(storage, 1)[0])

        with pytest.raises(InvalidRequestError):
            await storage.complete_multipart_upload(target, upload_id, [part, Part(2, part.etag, part.size)])

        assert not await storage.exists(target)

    @requires("multipart")
    @tagged("small-parts")
    async def test_small_part_in_the_middle_is_refused(self, storage: Storage) -> None:
        """
        Only the last part may be smaller than the provider's least.
        """
        if storage.capabilities.min_part_size <= 1:
            pytest.xfail(f"{storage.provider} takes parts of any size")
        target, upload_id = await self._begun(storage)
        parts = [await self._sent(storage, target, upload_id, number, b"small") for number in (1, 2)]

        with pytest.raises(InvalidRequestError):
            await storage.complete_multipart_upload(target, upload_id, parts)

    @requires("multipart")
    async def test_parts_are_listed(self, storage: Storage) -> None:
        """
        What was sent is listed by number, over any number of pages.
        """
        target, upload_id = await self._begun(storage)
        sent = {n: await self._sent(storage, target, upload_id, n, b"x" * n) for n in (3, 1, 10, 2)}

        listed = [part async for part in storage.list_parts(target, upload_id)]

        assert [(part.number, part.size, part.etag) for part in listed] == [
            (number, number, sent[number].etag) for number in (1, 2, 3, 10)
        ]

    @requires("multipart")
    async def test_listed_parts_complete(self, storage: Storage) -> None:
        """
        Another process can finish an upload with what is listed.
        """
        target, upload_id = await self._begun(storage)
        data = self._parts(storage, 2)
        for number in (2, 1):
            await self._sent(storage, target, upload_id, number, data[number - 1])

        parts = [part async for part in storage.list_parts(target, upload_id)]
        await storage.complete_multipart_upload(target, upload_id, parts)

        assert await storage.read(target) == b"".join(data)

    @requires("multipart")
    async def test_uploads_are_listed(self, storage: Storage) -> None:
        """
        Unfinished uploads are listed by key, several of one key too, under a raw prefix.
        """
        begun = [await self._begun(storage, key) for key in ("b/1", "a", "b/1", "b-2")]
        for target, upload_id in begun:
            await self._sent(storage, target, upload_id, 1, b"data")

        listed = [(one.uri, one.upload_id) async for one in storage.list_multipart_uploads()]
        under = [one.uri async for one in storage.list_multipart_uploads(storage.root / "b/")]

        assert sorted(listed, key=str) == sorted(begun, key=str)
        assert under == [storage.root / "b/1", storage.root / "b/1"]

    @requires("multipart", "empty_uploads")
    async def test_uploads_without_a_part_are_listed(self, storage: Storage) -> None:
        """
        An upload is there from its beginning.
        """
        begun = [await self._begun(storage, key) for key in ("b/1", "a", "b/1")]

        listed = [(one.uri, one.upload_id) async for one in storage.list_multipart_uploads()]

        assert sorted(listed, key=str) == sorted(begun, key=str)

    @requires("multipart")
    async def test_abort(self, storage: Storage) -> None:
        """
        An upload that is aborted is gone, with its parts; aborting again is harmless.
        """
        target, upload_id = await self._begun(storage)
        part = await self._sent(storage, target, upload_id, 1, b"data")

        await storage.abort_multipart_upload(target, upload_id)
        await storage.abort_multipart_upload(target, upload_id)

        assert await unfinished(storage) == []
        assert not await storage.exists(target)
        with pytest.raises(NotFoundError):
            await storage.complete_multipart_upload(target, upload_id, [part])
        with pytest.raises(NotFoundError):
            await self._sent(storage, target, upload_id, 2, b"data")

    @requires("multipart")
    async def test_abort_of_an_empty_upload(self, storage: Storage) -> None:
        """
        An upload without a part can be aborted.
        """
        target, upload_id = await self._begun(storage)

        await storage.abort_multipart_upload(target, upload_id)

        assert await unfinished(storage) == []

    @requires("multipart")
    async def test_nothing_is_seen_before_completion(self, storage: Storage) -> None:
        """
        Parts are no object: not to stat, not to read, not to a listing.
        """
        target, upload_id = await self._begun(storage)
        await self._sent(storage, target, upload_id, 1, b"data")

        assert not await storage.exists(target)
        assert await keys_of(storage) == []
        with pytest.raises(NotFoundError):
            await storage.read(target)

    @requires("multipart", "independent_uploads")
    async def test_racing_uploads_do_not_mix(self, storage: Storage) -> None:
        """
        Of two uploads to one key that take turns, the one that is completed last is there, whole.
        """
        target, one = await self._begun(storage)
        _, other = await self._begun(storage)
        data = {one: self._parts(storage, 2, seed=1), other: self._parts(storage, 2, seed=2)}
        parts: dict[str, list[Part]] = {one: [], other: []}
        for number in (1, 2):
            for upload_id in (one, other):
                sent = await self._sent(storage, target, upload_id, number, data[upload_id][number - 1])
                parts[upload_id].append(sent)

        await storage.complete_multipart_upload(target, other, parts[other])
        first = await storage.read(target)
        await storage.complete_multipart_upload(target, one, parts[one])

        assert first == b"".join(data[other])
        assert await storage.read(target) == b"".join(data[one])
        assert await unfinished(storage) == []

    @requires("multipart")
    async def test_parts_of_an_other_upload_are_refused(self, storage: Storage) -> None:
        """
        An id belongs to one key, and one that was made up to none.
        """
        target, upload_id = await self._begun(storage)

        with pytest.raises(StorageError) as failure:
            await self._sent(storage, target, f"{upload_id[:-4]}0000", 1, b"data")

        assert isinstance(failure.value, NotFoundError | InvalidRequestError)

    @requires("multipart")
    @pytest.mark.parametrize("number", [0, -1])
    async def test_impossible_part_number_is_refused(self, storage: Storage, number: int) -> None:
        """
        Parts count from 1.
        """
        target, upload_id = await self._begun(storage)

        with pytest.raises(InvalidRequestError):
            await self._sent(storage, target, upload_id, number, b"data")
        with pytest.raises(InvalidRequestError):
            await self._sent(storage, target, upload_id, storage.capabilities.max_parts + 1, b"data")

    @requires("multipart", "metadata", "content_type")
    async def test_attributes_of_the_beginning(self, storage: Storage) -> None:
        """
        What is stored beside the bytes is what the upload was begun with.
        """
        target = storage.root / "key"
        options = UploadOptions(content_type="image/png", metadata={"a": "1"})
        upload_id = await storage.initiate_multipart_upload(target, options=options)
        part = await storage.upload_part(target, upload_id, 1, b"data", options=options)
        await storage.complete_multipart_upload(target, upload_id, [part], options=options)

        found = await storage.stat(target)

        assert (found.content_type, found.metadata) == ("image/png", {"a": "1"})

    async def _begun(self, storage: Storage, key: str = "key") -> tuple[ObjectURI, str]:
        target = storage.root / key
        return target, await storage.initiate_multipart_upload(target)

    async def _sent(self, storage: Storage, target: ObjectURI, upload_id: str, number: int, data: bytes) -> Part:
        return await storage.upload_part(target, upload_id, number, data)

    def _parts(self, storage: Storage, count: int, seed: int = 0) -> list[bytes]:
        size = self.part_size(storage)
        return [payload(size, seed=10 * seed + number) for number in range(count - 1)] + [b"the last one"]

"""
Group A: what is not there, and what is refused before it is tried.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from asyncstore.errors import ConfigurationError, InvalidRequestError, InvalidURIError, NotFoundError
from asyncstore.options import ReadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, requires
from asyncstore.testing.faults import FaultyDriver
from asyncstore.uri import ObjectURI, Provider


class Access(Harness):
    """
    A missing bucket, foreign URIs, arguments that cannot be meant.
    """

    @pytest.mark.parametrize("verb", ["read", "stat", "copy"])
    async def test_missing_bucket_is_not_found(self, storage: Storage, verb: str) -> None:
        """
        Reading from a bucket that is not there says so.
        """
        if verb == "copy" and not storage.capabilities.copy:
            pytest.xfail(f"{storage.provider} does not announce copy")
        target = self._missing(storage) / "key"

        with pytest.raises(NotFoundError):
            await (storage.copy(target, storage.root / "copy") if verb == "copy" else getattr(storage, verb)(target))

    async def test_nothing_exists_in_a_missing_bucket(self, storage: Storage) -> None:
        """
        To ask whether an object exists is no error, wherever it would be.
        """
        assert await storage.exists(self._missing(storage) / "key") is False

    @pytest.mark.parametrize("verb", ["put", "list", "multipart"])
    async def test_missing_bucket_takes_nothing(self, storage: Storage, verb: str) -> None:
        """
        Writing to, or listing, a bucket that is not there says so.
        """
        if self.makes_buckets:
            pytest.xfail(f"{storage.provider} makes buckets as they are used")
        target = self._missing(storage) / "key"

        with pytest.raises(NotFoundError):
            await self._use(storage, target, verb)

    async def test_error_names_the_object(self, storage: Storage) -> None:
        """
        An error can be read without knowing the call: operation, object, provider.
        """
        target = storage.root / "not there"

        with pytest.raises(NotFoundError) as failure:
            await storage.read(target)

        assert (failure.value.op, failure.value.uri, failure.value.provider) == (
            "read",
            str(target),
            storage.provider,
        )
        assert str(target) in str(failure.value)

    @pytest.mark.parametrize("verb", ["read", "stat", "delete", "exists"])
    async def test_other_providers_uri_is_refused(self, faulty: Storage, faults: FaultyDriver, verb: str) -> None:
        """
        A URI of another provider is an error of the caller, and nothing is sent.
        """
        other = Provider.OCI if faulty.provider != Provider.OCI else Provider.S3

        with pytest.raises(InvalidURIError):
            await getattr(faulty, verb)(ObjectURI(other, "bucket", "key"))
        assert not faults.calls

    @pytest.mark.parametrize("text", ["", "key", "no scheme/key", "://bucket/key", None, 7])
    async def test_no_uri_is_refused(self, faulty: Storage, faults: FaultyDriver, text: Any) -> None:
        """
        What is no URI at all is named as such.
        """
        with pytest.raises(InvalidURIError):
            await faulty.read(text)
        assert not faults.calls

    @pytest.mark.parametrize("verb", ["read", "stat", "delete", "put"])
    async def test_no_key_is_refused(self, faulty: Storage, faults: FaultyDriver, verb: str) -> None:
        """
        A bucket is no object.
        """
        if not faulty.root.bucket:
            pytest.xfail(f"{faulty.provider} has no buckets")
        bucket = faulty.root.with_key("")

        with pytest.raises(InvalidURIError):
            await (faulty.put(bucket, b"data") if verb == "put" else getattr(faulty, verb)(bucket))
        assert not faults.calls

    async def test_key_beyond_the_limit_is_refused(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A key of one byte more than the provider allows is refused before it is sent.
        """
        limit = faulty.capabilities.max_key_bytes
        room = limit - len((faulty.root / "").key.encode())

        with pytest.raises(InvalidURIError):
            await faulty.put(faulty.root / ("k" * (room + 1)), b"data")
        assert not faults.calls

    async def test_lone_surrogate_is_refused(self, storage: Storage) -> None:
        """
        A key that cannot be written as UTF-8 is refused.
        """
        with pytest.raises(InvalidURIError):
            _ = storage.root / "\ud800"

    @requires("metadata")
    async def test_too_much_metadata_is_refused(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        Metadata beyond the provider's limit is refused before it is sent.
        """
        options = UploadOptions(metadata={"key": "x" * faulty.capabilities.max_metadata_bytes})

        with pytest.raises(InvalidRequestError):
            await faulty.put(faulty.root / "key", b"data", options=options)
        assert not faults.calls

    @pytest.mark.parametrize(
        "metadata",
        [
            {"Key": "1", "key": "2"},
            {"": "empty"},
            {"key": "line\nbreak"},
            {"key\r": "value"},
            {"key": "nul\0"},
            {"key": 7},
            {b"key": "value"},
        ],
        ids=["twice", "empty", "line-break", "return-in-key", "nul", "number", "bytes"],
    )
    async def test_impossible_metadata_is_refused(self, metadata: Any) -> None:
        """
        Metadata that would be lost or would break a header cannot even be asked for.
        """
        with pytest.raises(ConfigurationError):
            UploadOptions(metadata=metadata)

    async def test_naive_date_is_refused(self) -> None:
        """
        A moment without a time zone could mean two things.
        """
        with pytest.raises(ValueError, match="time zone"):
            ReadOptions(if_modified_since=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point

    async def test_closed_storage_says_so(self, storage: Storage) -> None:
        """
        A storage that was closed refuses to work; closing it again is harmless.
        """
        await storage.put(storage.root / "key", b"data")
        await storage.aclose()
        await storage.aclose()

        with pytest.raises(RuntimeError):
            await storage.read(storage.root / "key")

    async def test_empty_place_is_empty(self, storage: Storage) -> None:
        """
        What the fixture gives has nothing in it, or the suite could not tell whose objects it sees.
        """
        assert await keys_of(storage) == []

    async def _use(self, storage: Storage, target: ObjectURI, verb: str) -> None:
        if verb == "put":
            await storage.put(target, b"data")
        elif verb == "multipart":
            await storage.put(target, self.two_parts(storage), options=self.by_parts(storage))
        else:
            _ = [info async for info in storage.list(target)]

    def _missing(self, storage: Storage) -> ObjectURI:
        found = self.missing_bucket(storage)
        if found is None:
            pytest.xfail(f"{storage.provider} has no buckets")
        return found

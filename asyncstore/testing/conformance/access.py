"""
Missing buckets, and arguments that are refused before any request.
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
    Missing buckets, URIs of other providers, and invalid arguments.
    """

    @pytest.mark.parametrize("verb", ["read", "stat", "copy"])
    async def test_missing_bucket_is_not_found(self, storage: Storage, verb: str) -> None:
        """
        Reading from a missing bucket raises NotFoundError.
        """
        if verb == "copy" and not storage.capabilities.copy:
            pytest.xfail(f"{storage.provider} does not announce copy")
        target = self._missing_bucket(storage) / "key"

        with pytest.raises(NotFoundError):
            await (storage.copy(target, storage.root / "copy") if verb == "copy" else getattr(storage, verb)(target))

    async def test_nothing_exists_in_a_missing_bucket(self, storage: Storage) -> None:
        """
        ``exists`` returns ``False`` in a missing bucket too.
        """
        assert await storage.exists(self._missing_bucket(storage) / "key") is False

    @pytest.mark.parametrize("verb", ["put", "list", "multipart"])
    async def test_missing_bucket_refuses_writes(self, storage: Storage, verb: str) -> None:
        """
        Writing to or listing a missing bucket raises NotFoundError.
        """
        if self.makes_buckets:
            pytest.xfail(f"{storage.provider} creates missing buckets on a write")
        target = self._missing_bucket(storage) / "key"

        with pytest.raises(NotFoundError):
            await self._use(storage, target, verb)

    async def test_error_names_the_object(self, storage: Storage) -> None:
        """
        An error names the operation, the object and the provider.
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
        A URI of another provider is refused before any request.
        """
        other = Provider.OCI if faulty.provider != Provider.OCI else Provider.S3

        with pytest.raises(InvalidURIError):
            await getattr(faulty, verb)(ObjectURI(other, "bucket", "key"))
        assert not faults.calls

    @pytest.mark.parametrize("text", ["", "://bucket/key", "S3://bucket/key", "memory:/bucket/key", None, 7])
    async def test_invalid_uri_is_refused(self, faulty: Storage, faults: FaultyDriver, text: Any) -> None:
        """
        Text that is neither a URI nor a key, and other types, are refused before any request.
        """
        with pytest.raises(InvalidURIError):
            await faulty.read(text)
        assert not faults.calls

    @pytest.mark.parametrize("verb", ["read", "stat", "delete", "put"])
    async def test_uri_without_a_key_is_refused(self, faulty: Storage, faults: FaultyDriver, verb: str) -> None:
        """
        A URI without a key is refused before any request.
        """
        if not faulty.root.bucket:
            pytest.xfail(f"{faulty.provider} has no buckets")
        bucket = faulty.root.with_key("")

        with pytest.raises(InvalidURIError):
            await (faulty.put(bucket, b"data") if verb == "put" else getattr(faulty, verb)(bucket))
        assert not faults.calls

    async def test_key_beyond_the_limit_is_refused(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A key one byte longer than the provider allows is refused before any request.
        """
        limit = faulty.capabilities.max_key_bytes
        room = limit - len((faulty.root / "").key.encode())

        with pytest.raises(InvalidURIError):
            await faulty.put(faulty.root / ("k" * (room + 1)), b"data")
        assert not faults.calls

    async def test_lone_surrogate_is_refused(self, storage: Storage) -> None:
        """
        A key that cannot be encoded as UTF-8 is refused.
        """
        with pytest.raises(InvalidURIError):
            _ = storage.root / "\ud800"

    @requires("metadata")
    async def test_too_much_metadata_is_refused(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        Metadata above the provider's limit is refused before any request.
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
        Metadata that would be lost or would break a header is refused when the options are built.
        """
        with pytest.raises(ConfigurationError):
            UploadOptions(metadata=metadata)

    async def test_naive_date_is_refused(self) -> None:
        """
        A datetime without a time zone is ambiguous, so it is refused.
        """
        with pytest.raises(ValueError, match="time zone"):
            ReadOptions(if_modified_since=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point

    async def test_closed_storage_says_so(self, storage: Storage) -> None:
        """
        A closed storage raises RuntimeError; closing it again is harmless.
        """
        await storage.put(storage.root / "key", b"data")
        await storage.aclose()
        await storage.aclose()

        with pytest.raises(RuntimeError):
            await storage.read(storage.root / "key")

    async def test_storage_starts_empty(self, storage: Storage) -> None:
        """
        The fixture's storage is empty; otherwise the tests would see objects that they did not write.
        """
        assert await keys_of(storage) == []

    async def _use(self, storage: Storage, target: ObjectURI, verb: str) -> None:
        if verb == "put":
            await storage.put(target, b"data")
        elif verb == "multipart":
            await storage.put(target, self.two_parts(storage), options=self.multipart_options(storage))
        else:
            _ = [info async for info in storage.list(target)]

    def _missing_bucket(self, storage: Storage) -> ObjectURI:
        found = self.missing_bucket(storage)
        if found is None:
            pytest.xfail(f"{storage.provider} has no buckets")
        return found

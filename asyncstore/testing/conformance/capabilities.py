"""
Missing capabilities are refused before any request, and announced limits are respected.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from asyncstore.driver import Capabilities
from asyncstore.encryption import Encryption
from asyncstore.errors import InvalidRequestError, NotSupportedError
from asyncstore.options import CopyOptions, DeleteOptions, ReadOptions, UploadOptions
from asyncstore.retention import Retention
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, unfinished_uploads
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm


async def _list_uploads(storage: Storage) -> None:
    async for _ in storage.list_multipart_uploads():
        pass


async def _list_versions(storage: Storage) -> None:
    async for _ in storage.list_versions():
        pass


def _put(**options: Any) -> Callable[[Storage], Awaitable[Any]]:
    return lambda storage: storage.put(storage.root / "key", b"data", options=UploadOptions(**options))


def _read(**options: Any) -> Callable[[Storage], Awaitable[Any]]:
    return lambda storage: storage.read(storage.root / "key", options=ReadOptions(**options))


def _copy(**options: Any) -> Callable[[Storage], Awaitable[Any]]:
    return lambda storage: storage.copy(storage.root / "key", storage.root / "copy", options=CopyOptions(**options))


def _delete(**options: Any) -> Callable[[Storage], Awaitable[Any]]:
    return lambda storage: storage.delete(storage.root / "key", options=DeleteOptions(**options))


_KEY: Final = Encryption.customer_key(bytes(range(32)))
_RETENTION: Final = Retention(datetime(2030, 1, 1, tzinfo=UTC))

#: The capability that is removed, and a call that needs it, by the name of the test case.
_NEEDS: Final[dict[str, tuple[str, Callable[[Storage], Awaitable[Any]]]]] = {
    "copy": ("copy", _copy()),
    "copy-create-only": ("conditional_copy", _copy(if_none_match="*")),
    "copy-if-match": ("conditional_copy", _copy(if_match="x")),
    "create-only": ("conditional_create", _put(if_none_match="*")),
    "replace": ("conditional_replace", _put(if_match="x")),
    "delete-if-match": ("conditional_delete", _delete(if_match="x")),
    "read-if-match": ("conditional_read", _read(if_match="x")),
    "read-if-none-match": ("conditional_read", _read(if_none_match="x")),
    "read-if-modified": ("conditional_read", _read(if_modified_since=datetime(2026, 1, 1, tzinfo=UTC))),
    "read-if-unmodified": ("conditional_read", _read(if_unmodified_since=datetime(2026, 1, 1, tzinfo=UTC))),
    "read-version": ("versions", _read(version_id="x")),
    "delete-version": ("versions", _delete(version_id="x")),
    "list-versions": ("versions", _list_versions),
    "restore-version": ("versions", lambda storage: storage.restore_version(storage.root / "key", "x")),
    "get-tags": ("tags", lambda storage: storage.get_tags(storage.root / "key")),
    "set-tags": ("tags", lambda storage: storage.set_tags(storage.root / "key", {"a": "1"})),
    "put-tags": ("tags", _put(tags={"a": "1"})),
    "copy-tags": ("tags", _copy(tags={"a": "1"})),
    "put-retention": ("object_lock", _put(retention=_RETENTION)),
    "put-legal-hold": ("object_lock", _put(legal_hold=True)),
    "put-acl": ("acls", _put(acl="private")),
    "copy-retention": ("object_lock", _copy(retention=_RETENTION)),
    "copy-legal-hold": ("object_lock", _copy(legal_hold=True)),
    "copy-acl": ("acls", _copy(acl="private")),
    "set-retention": ("object_lock", lambda storage: storage.set_retention(storage.root / "key", _RETENTION)),
    "set-legal-hold": ("object_lock", lambda storage: storage.set_legal_hold(storage.root / "key", held=True)),
    "delete-retained": ("bypass_retention", _delete(bypass_retention=True)),
    "put-encryption": ("encryption_kinds", _put(encryption=_KEY)),
    "read-key": ("encryption_kinds", _read(encryption=_KEY)),
    "copy-encryption": ("encryption_kinds", _copy(encryption=_KEY)),
    "copy-source-key": ("copy_from_key", _copy(source_encryption=_KEY)),
    "metadata": ("metadata", _put(metadata={"a": "1"})),
    "content-type": ("content_type", _put(content_type="text/plain")),
    "cache-control": ("content_headers", _put(cache_control="no-store")),
    "storage-class": ("storage_classes", _put(storage_class="COLD")),
    "initiate": ("multipart", lambda storage: storage.initiate_multipart_upload(storage.root / "key")),
    "part": ("multipart", lambda storage: storage.upload_part(storage.root / "key", "id", 1, b"")),
    "complete": ("multipart", lambda storage: storage.complete_multipart_upload(storage.root / "key", "id", [])),
    "abort": ("multipart", lambda storage: storage.abort_multipart_upload(storage.root / "key", "id")),
    "list-uploads": ("multipart", _list_uploads),
    "sign": ("sign", lambda storage: storage.presign(storage.root / "key")),
    "sign-version": ("presign_options", lambda storage: storage.presign(storage.root / "key", version_id="x")),
    "sign-form": ("presign_post", lambda storage: storage.presign_post(storage.root / "key")),
}


def _without(able: Capabilities, flag: str) -> Capabilities:
    # Those that are sets or numbers are empty then.
    changed: dict[str, Any] = {flag: type(getattr(able, flag))()}
    return replace(able, **changed)


class CapabilityFlags(Harness):
    """
    The engine plans with the announced capabilities.
    """

    @pytest.mark.parametrize(("flag", "call"), _NEEDS.values(), ids=_NEEDS)
    async def test_missing_capability_is_refused(
        self, faulty: Storage, faults: FaultyDriver, flag: str, call: Callable[[Storage], Awaitable[Any]]
    ) -> None:
        """
        A call that needs a missing capability is refused before any request, and the error names the provider.
        """
        faults.capabilities = _without(faults.capabilities, flag)

        with pytest.raises(NotSupportedError) as failure:
            await call(faulty)

        assert failure.value.provider == faulty.provider
        assert not faults.calls

    @pytest.mark.parametrize("algorithm", list(ChecksumAlgorithm))
    async def test_missing_checksum_is_refused(
        self, faulty: Storage, faults: FaultyDriver, algorithm: ChecksumAlgorithm
    ) -> None:
        """
        A checksum algorithm that is not announced is refused before any request.
        """
        faults.capabilities = replace(faults.capabilities, checksums=frozenset())

        with pytest.raises(NotSupportedError):
            await faulty.put(faulty.root / "key", b"data", options=UploadOptions(checksum=algorithm))
        assert not faults.calls

    async def test_native_client_or_refusal(self, storage: Storage) -> None:
        """
        ``native()`` returns a client that can be opened, or raises NotSupportedError at once.
        """
        try:
            opened = storage.native()
        except NotSupportedError:
            return
        async with opened as client:
            assert client is not None

    async def test_limits_are_stated(self, storage: Storage) -> None:
        """
        The limits are consistent, and name the page that documents them.
        """
        able = storage.capabilities

        assert able.reference.startswith("https://")
        assert 0 < able.max_put_size <= able.max_object_size
        assert able.list_page_size > 0
        if able.multipart:
            assert 1 <= able.min_part_size <= able.max_part_size
            assert able.max_parts >= 1
            assert able.max_parts * able.max_part_size >= able.max_object_size
        if able.copy:
            assert able.max_copy_size > 0

    async def test_object_beyond_the_limit_is_refused(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        An object larger than the provider allows is refused before any request.
        """
        faults.capabilities = replace(faults.capabilities, max_object_size=999, max_put_size=999)

        with pytest.raises(InvalidRequestError):
            await faulty.put(faulty.root / "key", bytes(1000))
        assert not faults.calls

    async def test_without_multipart_one_request_does(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver
    ) -> None:
        """
        Without multipart uploads, an object that fits into one request is written by one.
        """
        part = self.part_size(storage)
        faults.capabilities = replace(faults.capabilities, multipart=False)
        data = payload(part + 9)

        await faulty.put(faulty.root / "key", data, options=self.multipart_options(storage))

        assert faults.calls == {"put": 1}
        assert await storage.read(storage.root / "key") == data

    async def test_without_batches_keys_are_deleted_one_by_one(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver
    ) -> None:
        """
        Without batch deletion, each key is deleted by its own request.
        """
        faults.capabilities = replace(faults.capabilities, delete_batch_size=0)
        for key in "abc":
            await storage.put(storage.root / key, b"data")

        result = await faulty.bulk_delete([faulty.root / key for key in "abc"])

        assert result.done == 3
        assert faults.calls == {"delete": 3}

    async def test_endpoint_without_batches(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        An endpoint that refuses batch deletion gets only one batch request.
        """
        if not storage.capabilities.delete_batch_size:
            pytest.xfail(f"{storage.provider} does not announce delete_batch_size")
        faults.fail("delete_batch", NotSupportedError("this endpoint does not support batch deletion"), times=None)
        keys = [storage.root / key for key in "abc"]
        for _ in range(2):
            for uri in keys:
                await storage.put(uri, b"data")

            result = await faulty.bulk_delete(keys)

            assert result.done == 3
            assert [info async for info in storage.list()] == []
        assert faults.calls == {"delete_batch": 1, "delete": 6}

    async def test_small_batches(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        No batch is larger than announced.
        """
        if not storage.capabilities.delete_batch_size:
            pytest.xfail(f"{storage.provider} does not announce delete_batch_size")
        faults.capabilities = replace(faults.capabilities, delete_batch_size=2)

        result = await faulty.bulk_delete([faulty.root / key for key in "abcde"])

        assert result.done == 5
        assert faults.calls == {"delete_batch": 3}

    async def test_parts_fit_the_limit(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        The part size grows so that the number of parts stays within the provider's limit.
        """
        if not storage.capabilities.multipart:
            pytest.xfail(f"{storage.provider} does not announce multipart")
        part = self.part_size(storage)
        faults.capabilities = replace(faults.capabilities, max_parts=2)
        data = payload(2 * part + 9)

        await faulty.put(faulty.root / "key", data, options=self.multipart_options(storage))

        assert faults.calls["upload_part"] <= 2
        assert await storage.read(storage.root / "key") == data
        assert await unfinished_uploads(storage) == []

"""
Retention, legal holds and access lists, where the provider has them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from asyncstore.errors import InvalidRequestError, NotFoundError, NotSupportedError, PermissionDeniedError
from asyncstore.options import CopyOptions, UploadOptions
from asyncstore.retention import Retention, RetentionMode
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, requires, tagged
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver

# Without a part of a second, which not every provider keeps.
_DAY: Final = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
_GOVERNED: Final = Retention(_DAY)


async def _remove(storage: Storage, key: str, version_id: str | None) -> None:
    """
    Delete an object for good: where versions are kept, that version of it.
    """
    if version_id is None or not storage.capabilities.versions:
        await storage.delete(key)
    else:
        await storage.delete(key, version_id=version_id)


class Retained(Harness):
    """
    What is protected is neither deleted nor replaced, and replies tell that it is protected.
    """

    @tagged("object-lock")
    async def test_object_with_a_retention(self, lockable: Storage) -> None:
        """
        It cannot be deleted before the retention has ended.
        """
        written = await lockable.put("key", b"data", retention=_GOVERNED)

        assert (await lockable.stat("key")).retention == _GOVERNED
        with pytest.raises(PermissionDeniedError):
            await _remove(lockable, "key", written.version_id)
        assert await lockable.read("key") == b"data"

    @tagged("object-lock")
    async def test_retention_is_removed(self, lockable: Storage) -> None:
        """
        A retention in governance mode can be removed by bypassing it, and the object deleted then.
        """
        written = await lockable.put("key", b"data", retention=_GOVERNED)

        await lockable.set_retention("key", None, bypass_retention=True)

        assert (await lockable.stat("key")).retention is None
        await _remove(lockable, "key", written.version_id)
        assert not await lockable.exists("key")

    @tagged("object-lock")
    async def test_object_with_a_legal_hold(self, lockable: Storage) -> None:
        """
        It cannot be deleted before the hold is ended.
        """
        written = await lockable.put("key", b"data", legal_hold=True)

        info = await lockable.stat("key")
        assert (info.legal_hold, info.retention) == (True, None)
        with pytest.raises(PermissionDeniedError):
            await _remove(lockable, "key", written.version_id)
        await lockable.set_legal_hold("key", held=False)
        assert not (await lockable.stat("key")).legal_hold
        await _remove(lockable, "key", written.version_id)
        assert not await lockable.exists("key")

    @requires("multipart")
    @tagged("object-lock")
    async def test_multipart_upload_with_protection(self, lockable: Storage) -> None:
        """
        An object that is made of parts can be protected, too.
        """
        data = self.two_parts(lockable)
        options = self.multipart_options(lockable, retention=_GOVERNED, legal_hold=True)

        await lockable.put("key", data, options=options)

        info = await lockable.stat("key")
        assert (info.retention, info.legal_hold) == (_GOVERNED, True)
        assert await lockable.read("key") == data

    @requires("copy")
    @pytest.mark.parametrize("replaced", [False, True], ids=["kept", "replaced"])
    @tagged("object-lock")
    async def test_copy_with_protection(self, lockable: Storage, replaced: bool) -> None:
        """
        A copy can be protected, and keeps the metadata of its source unless other metadata is given.
        """
        await lockable.put("key", b"data", metadata={"colour": "blue"})
        new = UploadOptions(metadata={"colour": "red"}) if replaced else None

        await lockable.copy("key", "copy", replace=new, retention=_GOVERNED, legal_hold=True)

        info = await lockable.stat("copy")
        assert (info.retention, info.legal_hold) == (_GOVERNED, True)
        assert info.metadata == {"colour": "red" if replaced else "blue"}
        assert (await lockable.stat("key")).retention is None

    @requires("copy", "copy_part", "multipart")
    @tagged("object-lock")
    async def test_large_copy_with_protection(self, lockable: Storage) -> None:
        """
        So can a multipart copy.
        """
        part = self.part_size(lockable)
        await lockable.put("key", payload(part + 9))
        faults = FaultyDriver(lockable._driver)  # noqa: SLF001 - as the fixture faults does
        faults.capabilities = replace(faults.capabilities, max_copy_size=part)
        options = CopyOptions(part_size=part, retention=_GOVERNED, legal_hold=True)

        await self.rewrap(lockable, faults).copy("key", "copy", options=options)

        info = await lockable.stat("copy")
        assert (info.retention, info.legal_hold) == (_GOVERNED, True)

    @tagged("object-lock")
    async def test_retention_of_an_existing_object(self, lockable: Storage) -> None:
        """
        A retention can be set later, and extended; shortened and removed only by bypassing it, where that is checked.
        """
        await lockable.put("key", b"data")
        later = Retention(_DAY + timedelta(days=1))

        await lockable.set_retention("key", _GOVERNED)
        await lockable.set_retention("key", later)

        assert (await lockable.stat("key")).retention == later
        with pytest.raises(PermissionDeniedError):
            await lockable.set_retention("key", _GOVERNED)
        await lockable.set_retention("key", _GOVERNED, bypass_retention=True)
        assert (await lockable.stat("key")).retention == _GOVERNED

    @requires("bypass_retention", "versions")
    @tagged("object-lock")
    async def test_deletion_that_bypasses_a_retention(self, lockable: Storage) -> None:
        """
        A deletion can bypass governance mode, but no legal hold.
        """
        written = await lockable.put("key", b"data", retention=_GOVERNED, legal_hold=True)

        with pytest.raises(PermissionDeniedError):
            await lockable.delete("key", version_id=written.version_id, bypass_retention=True)
        await lockable.set_legal_hold("key", held=False)
        await lockable.delete("key", version_id=written.version_id, bypass_retention=True)

        assert not await lockable.exists("key")

    @tagged("object-lock")
    async def test_protection_of_a_missing_object(self, lockable: Storage) -> None:
        """
        An object that does not exist cannot be protected.
        """
        with pytest.raises(NotFoundError):
            await lockable.set_retention("missing", _GOVERNED)
        with pytest.raises(NotFoundError):
            await lockable.set_legal_hold("missing", held=True)

    @pytest.mark.parametrize("mode", ["governance", "compliance"])
    async def test_protection_is_refused_elsewhere(
        self, faulty: Storage, faults: FaultyDriver, mode: RetentionMode
    ) -> None:
        """
        Where objects cannot be protected, every way to ask for it is refused before any request.
        """
        faults.capabilities = replace(faults.capabilities, object_lock=False)
        retention = Retention(_DAY, mode)
        for call in (
            lambda: faulty.put("key", b"data", retention=retention),
            lambda: faulty.put("key", b"data", legal_hold=True),
            lambda: faulty.copy("key", "copy", retention=retention),
            lambda: faulty.copy("key", "copy", legal_hold=True),
            lambda: faulty.set_retention("key", retention),
            lambda: faulty.set_legal_hold("key", held=True),
        ):
            with pytest.raises(NotSupportedError):
                await call()
        assert not faults.calls

    @requires("acls")
    @tagged("access-lists")
    async def test_access_list(self, storage: Storage) -> None:
        """
        Writes of every kind take an access list.
        """
        await storage.put("key", b"data", acl="private")
        if storage.capabilities.multipart:
            await storage.put("parts", self.two_parts(storage), options=self.multipart_options(storage, acl="private"))
            assert await storage.exists("parts")
        if storage.capabilities.copy:
            await storage.copy("key", "copy", acl="private")
            assert await storage.read("copy") == b"data"
        assert await storage.read("key") == b"data"

    async def test_unknown_access_list_is_refused(self, faulty: Storage, faults: FaultyDriver) -> None:
        """
        An access list that the provider does not have is refused before any request.
        """
        with pytest.raises(NotSupportedError, match="access list"):
            await faulty.put("key", b"data", acl="everybody")
        with pytest.raises((NotSupportedError, InvalidRequestError)):
            await faulty.copy("key", "copy", acl="everybody")
        assert not faults.calls

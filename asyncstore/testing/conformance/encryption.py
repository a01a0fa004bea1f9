"""
Encryption that an operation chooses, where the provider has it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from asyncstore.encryption import Encryption, EncryptionKind
from asyncstore.errors import InvalidRequestError, NotSupportedError, StorageError
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, requires, tagged
from asyncstore.testing.conformance.payloads import payload
from asyncstore.testing.faults import FaultyDriver

_KEY: Final = Encryption.customer_key(bytes(range(32)))
_OTHER: Final = Encryption.customer_key(bytes(range(32, 64)))
_KINDS: Final[dict[EncryptionKind, Encryption]] = {
    "managed": Encryption.managed(),
    "kms": Encryption.kms("key"),
    "customer_key": _KEY,
    "scope": Encryption.scope("scope"),
}


def _needs_keys(storage: Storage) -> None:
    if "customer_key" not in storage.capabilities.encryption_kinds:
        pytest.xfail(f"{storage.provider} does not announce encryption with a customer's key")


class Encrypted(Harness):
    """
    An object that is written with a customer's key is read with it, by every verb that reads.
    """

    @requires("encryption_kinds")
    @tagged("customer-keys")
    async def test_object_with_a_customer_key(self, storage: Storage) -> None:
        """
        The object can be read, in part, too, and looked at with its key; not without, and not with another.
        """
        _needs_keys(storage)
        await storage.put("key", b"data", encryption=_KEY)

        assert await storage.read("key", encryption=_KEY) == b"data"
        assert await storage.read("key", encryption=_KEY, range=(1, 3)) == b"at"
        assert (await storage.stat("key", encryption=_KEY)).size == 4
        for wrong in (None, _OTHER):
            with pytest.raises(StorageError) as failure:
                await storage.read("key", encryption=wrong)
            assert not failure.value.retryable

    @requires("encryption_kinds", "multipart")
    @tagged("customer-keys")
    async def test_multipart_upload_with_a_customer_key(self, storage: Storage, tmp_path: Path) -> None:
        """
        So is one that is made of parts, by one request, by several, as a file and into memory.
        """
        _needs_keys(storage)
        data = self.two_parts(storage)
        options = self.multipart_options(storage, encryption=_KEY)

        await storage.put("key", data, options=options)

        assert await storage.read("key", encryption=_KEY) == data
        await storage.download("key", tmp_path / "file", encryption=_KEY, part_size=len(data) // 3)
        assert (tmp_path / "file").read_bytes() == data
        buffer = bytearray(len(data))
        assert await storage.read_into("key", buffer, encryption=_KEY, part_size=len(data) // 3) == len(data)
        assert buffer == data
        async with storage.open("key", "rb", encryption=_KEY) as file:
            await file.seek(5)
            assert await file.read(4) == data[5:9]

    @requires("encryption_kinds", "copy", "copy_from_key")
    @tagged("customer-keys")
    async def test_copy_between_keys(self, storage: Storage) -> None:
        """
        A copy can have another key than its source, or none.
        """
        _needs_keys(storage)
        await storage.put("key", b"data", encryption=_KEY)

        await storage.copy("key", "other", encryption=_OTHER, source_encryption=_KEY)
        await storage.copy("key", "plain", source_encryption=_KEY)

        assert await storage.read("other", encryption=_OTHER) == b"data"
        assert await storage.read("plain") == b"data"

    @requires("encryption_kinds", "copy", "copy_from_key", "copy_part", "multipart")
    @tagged("customer-keys")
    async def test_large_copy_between_keys(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        So can a multipart copy.
        """
        _needs_keys(storage)
        part = self.part_size(storage)
        data = payload(part + 9)
        await storage.put("key", data, encryption=_KEY)
        faults.capabilities = replace(faults.capabilities, max_copy_size=part)

        await faulty.copy("key", "copy", encryption=_OTHER, source_encryption=_KEY, part_size=part)

        assert await storage.read("copy", encryption=_OTHER) == data

    @pytest.mark.parametrize("kind", _KINDS)
    async def test_other_kinds_are_refused(self, faulty: Storage, faults: FaultyDriver, kind: EncryptionKind) -> None:
        """
        A kind of encryption that is not announced is refused before any request; so is one that a read has no use for.
        """
        if kind not in faulty.capabilities.encryption_kinds:
            with pytest.raises(NotSupportedError):
                await faulty.put("key", b"data", encryption=_KINDS[kind])
        elif kind != "customer_key":
            with pytest.raises(InvalidRequestError, match="customer_key"):
                await faulty.read("key", encryption=_KINDS[kind])
        assert not faults.calls

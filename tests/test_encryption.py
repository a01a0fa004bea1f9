"""
Records of encryption.
"""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncstore import CopyOptions, Encryption, ReadOptions, UploadOptions, WriteOptions, open_storage
from asyncstore.errors import StorageError
from asyncstore.storage import Storage

KEY = b"\x01secret key of thirty-two bytes\x02"
TEXT = base64.b64encode(KEY).decode()

untyped: Any = Encryption


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    async with open_storage("memory://bucket") as storage:
        yield storage


class TestEncryption:
    """Made by its constructors, and checked."""

    def test_key_as_text(self) -> None:
        """
        A key is 32 bytes, or their base64.
        """
        assert Encryption.customer_key(TEXT) == Encryption.customer_key(KEY)
        assert Encryption.customer_key(bytearray(KEY)).key == KEY  # type: ignore[arg-type]  # it is bytes after all

    @pytest.mark.parametrize("key", [b"short", "c2hvcnQ=", "no base64!", KEY + b"x"])
    def test_wrong_key(self, key: bytes | str) -> None:
        """
        Anything else is refused, by an error that does not show it.
        """
        with pytest.raises(ValueError, match="customer key") as failure:
            Encryption.customer_key(key)
        assert (key if isinstance(key, str) else repr(key)) not in str(failure.value)

    @pytest.mark.parametrize(
        "fields",
        [
            {"kind": "customer_key"},
            {"kind": "kms", "key": KEY},
            {"kind": "scope"},
            {"kind": "scope", "name": ""},
            {"kind": "managed", "bucket_key": True},
            {"kind": "managed", "context": {"a": "b"}},
            {"kind": "sse"},
        ],
    )
    def test_fields_that_do_not_fit(self, fields: dict[str, Any]) -> None:
        """
        A record that no constructor makes is refused.
        """
        with pytest.raises(ValueError):
            untyped(**fields)

    def test_key_is_not_shown(self) -> None:
        """
        No repr of a record, or of options that have it, shows the key.
        """
        encryption = Encryption.customer_key(KEY)
        records = (
            encryption,
            ReadOptions(encryption=encryption),
            WriteOptions(encryption=encryption),
            CopyOptions(encryption=encryption, source_encryption=encryption),
        )
        for record in records:
            assert "secret" not in repr(record)
            assert TEXT not in repr(record)


class TestOptions:
    """Where options take it."""

    def test_resume_with_a_key(self) -> None:
        """
        An upload with a key of its own is not recorded, so it cannot be resumed.
        """
        with pytest.raises(ValueError, match="resumed"):
            UploadOptions(encryption=Encryption.customer_key(KEY), resume=True)
        assert UploadOptions(encryption=Encryption.kms("key"), resume=True).resume

    def test_key_on_replace(self) -> None:
        """
        A copy has one place to say how it is encrypted.
        """
        with pytest.raises(ValueError, match="CopyOptions itself"):
            CopyOptions(replace=WriteOptions(encryption=Encryption.managed()))


async def test_update_with_a_key(storage: Storage) -> None:
    """
    An update reads and writes with the key; the error of one without it does not show any.
    """
    key = Encryption.customer_key(KEY)
    for _ in range(2):
        await storage.update("count", lambda old: b"%d" % (int(old or 0) + 1), encryption=key)

    assert await storage.read("count", encryption=key) == b"2"
    with pytest.raises(StorageError) as failure:
        await storage.read("count")
    assert "secret" not in str(failure.value)


async def test_move_with_a_key(storage: Storage) -> None:
    """
    A move takes the key of the source and that of the target.
    """
    one, other = Encryption.customer_key(KEY), Encryption.customer_key(KEY[::-1])
    await storage.put("from", b"data", encryption=one)

    await storage.move("from", "to", source_encryption=one, encryption=other)

    assert await storage.read("to", encryption=other) == b"data"


async def test_key_changes_in_place(storage: Storage) -> None:
    """
    An object that is copied onto itself can have another key afterwards.
    """
    key = Encryption.customer_key(KEY)
    await storage.put("key", b"data")

    await storage.copy("key", "key", encryption=key)

    assert await storage.read("key", encryption=key) == b"data"

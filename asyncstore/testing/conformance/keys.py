"""
Keys are any text, and are never changed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import pytest

from asyncstore.errors import ConfigurationError, InvalidURIError
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, keys_of, relative, requires, top
from asyncstore.uri import ObjectURI

KEYS: Final = {
    "nested": "foo/bar/baz",
    "double-slash": "foo//bar///baz",
    "trailing-slash": "folder/",
    "slash-first": "/foo",
    "slashes-only": "//",
    "dot": "./foo/./bar",
    "dotdot": "../foo/../bar/../../baz../",
    "dots-within": "..foo/.bar/baz...",
    "backslash": "foo\\bar\\baz",
    "backslash-dotdot": "..\\foo\\\\bar\\\\\\baz..\\",
    "backslash-mixed": "..\\foo\\..\\bar/../baz",
    "quotes": "foo\"bar'baz`",
    "spaces": " foo  bar ",
    "digits": "12345",
    "smileys": "☺☺☺",
    "emoji": "flags 🇨🇦🏴‍☠️ and 😀",
    "cjk": "日本語/キー",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "non-bmp": "\U00010000\U0001f600",
    "percent": "100%",
    "percent-slash": "a%2Fb%2fc",
    "percent-twice": "a%252Fb%25",
    "percent-invalid": "%zz%",
    "plus": "a+b c",
    "question": "a?b=c&d=e",
    "hash": "a#b#c",
    "at": "a@b:c;d,e=f",
    "xml": "<a>&amp;</a>]]>",
    "brackets": "a[1]{2}(3)|^~",
    "sub-delimiters": " !@#$%^&()_+-=;',",
    "tab": "a\tb",
    "newline": "a\nb\r\nc",
    "ascii-1-15": "".join(map(chr, range(1, 16))),
    "ascii-16-31": "".join(map(chr, range(16, 32))),
    "ascii-32-47": "".join(map(chr, range(32, 48))),
    "ascii-58-64": "".join(map(chr, range(58, 65))),
    "ascii-91-96": "".join(map(chr, range(91, 97))),
    "ascii-123-127": "".join(map(chr, range(123, 128))),
    "windows-device": "CON/nul.txt",
    "hidden": ".asyncstore/.hidden",
}

#: Keys that are only awkward without a prefix before them.
FIRST_KEYS: Final = {
    "leading-slash": "/lead",
    "leading-slashes": "//lead//",
    "leading-dot": "./here",
    "leading-dotdot": "../../above",
    "only-dot": ".",
    "only-dotdot": "..",
}

#: What the longest key is made of: short segments, one segment, or characters of several bytes.
_LONG: Final = {"segments": "s" * 99 + "/", "one-segment": "k", "characters": "☺"}


class Keys(Harness):
    """
    Awkward keys, in every operation.
    """

    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    async def test_key_is_written_and_read(self, storage: Storage, key: str) -> None:
        """
        An object is read under exactly the key that it was written to.
        """
        target = storage.root / key

        written = await storage.put(target, key.encode())

        assert written.uri == target
        assert await storage.read(target) == key.encode()
        assert (await storage.stat(target)).uri == target

    @pytest.mark.parametrize("any_key", KEYS.values(), ids=KEYS)
    async def test_key_is_stored_or_refused(self, storage: Storage, any_key: str) -> None:
        """
        A key that the provider does not allow is refused; no key is silently changed.
        """
        try:
            await storage.put(storage.root / any_key, b"data")
        except InvalidURIError:
            assert not self.holds(any_key)
            assert await keys_of(storage) == []
        else:
            assert self.holds(any_key)
            assert await keys_of(storage) == [any_key]

    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    async def test_key_is_named_relative_to_the_root(self, storage: Storage, key: str) -> None:
        """
        ``info.name`` is the key below the root, and names the object in every operation.
        """
        if "://" in key:
            pytest.skip("text with a scheme is a URI")
        written = await storage.put(key, b"data")

        assert written.name == key
        assert written.uri == storage.root / key
        assert [info.name async for info in storage.list()] == [key]
        assert [info.name async for info in storage.list(key)] == [key]
        assert (await storage.stat(key)).name == key
        assert await storage.read(key) == b"data"
        await storage.delete(key)
        assert not await storage.exists(key)

    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    async def test_key_is_listed(self, storage: Storage, key: str) -> None:
        """
        A listing returns the key unchanged.
        """
        await storage.put(storage.root / key, b"data")

        assert await keys_of(storage) == [key]

    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    async def test_key_is_a_prefix_of_itself(self, storage: Storage, key: str) -> None:
        """
        Listing with the whole key as the prefix returns the object.
        """
        await storage.put(storage.root / key, b"data")

        assert await keys_of(storage, key) == [key]

    @requires("copy")
    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    async def test_key_is_copied(self, storage: Storage, key: str) -> None:
        """
        The key can be the source and the target of a copy.
        """
        await storage.put(storage.root / "one", b"data")

        await storage.copy(storage.root / "one", storage.root / "to" / key)
        await storage.copy(storage.root / "to" / key, storage.root / "two")

        assert await storage.read(storage.root / "to" / key) == b"data"
        assert await storage.read(storage.root / "two") == b"data"

    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    async def test_key_is_deleted(self, storage: Storage, key: str) -> None:
        """
        Deleting the key deletes only that object.
        """
        await storage.put(storage.root / "other", b"data")
        await storage.put(storage.root / key, b"data")

        await storage.delete(storage.root / key)

        assert not await storage.exists(storage.root / key)
        assert await keys_of(storage) == ["other"]

    @requires("sign")
    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    async def test_key_is_signed(self, storage: Storage, key: str) -> None:
        """
        A presigned URL reads exactly that key.
        """
        await storage.put(storage.root / key, key.encode())

        assert await self._fetch(storage, storage.root / key) == key.encode()

    @pytest.mark.parametrize("key", FIRST_KEYS.values(), ids=FIRST_KEYS)
    async def test_first_in_the_bucket(self, storage: Storage, key: str) -> None:
        """
        A key that starts awkwardly is kept unchanged, and never leaves the bucket.
        """
        target = top(storage) / key
        await storage.put(target, key.encode())

        listed = [info.uri async for info in storage.list(target)]
        data = await storage.read(target)
        await storage.delete(target)

        assert listed == [target]
        assert data == key.encode()
        assert not await storage.exists(target)

    @pytest.mark.parametrize("unit", _LONG.values(), ids=_LONG)
    async def test_longest_key(self, storage: Storage, unit: str) -> None:
        """
        A key can be as long as the provider allows.
        """
        room = storage.capabilities.max_key_bytes - len((storage.root / "").key.encode())
        key = unit * (room // len(unit.encode()))
        key += "k" * (room - len(key.encode()))
        await storage.put(storage.root / key, b"data")

        listed = await keys_of(storage)

        assert len((storage.root / key).key.encode()) == storage.capabilities.max_key_bytes
        assert listed == [key]
        assert await storage.read(storage.root / key) == b"data"

    async def test_object_and_folder_of_one_name(self, storage: Storage) -> None:
        """
        ``a``, ``a/`` and ``a/b`` are three objects.
        """
        for key in ("a/b", "a", "a/"):
            await storage.put(storage.root / key, key.encode())

        assert await keys_of(storage) == ["a", "a/", "a/b"]
        assert [await storage.read(storage.root / key) for key in ("a", "a/", "a/b")] == [b"a", b"a/", b"a/b"]

    async def test_object_below_an_object(self, storage: Storage) -> None:
        """
        ``a`` and ``a/b`` exist side by side, and deleting one keeps the other.
        """
        await storage.put(storage.root / "a", b"above")
        await storage.put(storage.root / "a/b", b"below")

        await storage.delete(storage.root / "a")

        assert await keys_of(storage) == ["a/b"]
        assert await storage.read(storage.root / "a/b") == b"below"

    async def test_folder_is_not_an_object(self, storage: Storage) -> None:
        """
        An object ``a/b`` does not make ``a`` or ``a/`` exist.
        """
        await storage.put(storage.root / "a/b", b"data")

        assert [await storage.exists(storage.root / key) for key in ("a", "a/", "a/b/")] == [False, False, False]

    @pytest.mark.parametrize(
        ("one", "other"),
        [("a%2Fb", "a/b"), ("a+b", "a b"), ("A", "a"), ("caf\u00e9", "cafe\u0301"), ("a//b", "a/b"), ("a\\b", "a/b")],
        ids=["percent", "plus", "case", "composition", "slashes", "slants"],
    )
    async def test_keys_that_look_alike_are_two(self, storage: Storage, one: str, other: str) -> None:
        """
        Keys are not decoded, case-folded or normalized.
        """
        await storage.put(storage.root / one, b"one")

        assert not await storage.exists(storage.root / other)
        await storage.put(storage.root / other, b"other")
        assert await storage.read(storage.root / one) == b"one"
        assert sorted([relative(storage, info) async for info in storage.list()]) == sorted([one, other])

    @requires("sign")
    @pytest.mark.parametrize("expires", [timedelta(0), timedelta(seconds=-1)])
    async def test_expiry_must_be_in_the_future(self, storage: Storage, expires: timedelta) -> None:
        """
        A presigned URL that would already have expired is refused.
        """
        with pytest.raises(ConfigurationError):
            await storage.presign(storage.root / "key", expires=expires)

    @requires("sign")
    async def test_signed_for_one_method(self, storage: Storage) -> None:
        """
        A URL that was presigned for GET refuses PUT; one that was presigned for PUT writes.
        """
        target = storage.root / "key"
        await storage.put(target, b"old")

        async with self.http_session() as session:
            async with session.put(await storage.presign(target), data=b"new") as refused:
                # Some providers hide whether such a resource exists.
                assert refused.status in (400, 401, 403, 404, 405)
            assert await storage.read(target) == b"old"
            url = await storage.presign(target, method="PUT")
            async with session.put(url, data=b"new", headers={**self.signed_put_headers, **url.headers}) as allowed:
                assert allowed.status < 300

        assert await storage.read(target) == b"new"

    async def _fetch(self, storage: Storage, target: ObjectURI) -> bytes:
        from yarl import URL

        url = await storage.presign(target)
        async with self.http_session() as session, session.get(URL(url, encoded=True)) as reply:
            assert reply.status == 200
            return await reply.read()

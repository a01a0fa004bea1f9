"""
Every option is honoured or refused, never ignored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from asyncstore.driver import Capabilities
from asyncstore.encryption import Encryption
from asyncstore.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    NotModifiedError,
    NotSupportedError,
    PreconditionFailedError,
)
from asyncstore.options import ByteRange, CopyOptions, DeleteOptions, ListOptions, ReadOptions, UploadOptions
from asyncstore.storage import Storage
from asyncstore.storage.arguments import COPY_NEEDS, DELETE_NEEDS, READ_NEEDS, WRITE_NEEDS, Need
from asyncstore.storage.tree_options import TREE_NEEDS, TreeOptions
from asyncstore.storage.tree_verbs import upload_tree
from asyncstore.testing.conformance.harness import Harness, requires
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import ChecksumAlgorithm

#: Called with the storage under test, and another one of the same objects that no request is counted of.
Probe = Callable[[Storage, Storage], Awaitable[None]]

_WRITTEN: Final[dict[str, Any]] = {
    "content_type": "text/csv",
    "content_encoding": "gzip",
    "content_language": "de-CH",
    "content_disposition": "inline",
    "cache_control": "no-store",
    "metadata": {"colour": "blue"},
}
_KEY: Final = Encryption.customer_key(bytes(range(32)))
_PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)
# ETags and versions that no object has.
_OTHER: Final = "0123456789abcdef"


def _stored(name: str) -> Probe:
    async def probe(storage: Storage, _: Storage) -> None:
        options: dict[str, Any] = {name: _WRITTEN[name]}
        await storage.put(storage.root / "other", b"data", options=UploadOptions(**options))
        assert getattr(await storage.stat(storage.root / "other"), name) == _WRITTEN[name]

    return probe


def _fails(error: type[Exception] | tuple[type[Exception], ...], call: Callable[[Storage], Awaitable[object]]) -> Probe:
    async def probe(storage: Storage, _: Storage) -> None:
        with pytest.raises(error):
            await call(storage)

    return probe


def _read(**options: Any) -> Callable[[Storage], Awaitable[object]]:
    return lambda storage: storage.read(storage.root / "key", options=ReadOptions(**options))


def _put(**options: Any) -> Callable[[Storage], Awaitable[object]]:
    return lambda storage: storage.put(storage.root / "key", b"new", options=UploadOptions(**options))


def _copy(**options: Any) -> Callable[[Storage], Awaitable[object]]:
    return lambda storage: storage.copy(storage.root / "key", storage.root / "other", options=CopyOptions(**options))


def _delete(**options: Any) -> Callable[[Storage], Awaitable[object]]:
    return lambda storage: storage.delete(storage.root / "key", options=DeleteOptions(**options))


async def _read_unless_matching(storage: Storage, direct: Storage) -> None:
    etag = (await direct.stat(storage.root / "key")).etag
    with pytest.raises(NotModifiedError):
        await _read(if_none_match=etag)(storage)


async def _read_unless_modified(storage: Storage, direct: Storage) -> None:
    written = (await direct.stat(storage.root / "key")).last_modified
    assert written is not None
    with pytest.raises(NotModifiedError):
        await _read(if_modified_since=written)(storage)


async def _read_range(storage: Storage, _: Storage) -> None:
    assert await _read(range=ByteRange(1, 3))(storage) == b"at"


async def _each_checksum(storage: Storage, _: Storage) -> None:
    for algorithm in sorted(storage.capabilities.checksums) or [ChecksumAlgorithm.CRC32]:
        await storage.put(storage.root / "other", b"data", options=UploadOptions(checksum=algorithm))
        assert await storage.read(storage.root / "other") == b"data"


async def _copy_replacing(storage: Storage, _: Storage) -> None:
    able = storage.capabilities
    if not (able.copy_replace and able.metadata):
        pytest.xfail(f"{storage.provider} does not announce copy_replace")
    await _copy(replace=UploadOptions(metadata={"colour": "red"}))(storage)
    assert (await storage.stat(storage.root / "other")).metadata == {"colour": "red"}


def _listed(expected: list[str], **options: Any) -> Probe:
    async def probe(storage: Storage, _: Storage) -> None:
        for key in ("list-a-1", "list-a-2", "list-b"):
            await storage.put(storage.root / key, b"data")
        found = [info async for info in storage.list(storage.root / "list-", options=ListOptions(**options))]
        assert [info.uri for info in found] == [storage.root / key for key in expected]

    return probe


async def _started_after(storage: Storage, direct: Storage) -> None:
    await _listed(["list-b"], start_after=(storage.root / "list-a-2").key)(storage, direct)


async def _small_pages(storage: Storage, _: Storage) -> None:
    page = await storage.list_page(storage.root, options=ListOptions(page_size=1))
    assert len(page.objects) <= 1
    assert page.next_token


async def _with_key(storage: Storage, _: Storage) -> None:
    await storage.put("secret", b"data", encryption=_KEY)
    assert await storage.read("secret", encryption=_KEY) == b"data"


async def _copied_with_key(storage: Storage, direct: Storage) -> None:
    source = _KEY if storage.capabilities.copy_from_key else None
    await direct.put("secret", b"data", encryption=source)
    await storage.copy("secret", "copy", encryption=_KEY, source_encryption=source)
    assert await direct.read("copy", encryption=_KEY) == b"data"


async def _copied_from_key(storage: Storage, direct: Storage) -> None:
    if storage.capabilities.copy_from_key:
        await direct.put("secret", b"data", encryption=_KEY)
    await storage.copy("secret", "copy", source_encryption=_KEY)
    assert await direct.read("copy") == b"data"


def _tagged(call: Callable[[Storage], Awaitable[object]], key: str) -> Probe:
    async def probe(storage: Storage, direct: Storage) -> None:
        await call(storage)
        assert await direct.get_tags(direct.root / key) == {"stage": "raw"}

    return probe


def _tree(marker: str = "key", **options: Any) -> Probe:
    async def probe(storage: Storage, _: Storage) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "empty").mkdir()
            Path(folder, "key").write_bytes(b"data")
            await upload_tree(folder, storage, options=TreeOptions(**options))
        info = await storage.stat(storage.root / marker)
        assert marker != "key" or info.metadata.keys() == {"mtime"}

    return probe


#: How to see that the storage honours an option, by the name of its record and field. Those of versions are in
#: the tests of versions, which need a bucket that keeps them.
PROBES: Final[dict[str, Probe]] = {
    "ReadOptions.range": _read_range,
    "ReadOptions.if_match": _fails(PreconditionFailedError, _read(if_match=_OTHER)),
    "ReadOptions.if_none_match": _read_unless_matching,
    "ReadOptions.if_modified_since": _read_unless_modified,
    "ReadOptions.if_unmodified_since": _fails(PreconditionFailedError, _read(if_unmodified_since=_PAST)),
    **{f"WriteOptions.{name}": _stored(name) for name in _WRITTEN},
    "WriteOptions.if_match": _fails(PreconditionFailedError, _put(if_match=_OTHER)),
    "WriteOptions.if_none_match": _fails(AlreadyExistsError, _put(if_none_match="*")),
    "WriteOptions.tags": _tagged(_put(tags={"stage": "raw"}), "key"),
    "WriteOptions.checksum": _each_checksum,
    "CopyOptions.if_match": _fails(PreconditionFailedError, _copy(if_match=_OTHER)),
    "CopyOptions.if_none_match": _fails(AlreadyExistsError, _copy(if_none_match="*")),
    "CopyOptions.source_if_match": _fails(PreconditionFailedError, _copy(source_if_match=_OTHER)),
    "ReadOptions.encryption": _with_key,
    "WriteOptions.encryption": _with_key,
    "CopyOptions.encryption": _copied_with_key,
    "CopyOptions.source_encryption": _copied_from_key,
    "CopyOptions.replace": _copy_replacing,
    "CopyOptions.tags": _tagged(_copy(tags={"stage": "raw"}), "other"),
    "DeleteOptions.if_match": _fails(PreconditionFailedError, _delete(if_match=_OTHER)),
    "ListOptions.delimiter": _listed(["list-a-", "list-b"], delimiter="-"),
    "ListOptions.start_after": _started_after,
    "ListOptions.page_size": _small_pages,
    "ListOptions.max_concurrency": _listed(["list-a-1", "list-a-2", "list-b"], max_concurrency=4),
    "ListOptions.folders": _listed(["list-a-1", "list-a-2", "list-b"], folders=True),
    "TreeOptions.empty_folders": _tree("empty/", empty_folders=True),
    "TreeOptions.preserve_mtime": _tree(preserve_mtime=True),
}

_NEEDS: Final[dict[str, Need]] = {
    f"{record}.{name}": need
    for record, needs in (
        ("ReadOptions", READ_NEEDS),
        ("WriteOptions", WRITE_NEEDS),
        ("CopyOptions", COPY_NEEDS),
        ("DeleteOptions", DELETE_NEEDS),
        ("TreeOptions", TREE_NEEDS),
    )
    for name, need in needs.items()
}


class EachOption(Harness):
    """
    Options do what they say, or are refused before any request.
    """

    @pytest.mark.parametrize("option", PROBES)
    async def test_option_is_honoured_or_refused(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver, option: str
    ) -> None:
        """
        An option of a supported capability shows in the outcome; any other is refused without a request.
        """
        if option == "TreeOptions.empty_folders" and not self.holds("empty/"):
            pytest.xfail(f"{storage.provider} does not allow the key 'empty/'")
        for key in ("key", "other"):
            await storage.put(storage.root / key, b"data")
        if _supports(storage.capabilities, option):
            await PROBES[option](storage, storage)
            return
        with pytest.raises(NotSupportedError):
            await PROBES[option](faulty, storage)
        assert not faults.calls

    async def test_storage_class_is_kept_or_refused(
        self, storage: Storage, faulty: Storage, faults: FaultyDriver
    ) -> None:
        """
        The storage class is that of the object, or is refused without a request.
        """
        options = UploadOptions(storage_class=self.storage_class or "COLD")
        if not storage.capabilities.storage_classes:
            with pytest.raises(NotSupportedError):
                await faulty.put(storage.root / "key", b"data", options=options)
            assert not faults.calls
            return
        if self.storage_class is None:
            pytest.skip("set storage_class, a class that is not the default one")
        await storage.put(storage.root / "key", b"data", options=options)

        assert (await storage.stat(storage.root / "key")).storage_class == self.storage_class

    @requires("copy")
    async def test_storage_class_of_a_copy(self, storage: Storage, faulty: Storage, faults: FaultyDriver) -> None:
        """
        A copy keeps the storage class if ``copy_keeps`` announces it, else its result says so; one can be chosen.
        """
        options = CopyOptions(storage_class=self.storage_class or "COLD")
        if not storage.capabilities.storage_classes:
            with pytest.raises(NotSupportedError):
                await faulty.copy(storage.root / "key", storage.root / "copy", options=options)
            assert not faults.calls
            return
        if self.storage_class is None:
            pytest.skip("set storage_class, a class that is not the default one")
        written = UploadOptions(storage_class=self.storage_class)
        await storage.put(storage.root / "key", b"data", options=written)
        await storage.put(storage.root / "plain", b"data")

        kept = await storage.copy(storage.root / "key", storage.root / "copy")
        await storage.copy(storage.root / "plain", storage.root / "chosen", options=options)

        found = (await storage.stat(storage.root / "copy")).storage_class
        assert "storage_class" in kept.not_kept or found == self.storage_class
        assert "storage_class" not in kept.not_kept & storage.capabilities.copy_keeps
        assert (await storage.stat(storage.root / "chosen")).storage_class == self.storage_class

    @pytest.mark.parametrize("verb", ["stat", "read_ranges"])
    async def test_range_is_refused_where_it_means_nothing(
        self, faulty: Storage, faults: FaultyDriver, verb: str
    ) -> None:
        """
        Verbs that take no range refuse one.
        """
        options = ReadOptions(range=ByteRange(0, 1))
        ranges = [] if verb == "stat" else [[ByteRange(0, 1)]]
        with pytest.raises(InvalidRequestError, match=rf"{verb}\(\) takes no options\.range"):
            await getattr(faulty, verb)(faulty.root / "key", *ranges, options=options)
        assert not faults.calls


def _supports(able: Capabilities, option: str) -> bool:
    if option.startswith("CopyOptions.") and not able.copy:
        return False
    return option not in _NEEDS or bool(getattr(able, _NEEDS[option].capability))

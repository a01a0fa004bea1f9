"""
Content headers and metadata, for every way of writing.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from asyncstore.errors import ConfigurationError, InvalidRequestError, NotSupportedError
from asyncstore.options import CopyOptions, UploadOptions, WriteOptions
from asyncstore.storage import Storage
from asyncstore.testing.conformance.harness import Harness, requires
from asyncstore.testing.conformance.payloads import async_chunks, payload
from asyncstore.types import Metadata

_HEADERS: Final[dict[str, Any]] = {
    "content_type": "text/html; charset=utf-8",
    "content_encoding": "gzip",
    "content_language": "de-CH",
    "content_disposition": 'attachment; filename="a b.html"',
    "cache_control": "public, max-age=60",
}
_METADATA: Final = {"colour": "blue", "with-dash": "two  inner   spaces", "digits1": "1;2=3, 4", "case": "As It Is"}


class Attributes(Harness):
    """
    Content headers and metadata.
    """

    @requires("content_type", "content_headers")
    @pytest.mark.parametrize("way", ["put", "multipart", "stream", "upload"])
    async def test_content_headers_are_kept(self, storage: Storage, tmp_path: Path, way: str) -> None:
        """
        Content headers are stored and returned, for every way of writing.
        """
        await self._write_by(storage, tmp_path, way, _HEADERS)

        assert _headers(await storage.stat(storage.root / "key")) == _HEADERS
        async with storage.get(storage.root / "key") as stream:
            assert _headers(stream.info) == _HEADERS

    @requires("content_type")
    @pytest.mark.parametrize("way", ["put", "multipart", "stream", "upload"])
    async def test_content_type_is_kept(self, storage: Storage, tmp_path: Path, way: str) -> None:
        """
        The content type is stored and returned, also by providers that store no other header.
        """
        await self._write_by(storage, tmp_path, way, {"content_type": "text/csv; charset=utf-8"})

        assert (await storage.stat(storage.root / "key")).content_type == "text/csv; charset=utf-8"
        async with storage.get(storage.root / "key") as stream:
            assert stream.info.content_type == "text/csv; charset=utf-8"

    @requires("metadata")
    @pytest.mark.parametrize("way", ["put", "multipart", "stream", "upload"])
    async def test_metadata_is_kept(self, storage: Storage, tmp_path: Path, way: str) -> None:
        """
        User metadata is stored and returned exactly, including spaces.
        """
        await self._write_by(storage, tmp_path, way, {"metadata": _METADATA})

        assert (await storage.stat(storage.root / "key")).metadata == _METADATA
        async with storage.get(storage.root / "key") as stream:
            assert stream.info.metadata == _METADATA

    @requires("metadata")
    async def test_metadata_keys_are_lower_case(self, storage: Storage) -> None:
        """
        Metadata keys are returned in lower case, values unchanged.
        """
        await storage.put(storage.root / "key", b"data", options=UploadOptions(metadata={"CamelCase": "Value"}))

        assert (await storage.stat(storage.root / "key")).metadata == {"camelcase": "Value"}

    @requires("metadata")
    @pytest.mark.parametrize(
        "value",
        ["", "caf\u00e9", "日本語", "😀", " around ", "100%25", "=?UTF-8?B?Y2Fmw6k=?=", '"quoted"', "tab\there"],
        ids=["empty", "latin-1", "cjk", "emoji", "spaces-around", "percent", "encoded-word", "quoted", "tab"],
    )
    async def test_metadata_value_is_kept_or_refused(self, storage: Storage, value: str) -> None:
        """
        A value that cannot be stored exactly is refused; it is never returned changed.
        """
        try:
            await storage.put(storage.root / "key", b"data", options=UploadOptions(metadata={"key": value}))
        except (ConfigurationError, InvalidRequestError, NotSupportedError):
            assert not await storage.exists(storage.root / "key")
            return

        assert (await storage.stat(storage.root / "key")).metadata == {"key": value}

    @requires("metadata", "content_headers")
    async def test_overwriting_keeps_no_attributes(self, storage: Storage) -> None:
        """
        A new object keeps no attributes of the one that it replaces.
        """
        await storage.put(
            storage.root / "key", b"old", options=UploadOptions(cache_control="no-store", metadata={"a": "1"})
        )
        await storage.put(storage.root / "key", b"new", options=UploadOptions(metadata={"b": "2"}))

        found = await storage.stat(storage.root / "key")
        assert found.metadata == {"b": "2"}
        assert found.cache_control is None

    @requires("content_type", "content_headers")
    async def test_encoded_content_is_left_alone(self, storage: Storage, tmp_path: Path) -> None:
        """
        Content stored compressed is read, streamed and downloaded compressed.
        """
        data = gzip.compress(b"text " * 1000)
        target = storage.root / "key"
        await storage.put(target, data, options=UploadOptions(content_encoding="gzip", content_type="text/plain"))

        async with storage.get(target) as stream:
            streamed = await stream.read()
        await storage.download(target, tmp_path / "file")

        assert await storage.read(target) == data
        assert streamed == data
        assert (tmp_path / "file").read_bytes() == data
        assert (await storage.stat(target)).size == len(data)

    @requires("copy", "metadata", "content_type", "content_headers")
    async def test_copy_keeps_all(self, storage: Storage) -> None:
        """
        A copy has the headers and metadata of its source.
        """
        await storage.put(storage.root / "source", b"data", options=UploadOptions(**_HEADERS, metadata=_METADATA))

        await storage.copy(storage.root / "source", storage.root / "copy")

        found = await storage.stat(storage.root / "copy")
        assert _headers(found) == _HEADERS
        assert found.metadata == _METADATA

    @requires("copy", "copy_replace", "metadata", "content_type", "content_headers")
    async def test_copy_replaces_all(self, storage: Storage) -> None:
        """
        A copy with attributes of its own keeps none of its source's.
        """
        await storage.put(storage.root / "source", b"data", options=UploadOptions(**_HEADERS, metadata=_METADATA))
        new = WriteOptions(content_type="image/png", metadata={"own": "value"})

        await storage.copy(storage.root / "source", storage.root / "copy", options=CopyOptions(replace=new))

        found = await storage.stat(storage.root / "copy")
        assert (found.content_type, found.cache_control, found.metadata) == ("image/png", None, {"own": "value"})
        assert await storage.read(storage.root / "copy") == b"data"

    @requires("copy", "metadata")
    async def test_copy_is_independent(self, storage: Storage) -> None:
        """
        Later changes to the source do not affect the copy.
        """
        await storage.put(storage.root / "source", b"data", options=UploadOptions(metadata={"a": "1"}))
        await storage.copy(storage.root / "source", storage.root / "copy")

        await storage.put(storage.root / "source", b"other", options=UploadOptions(metadata={"a": "2"}))
        await storage.delete(storage.root / "source")

        assert await storage.read(storage.root / "copy") == b"data"
        assert (await storage.stat(storage.root / "copy")).metadata == {"a": "1"}

    async def _write_by(self, storage: Storage, folder: Path, way: str, attributes: dict[str, Any]) -> None:
        part = self.part_size(storage)
        small, large = b"data", payload(part + 3)
        options = self.multipart_options(storage, **attributes)
        target = storage.root / "key"

        async def upload() -> Any:
            (folder / "file").write_bytes(large)
            return await storage.upload(folder / "file", target, options=options)

        ways: dict[str, Callable[[], Awaitable[Any]]] = {
            "put": lambda: storage.put(target, small, options=options),
            "multipart": lambda: storage.put(target, large, options=options),
            "stream": lambda: storage.put(target, async_chunks(large), options=options),
            "upload": upload,
        }
        await ways[way]()


def _headers(info: Metadata) -> dict[str, str | None]:
    return {name: getattr(info, name) for name in _HEADERS}

"""
Data about an object that its file cannot store: headers, user metadata and checksums.

They are in small files in ``.asyncstore/meta``, named by key *and* ETag. The sidecar
of a new version is written before the object is renamed into place, and that of the
old version is removed afterwards, so the current object always has its own. A sidecar
whose ETag matches no file is ignored: a file that another program has changed is an
object without metadata.

Extended attributes would be stored with the file itself, but hold at most 4 KiB on
ext4, and many network and memory file systems do not support them.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any, Final

from asyncstore._support.flush import flush, write_whole
from asyncstore.drivers.local.names import HIDDEN
from asyncstore.drivers.local.tree import Tree, digest
from asyncstore.options import WriteOptions
from asyncstore.types import Checksum, ChecksumAlgorithm, Metadata

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_META: Final = (HIDDEN, "meta")
_FEW: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """
    The content of a sidecar. The names are those of :class:`~asyncstore.types.Metadata`.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksums: tuple[Checksum, ...] = ()

    @classmethod
    def of(cls, options: WriteOptions, checksums: tuple[Checksum, ...] = ()) -> Description:
        """
        Make the description of an object that is written with *options*.
        """
        headers = {name: getattr(options, name) for name in _HEADERS}
        return cls(**headers, metadata=dict(options.metadata), checksums=checksums)

    @classmethod
    def of_metadata(cls, info: Metadata) -> Description:
        """
        Make the description of a copy that keeps the metadata of another object.
        """
        headers = {name: getattr(info, name) for name in _HEADERS}
        return cls(**headers, metadata=dict(info.metadata), checksums=tuple(info.checksums))

    def to_json(self) -> dict[str, Any]:
        """
        Return a record for :meth:`from_json`.
        """
        record: dict[str, Any] = {name: getattr(self, name) for name in _HEADERS if getattr(self, name) is not None}
        record["metadata"] = dict(self.metadata)
        record["checksums"] = {item.algorithm.value: item.base64() for item in self.checksums}
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Description:
        """
        Read a record; unreadable checksums are left out.
        """
        pairs = record.get("checksums", {}).items()
        read = (Checksum.from_base64(ChecksumAlgorithm(name), text) for name, text in pairs)
        return cls(
            **{name: record.get(name) for name in _HEADERS},
            metadata=dict(record.get("metadata", {})),
            checksums=tuple(item for item in read if item is not None),
        )


_HEADERS: Final = tuple(item.name for item in fields(Description) if item.name not in ("metadata", "checksums"))


class Sidecars:
    """
    The sidecars of all objects of a tree. Everything here blocks.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def write(self, key: str, etag: str, description: Description) -> None:
        """
        Store the description of a version that is about to be published.
        """
        directory, name = _place(key, etag)
        record = {"key": key, "etag": etag, **description.to_json()}
        with self._tree.directory(directory, make=True) as parent:
            descriptor = os.open(name, _NEW, 0o666, dir_fd=parent)
            try:
                write_whole(descriptor, json.dumps(record).encode())
                if self._tree.sync:
                    flush(descriptor)
                    flush(parent)
            except BaseException:
                os.unlink(name, dir_fd=parent)
                raise
            finally:
                os.close(descriptor)

    def read(self, key: str, etag: str) -> Description | None:
        """
        Return the description of a version; ``None`` if it has none, or it cannot be read.
        """
        directory, name = _place(key, etag)
        try:
            with self._tree.directory(directory) as parent:
                record = read_json(parent, name)
            return Description.from_json(record) if record.get("key") == key else None
        except (OSError, ValueError, AttributeError, TypeError):
            return None

    def some(self, *, older_than: float) -> Iterator[tuple[str, str]]:
        """
        Yield the key and ETag of a few sidecars from a random part of the tree.
        """
        shard = (*_META, f"{random.randrange(256):02x}")  # noqa: S311 - any choice will do
        with suppress(OSError), self._tree.directory(shard) as here, os.scandir(here) as entries:
            for entry in islice(entries, _FEW):
                if entry.stat(follow_symlinks=False).st_mtime < older_than:
                    yield from _identity(here, entry.name)

    def remove(self, key: str, etag: str) -> None:
        """
        Remove the sidecar of a version that was replaced or deleted.
        """
        directory, name = _place(key, etag)
        with suppress(OSError), self._tree.directory(directory) as parent:
            os.unlink(name, dir_fd=parent)


def read_json(directory: int, name: str) -> dict[str, Any]:
    """
    Read a JSON file.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        record: dict[str, Any] = json.load(file)
    return record


def _identity(directory: int, name: str) -> Iterator[tuple[str, str]]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = read_json(directory, name)
        yield record["key"], record["etag"]


def _place(key: str, etag: str) -> tuple[tuple[str, ...], str]:
    name = digest(key)
    return (*_META, name[:2]), f"{name[2:34]}-{etag}"

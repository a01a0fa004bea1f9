"""
What a file system does not keep of an object: headers, user metadata and checksums.

They are in small files of their own, ``.asyncstore/meta``, named by key *and*
ETag. The one of a new version is written before the object gets its name, the
one of the old version is removed after, so at every moment the object that is
there has its own. One whose ETag is that of no file means nothing: a file that
another program has changed is an object without metadata.

Extended attributes would be in the file itself, but hold 4 KiB at the most on
ext4 and nothing at all on many network and memory file systems.
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
    What is kept beside an object. The names are those of :class:`~asyncstore.types.Metadata`.
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
        Take from *options* what is stored.
        """
        headers = {name: getattr(options, name) for name in _HEADERS}
        return cls(**headers, metadata=dict(options.metadata), checksums=checksums)

    @classmethod
    def of_metadata(cls, info: Metadata) -> Description:
        """
        Take all that is stored with another object.
        """
        headers = {name: getattr(info, name) for name in _HEADERS}
        return cls(**headers, metadata=dict(info.metadata), checksums=tuple(info.checksums))

    def to_json(self) -> dict[str, Any]:
        """
        Return what :meth:`from_json` reads.
        """
        record: dict[str, Any] = {name: getattr(self, name) for name in _HEADERS if getattr(self, name) is not None}
        record["metadata"] = dict(self.metadata)
        record["checksums"] = {item.algorithm.value: item.base64() for item in self.checksums}
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Description:
        """
        Read a record; what does not fit is left out.
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
    The descriptions of all objects of a tree. Everything here blocks.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def write(self, key: str, etag: str, description: Description) -> None:
        """
        Keep the description of a version that is about to appear.
        """
        directory, name = _place(key, etag)
        record = {"key": key, "etag": etag, **description.to_json()}
        with self._tree.directory(directory, make=True) as parent:
            descriptor = os.open(name, _NEW, 0o666, dir_fd=parent)
            try:
                os.write(descriptor, json.dumps(record).encode())
                if self._tree.sync:
                    os.fsync(descriptor)
                    os.fsync(parent)
            finally:
                os.close(descriptor)

    def read(self, key: str, etag: str) -> Description | None:
        """
        Return the description of a version, if there is one that can be read.
        """
        directory, name = _place(key, etag)
        try:
            with self._tree.directory(directory) as parent:
                record = _read(parent, name)
            return Description.from_json(record) if record.get("key") == key else None
        except (OSError, ValueError, AttributeError, TypeError):
            return None

    def some(self, *, older_than: float) -> Iterator[tuple[str, str]]:
        """
        Yield key and ETag of a few descriptions of a part of the tree that chance chooses.
        """
        shard = (*_META, f"{random.randrange(256):02x}")  # noqa: S311 - any choice will do
        with suppress(OSError), self._tree.directory(shard) as here, os.scandir(here) as entries:
            for entry in islice(entries, _FEW):
                if entry.stat(follow_symlinks=False).st_mtime < older_than:
                    yield from _identity(here, entry.name)

    def remove(self, key: str, etag: str) -> None:
        """
        Forget a version that is gone.
        """
        directory, name = _place(key, etag)
        with suppress(OSError), self._tree.directory(directory) as parent:
            os.unlink(name, dir_fd=parent)


def _read(directory: int, name: str) -> dict[str, Any]:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        record: dict[str, Any] = json.load(file)
    return record


def _identity(directory: int, name: str) -> Iterator[tuple[str, str]]:
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = _read(directory, name)
        yield record["key"], record["etag"]


def _place(key: str, etag: str) -> tuple[tuple[str, ...], str]:
    name = digest(key)
    return (*_META, name[:2]), f"{name[2:34]}-{etag}"

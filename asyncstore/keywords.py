"""
Fields of option records as keyword arguments: ``read(uri, if_match=etag)``.

The typed dictionaries are for type checkers and editors; a test holds them against the records, which say what
the fields mean and check their values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar

from asyncstore._support.suggestions import did_you_mean
from asyncstore.encryption import Encryption
from asyncstore.options import BulkOptions, ByteRange, DownloadOptions, RangeLike, UploadOptions, WriteOptions
from asyncstore.retention import Retention
from asyncstore.types import Checksum, ChecksumAlgorithm

_OptionsT = TypeVar("_OptionsT")


class StatFields(TypedDict, total=False):
    """
    Fields of :class:`~asyncstore.ReadOptions` for a whole object.
    """

    if_match: str | None
    if_none_match: str | None
    if_modified_since: datetime | None
    if_unmodified_since: datetime | None
    version_id: str | None
    encryption: Encryption | None
    verify: bool
    hedge_after: float | None


class ReadFields(StatFields, total=False):
    """
    Fields of :class:`~asyncstore.ReadOptions`; a *range* may be anything that :meth:`ByteRange.of` takes.
    """

    range: RangeLike | None


class DownloadFields(ReadFields, total=False):
    """
    Fields of :class:`~asyncstore.DownloadOptions`.
    """

    part_size: int | None
    max_concurrency: int | None
    overwrite: bool
    sync: bool
    resume: bool


class WriteFields(TypedDict, total=False):
    """
    Fields of :class:`~asyncstore.WriteOptions`.
    """

    content_type: str | None
    content_encoding: str | None
    content_language: str | None
    content_disposition: str | None
    cache_control: str | None
    metadata: Mapping[str, str]
    tags: Mapping[str, str]
    storage_class: str | None
    encryption: Encryption | None
    retention: Retention | None
    legal_hold: bool
    acl: str | None
    if_match: str | None
    if_none_match: Literal["*"] | None
    checksum: ChecksumAlgorithm | Literal["crc32", "crc32c", "crc64nvme", "md5", "sha1", "sha256"] | None


class UploadFields(WriteFields, total=False):
    """
    Fields of :class:`~asyncstore.UploadOptions`.
    """

    part_size: int
    multipart_threshold: int
    max_concurrency: int | None
    guess_content_type: bool
    resume: bool | Literal["journal"]


class CopyFields(TypedDict, total=False):
    """
    Fields of :class:`~asyncstore.CopyOptions`.
    """

    replace: WriteOptions | None
    storage_class: str | None
    tags: Mapping[str, str] | None
    encryption: Encryption | None
    source_encryption: Encryption | None
    retention: Retention | None
    legal_hold: bool
    acl: str | None
    if_match: str | None
    if_none_match: Literal["*"] | None
    source_if_match: str | None
    source_version_id: str | None
    part_size: int
    max_concurrency: int


class DeleteFields(TypedDict, total=False):
    """
    Fields of :class:`~asyncstore.DeleteOptions`.
    """

    if_match: str | None
    version_id: str | None
    bypass_retention: bool


class PresignFields(TypedDict, total=False):
    """
    Fields of :class:`~asyncstore.PresignOptions`; a *range* may be anything that :meth:`ByteRange.of` takes.
    """

    content_type: str | None
    checksum: Checksum | None
    if_none_match: Literal["*"] | None
    upload_id: str | None
    part_number: int | None
    range: RangeLike | None
    version_id: str | None
    response_content_type: str | None
    response_content_disposition: str | None
    response_content_encoding: str | None
    response_content_language: str | None
    response_cache_control: str | None


class PostFields(TypedDict, total=False):
    """
    Fields of :class:`~asyncstore.PostOptions`.
    """

    prefix: bool
    content_type: str | None
    min_size: int
    max_size: int | None


class ListFields(TypedDict, total=False):
    """
    Fields of :class:`~asyncstore.ListOptions`.
    """

    delimiter: str | None
    start_after: str | None
    page_size: int | None
    folders: bool
    max_concurrency: int


class BulkFields(TypedDict, total=False):
    """
    Fields of :class:`~asyncstore.BulkOptions`.
    """

    max_concurrency: int | None
    stop_on_error: bool
    keep: Literal["all", "failures"]
    upload: UploadOptions
    download: DownloadOptions
    workers: int | None
    executor: Executor | None


class TreeFields(TypedDict, total=False):
    """
    Fields of :class:`~asyncstore.TreeOptions`.
    """

    include: Sequence[str]
    exclude: Sequence[str]
    include_from: Sequence[Path]
    exclude_from: Sequence[Path]
    names: Sequence[str] | None
    hidden: bool
    symlinks: Literal["inside", "follow", "skip", "error"]
    empty_folders: bool
    layout: Literal["relative", "full", "overlap", "flat"]
    preserve_mtime: bool
    update: bool
    verify: bool
    bulk: BulkOptions


class SyncFields(TreeFields, total=False):
    """
    Fields of :class:`~asyncstore.SyncOptions`.
    """

    compare: Literal["time", "checksum", "size", "exists"]
    delete: bool
    max_delete: int | None
    hash_cache: bool


def merged(options: _OptionsT, kind: type[_OptionsT], given: Mapping[str, Any]) -> _OptionsT:
    """
    Return *options*, a record of *kind*, with the fields in *given* replaced.

    Raises:
        TypeError: *options* is not of *kind*, or a name in *given* is not one of its fields.
        ValueError: A value is invalid.
    """
    if not given:
        return options
    if not isinstance(options, kind):
        raise TypeError(f"options must be {kind.__name__}, not {type(options).__name__}")
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    if unknown := [name for name in given if name not in known]:
        names = ", ".join(map(repr, unknown))
        raise TypeError(f"{kind.__name__} has no field {names}{did_you_mean(unknown, known)}")
    changes = dict(given)
    if changes.get("range") is not None:
        changes["range"] = ByteRange.of(changes["range"])
    return replace(options, **changes)  # type: ignore[type-var]

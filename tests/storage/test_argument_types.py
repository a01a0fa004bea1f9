"""
Arguments of a wrong type are refused before any request, by an error that names the argument.
"""

import inspect
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asyncstore.errors import InvalidRequestError, InvalidURIError
from asyncstore.options import (
    BulkOptions,
    ByteRange,
    CopyOptions,
    DeleteOptions,
    DownloadOptions,
    ListOptions,
    PostOptions,
    PresignOptions,
    ReadOptions,
    UploadOptions,
)
from asyncstore.storage import Storage
from asyncstore.testing.faults import FaultyDriver
from asyncstore.types import Part
from tests.build import KEY, ROOT

#: A valid call of each verb.
CALLS: dict[str, dict[str, Any]] = {
    "abort_multipart_upload": {"uri": KEY, "upload_id": "x"},
    "bulk_delete": {"items": [], "options": BulkOptions(), "progress": None},
    "bulk_download": {"items": [], "options": BulkOptions(), "progress": None},
    "bulk_upload": {"items": [], "options": BulkOptions(), "progress": None},
    "complete_multipart_upload": {
        "uri": KEY,
        "upload_id": "x",
        "parts": [Part(number=1, etag="x", size=1)],
        "options": UploadOptions(),
        "checksum": None,
    },
    "copy": {"source": KEY, "target": ROOT / "copy", "options": CopyOptions(), "progress": None},
    "delete": {"uri": KEY, "options": DeleteOptions()},
    "download": {"source": KEY, "target": Path("none/none"), "options": DownloadOptions(), "progress": None},
    "exists": {"uri": KEY},
    "get": {"uri": KEY, "options": ReadOptions(), "progress": None},
    "get_tags": {"uri": KEY},
    "glob": {"pattern": "*", "max_concurrency": 1},
    "initiate_multipart_upload": {"uri": KEY, "options": UploadOptions()},
    "list": {"prefix": ROOT, "options": ListOptions()},
    "list_multipart_uploads": {"prefix": ROOT},
    "list_page": {"prefix": ROOT, "token": None, "options": ListOptions()},
    "list_parts": {"uri": KEY, "upload_id": "x"},
    "list_versions": {"prefix": ROOT, "options": ListOptions()},
    "open": {
        "uri": KEY,
        "mode": "r",
        "options": ReadOptions(),
        "compression": None,
        "encoding": None,
        "errors": None,
        "newline": None,
        "read_ahead": 0,
        "cache_size": 0,
    },
    "move": {"source": KEY, "target": ROOT / "copy", "options": CopyOptions(), "progress": None},
    "presign": {"uri": KEY, "method": "GET", "expires": timedelta(hours=1), "options": PresignOptions()},
    "presign_post": {"uri": KEY, "expires": timedelta(hours=1), "options": PostOptions()},
    "put": {"uri": KEY, "data": b"", "options": UploadOptions(), "progress": None},
    "read": {"uri": KEY, "options": ReadOptions(), "progress": None},
    "read_into": {
        "uri": KEY,
        "buffer": bytearray(1),
        "range": ByteRange(0, 1),
        "options": DownloadOptions(),
        "progress": None,
    },
    "read_ranges": {"uri": KEY, "ranges": [ByteRange(0, 1)], "options": ReadOptions(), "progress": None},
    "restore_version": {"uri": KEY, "version_id": "x", "options": CopyOptions(), "progress": None},
    "set_legal_hold": {"uri": KEY, "held": False, "version_id": None},
    "set_retention": {"uri": KEY, "retention": None, "version_id": None, "bypass_retention": False},
    "set_tags": {"uri": KEY, "tags": {}},
    "stat": {"uri": KEY, "options": ReadOptions()},
    "sweep_uploads": {"prefix": ROOT, "older_than": timedelta(days=7)},
    "update": {"uri": KEY, "change": lambda data: data, "attempts": 1, "options": UploadOptions()},
    "upload": {"source": Path("none"), "target": KEY, "options": UploadOptions(), "progress": None},
    "upload_part": {"uri": KEY, "upload_id": "x", "number": 1, "data": b"", "options": UploadOptions()},
}
WRONG = [5, 1.5, True, (0, 1), [1], {1: "a"}, object()]
#: What an argument takes although it is in WRONG.
TAKES: dict[str, tuple[type, ...]] = {
    "number": (int,),
    "attempts": (int,),
    "max_concurrency": (int,),
    "range": (tuple,),
    "read_ahead": (int,),
    "cache_size": (int,),
}

#: Arguments that take True; all others refuse it as a number.
FLAGS = ("held", "bypass_retention")

#: Arguments whose errors speak of what they hold.
WORDS = {
    "uri": "a URI is text",
    "prefix": "a URI is text",
    "source": "a URI is text|source takes",
    "target": "a URI is text|target takes",
    "data": "data must be bytes|data of a part must be bytes|the stream yielded int, not bytes",
    "items": "items takes|items must be|a URI is text",
}


def wrong_arguments() -> list[Any]:
    return [
        pytest.param(verb, name, value, id=f"{verb}-{name}-{type(value).__name__}")
        for verb, arguments in CALLS.items()
        for name in arguments
        for value in WRONG
        if not (isinstance(value, TAKES.get(name, ())) and not isinstance(value, bool))
        if not (name in FLAGS and isinstance(value, bool))
    ]


@pytest.mark.parametrize(("verb", "name", "value"), wrong_arguments())
async def test_wrong_type(storage: Storage, faults: FaultyDriver, verb: str, name: str, value: Any) -> None:
    with pytest.raises((TypeError, InvalidURIError, InvalidRequestError), match=WORDS.get(name, rf"\b{name}\b")):
        await called(storage, verb, {**CALLS[verb], name: value})

    assert faults.calls.total() == 0


async def called(storage: Storage, verb: str, arguments: dict[str, Any]) -> None:
    result = getattr(storage, verb)(**arguments)
    if isinstance(result, AsyncIterator):
        async for _ in result:
            pass
    elif inspect.isawaitable(result):
        await result
    else:
        async with result:
            pass


def test_every_verb_is_tested() -> None:
    verbs = {name for name, member in inspect.getmembers(Storage, inspect.isfunction) if not name.startswith("_")}

    assert verbs - {"aclose", "describe", "native", "observe", "statistics", "wrapped"} == set(CALLS)

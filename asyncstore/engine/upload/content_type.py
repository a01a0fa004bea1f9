"""
The content type of a file, guessed from its name.
"""

from __future__ import annotations

import mimetypes
from dataclasses import replace
from pathlib import Path
from typing import Final

from asyncstore.driver import Capabilities
from asyncstore.options import UploadOptions
from asyncstore.uri import ObjectURI

# A compressed file is not what its name says without the last suffix: it is stored with no
# content encoding, so readers get the compressed bytes.
_COMPRESSED: Final = {
    ".gz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".xz": "application/x-xz",
    ".z": "application/x-compress",
    ".br": None,
}

# What Python's own table lacks in some version. https://www.iana.org/assignments/media-types
_MORE: Final = {
    ".7z": "application/x-7z-compressed",
    ".avif": "image/avif",
    ".js": "text/javascript",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".ogg": "audio/ogg",
    ".otf": "font/otf",
    ".parquet": "application/vnd.apache.parquet",
    ".toml": "application/toml",
    ".ttf": "font/ttf",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}

# Options of the last writes, and what they became.
_typed: dict[tuple[int, str], tuple[UploadOptions, UploadOptions]] = {}
_MOST_TYPED: Final = 64


def with_content_type(
    options: UploadOptions, capabilities: Capabilities, target: ObjectURI, source: Path | None = None
) -> UploadOptions:
    """
    Return *options* with the content type that the name of *target* has, or else that of the file *source*.

    Unchanged if they have one, if neither name is known, or if the guess is off.
    """
    if options.content_type is not None or not options.guess_content_type or not capabilities.content_type:
        return options
    guessed = guess(target.key) or (source and guess(source.name))
    return options if not guessed else _typed_as(options, guessed)


def _typed_as(options: UploadOptions, content_type: str) -> UploadOptions:
    # A bulk passes the same options with each of its files, and making others checks all fields.
    key = (id(options), content_type)
    _, typed = _typed.get(key, (None, None))
    # A caller may have changed the dictionaries of frozen options.
    if typed is None or typed.metadata != options.metadata or typed.tags != options.tags:
        if len(_typed) >= _MOST_TYPED:
            _typed.clear()
        typed = replace(options, content_type=content_type)
        # Together with the options, so that no others get the same id.
        _typed[key] = (options, typed)
    return typed


def guess(name: str) -> str | None:
    """
    Return the media type that the suffix of *name* stands for, if it is known.

    The same on every machine: the system's own tables are not read, unless the program does.
    """
    last = name.rpartition("/")[2].lower()
    stem, dot, end = last.rpartition(".")
    if not stem:
        # .profile is a name, not a suffix.
        return None
    suffix = mimetypes.suffix_map.get(dot + end, dot + end)
    suffix = "." + suffix.rpartition(".")[2]
    if suffix in _COMPRESSED:
        return _COMPRESSED[suffix]
    return _MORE.get(suffix) or mimetypes.types_map.get(suffix)

"""
Splits keys into tags and asset names, and checks them against the rules of git and GitHub.
"""

from __future__ import annotations

import re
import secrets
from typing import Final, NamedTuple

from asyncstore.errors import InvalidURIError
from asyncstore.uri import ObjectURI

#: The tag that stands for the release that GitHub marks as the latest.
LATEST: Final = "latest"

#: Bytes of the longest name, and of the longest tag.
MAX_NAME: Final = 255

# "GitHub renames asset filenames that have special characters, non-alphanumeric
# characters, and leading or trailing periods."
# https://docs.github.com/rest/releases/assets#upload-a-release-asset
_NAME: Final = re.compile(r"[A-Za-z0-9_+@-]+(?:\.[A-Za-z0-9_+@-]+)*")

# https://git-scm.com/docs/git-check-ref-format
_BAD_TAG: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(?:^|/)\.|\.(?:/|$)|\.lock(?:/|$)|^/|/$|^@$|^-|^$")

# Part of temporary names.
_MARK: Final = ".asyncstore-"


class Name(NamedTuple):
    """
    What a key names.

    Attributes:
        tag: Of the release; it may have slashes.
        asset: Name of the asset in it.
    """

    tag: str
    asset: str


def split(uri: ObjectURI) -> Name | None:
    """
    Return what the key names; ``None`` if it cannot name an asset.
    """
    tag, _, asset = uri.key.rpartition("/")
    return Name(tag, asset) if tag and asset else None


def checked(uri: ObjectURI) -> Name:
    """
    Return what the key names, for a write.

    Raises:
        InvalidURIError: It does not name an asset, or GitHub would rename the asset.
    """
    name = split(uri)
    if name is None:
        raise InvalidURIError(f"{uri} does not name an asset: a key is a release's tag, a slash and the asset's name")
    if not _NAME.fullmatch(name.asset):
        raise InvalidURIError(
            f"GitHub would rename the asset {name.asset!r}: names are ASCII letters, digits, _ + @ - and single "
            "periods within"
        )
    if len(name.asset) > MAX_NAME:
        raise InvalidURIError(f"the asset's name has {len(name.asset)} bytes, and GitHub allows {MAX_NAME}")
    if _BAD_TAG.search(name.tag) or len(name.tag.encode()) > MAX_NAME:
        raise InvalidURIError(f"{name.tag!r} is not a valid git tag: see git-check-ref-format")
    return name


def temporary(asset: str) -> str:
    """
    Return a recognizable temporary name for the asset that will replace *asset*.
    """
    mark = f"{_MARK}{secrets.token_hex(8)}"
    return asset[: MAX_NAME - len(mark)].rstrip(".") + mark

"""
GitHub's rules for the names of assets and tags.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SPECIAL: Final = re.compile(r"[^A-Za-z0-9._+@-]+")
_PERIODS: Final = re.compile(r"\.{2,}")

# https://git-scm.com/docs/git-check-ref-format
_NO_REF: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(?:^|/)\.|\.(?:/|$)|\.lock(?:/|$)|^/|/$|^@$|^-|^$")

#: The maximum length of a tag, in characters.
MAX_TAG: Final = 255


def stored_name(name: str) -> str:
    """
    Return the name under which an asset is stored.

    "GitHub renames asset filenames that have special characters, non-alphanumeric
    characters, and leading or trailing periods"
    (https://docs.github.com/rest/releases/assets#upload-a-release-asset). The
    details are not documented; users report that accents are removed, a run of other
    characters becomes one period, and ``.config`` becomes ``default.config``
    (https://github.com/travis-ci/dpl/issues/821,
    https://github.com/softprops/action-gh-release/issues/741).
    """
    plain = "".join([c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)])
    dotted = _PERIODS.sub(".", _SPECIAL.sub(".", plain)).rstrip(".")
    return f"default{dotted}" if not dotted or dotted.startswith(".") else dotted


def is_tag(tag: str) -> bool:
    """
    Return whether *tag* is a valid git tag name.
    """
    return len(tag) <= MAX_TAG and _NO_REF.search(tag) is None


def conflicts(tag: str, others: set[str]) -> bool:
    """
    Return whether *tag* is a folder of another tag or the reverse, which git refuses.
    """
    return any(tag.startswith(f"{other}/") or other.startswith(f"{tag}/") for other in others)

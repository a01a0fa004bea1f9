"""
What GitHub makes of the names of assets and tags.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SPECIAL: Final = re.compile(r"[^A-Za-z0-9._+@-]+")
_PERIODS: Final = re.compile(r"\.{2,}")

# https://git-scm.com/docs/git-check-ref-format
_NO_REF: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|(?:^|/)\.|\.(?:/|$)|\.lock(?:/|$)|^/|/$|^@$|^-|^$")

#: Characters of the longest tag: what is left of the 255 of a reference's last segment, to be careful.
MAX_TAG: Final = 255


def stored_name(name: str) -> str:
    """
    Return the name under which an asset is stored.

    "GitHub renames asset filenames that have special characters, non-alphanumeric
    characters, and leading or trailing periods"
    (https://docs.github.com/rest/releases/assets#upload-a-release-asset). How it
    does so is not documented; this is what people have seen: accents go, a run of
    others becomes one period, and ``.config`` becomes ``default.config``
    (https://github.com/travis-ci/dpl/issues/821,
    https://github.com/softprops/action-gh-release/issues/741).
    """
    plain = "".join([c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)])
    dotted = _PERIODS.sub(".", _SPECIAL.sub(".", plain)).rstrip(".")
    return f"default{dotted}" if not dotted or dotted.startswith(".") else dotted


def is_tag(tag: str) -> bool:
    """
    Tell whether git takes *tag* as the name of a tag.
    """
    return len(tag) <= MAX_TAG and _NO_REF.search(tag) is None


def conflicts(tag: str, others: set[str]) -> bool:
    """
    Tell whether *tag* would be a folder of another tag, or another way round, which git refuses.
    """
    return any(tag.startswith(f"{other}/") or other.startswith(f"{tag}/") for other in others)

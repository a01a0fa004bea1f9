"""
Where Azurite differs from the service it stands for, so that a test can ask before it expects.

For tests only: the library itself never looks here.
"""

from __future__ import annotations

from collections.abc import Mapping

UTF16_ORDER = "names are in the order of UTF-16"
WORD_DELIMITER = "a delimiter is one character"
EMPTY_RANGE = "a range of an empty blob is 206"
OFF_RANGE = "a range past the end is 206"
CONTROL_NAMES = "names with control characters break listings"
EMPTY_TAG = "tags without a value are refused"
NO_VERSIONS = "no versions"
LONG_KEYS = "keys over 1024 characters are taken"
BLOCK_SOURCE = "blocks are copied by signature and over http only"
WRONG_KEY = "a wrong key has other codes"
SAS_BATCH = "batches by signature are 500"

SENTENCES: Mapping[str, str] = {
    UTF16_ORDER: "Characters beyond the basic plane are listed before U+E000 to U+FFFF.",
    WORD_DELIMITER: "A delimiter of several characters ends a common prefix after the first of them.",
    EMPTY_RANGE: "A range `0-` or `0-0` of a blob without bytes is answered by 206 without Content-Range, not 416.",
    OFF_RANGE: "A range that starts after the end is answered by 206 with no bytes, not 416 InvalidRange.",
    CONTROL_NAMES: "A listing with a name that XML cannot carry is 500, where Azure writes the name Encoded.",
    EMPTY_TAG: "A tag whose value is empty, which Azure allows, is answered by 400 without a code.",
    NO_VERSIONS: "It keeps no versions and gives no version ids.",
    BLOCK_SOURCE: (
        "Put Block From URL reads its source neither by the token in x-ms-copy-source-authorization nor over TLS, "
        "unless its certificate is its own authority."
    ),
    WRONG_KEY: "A wrong signature is AuthorizationFailure, or with tokens 400, not 403 AuthenticationFailed.",
    SAS_BATCH: "A batch whose deletions are let in by a SAS token is answered by 500, to the SDK too.",
    LONG_KEYS: "A name of 1025 characters is stored.",
}

AZURITE = frozenset(SENTENCES)

#: Of the service itself, so the driver refuses such keys before it sends anything.
REFUSED_KEYS = (
    "Azure takes a backslash in a name for a slash, and drops the segments . and .., so that such a key would "
    "be another one's; the driver refuses it."
)

"""
Differences between Azurite and Azure, so that tests can mark expected failures.

The library itself never reads them.
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
LONG_KEYS = "keys over 1024 characters are accepted"
BLOCK_SOURCE = "blocks are copied by signature and over http only"
WRONG_KEY = "a wrong key has other codes"
SAS_BATCH = "batches by signature are 500"

SENTENCES: Mapping[str, str] = {
    UTF16_ORDER: "Characters beyond the basic plane are listed before U+E000 to U+FFFF.",
    WORD_DELIMITER: "A common prefix ends after the first character of a longer delimiter.",
    EMPTY_RANGE: "A range `0-` or `0-0` of an empty blob is answered with 206 without Content-Range, not 416.",
    OFF_RANGE: "A range that starts after the end is answered with 206 and no bytes, not 416 InvalidRange.",
    CONTROL_NAMES: "A listing with a name that XML cannot represent is 500; Azure encodes the name.",
    EMPTY_TAG: "A tag with an empty value, which Azure allows, is answered with 400 without a code.",
    NO_VERSIONS: "It keeps no versions and returns no version ids.",
    BLOCK_SOURCE: (
        "Put Block From URL ignores the token in x-ms-copy-source-authorization, and reads a source over TLS only if "
        "the certificate is self-signed."
    ),
    WRONG_KEY: "A wrong signature is AuthorizationFailure, or with tokens 400, not 403 AuthenticationFailed.",
    SAS_BATCH: "A batch of deletions authorized by a SAS token is answered with 500, to the SDK too.",
    LONG_KEYS: "A name of 1025 characters is stored.",
}

AZURITE = frozenset(SENTENCES)

#: A rule of the service itself: the driver refuses such keys before it sends a request.
REFUSED_KEYS = (
    "Azure reads a backslash in a name as a slash, and drops the segments . and .., so such a key would name "
    "another object; the driver refuses it."
)

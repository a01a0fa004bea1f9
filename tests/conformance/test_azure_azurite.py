"""
The conformance suite on Azurite, the emulator of Azure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import pytest

from asyncstore import Storage
from tests.conformance.azure import AzureConformance
from tests.servers.azure import AzureServer
from tests.servers.azure_quirks import (
    CONTROL_NAMES,
    EMPTY_RANGE,
    EMPTY_TAG,
    NO_VERSIONS,
    REFUSED_KEYS,
    SENTENCES,
    UTF16_ORDER,
    WORD_DELIMITER,
)

# Tests of single keys, named by their parameter.
_REFUSED: Final = (
    "[dot]",
    "[dotdot]",
    "[backslash]",
    "[backslash-dotdot]",
    "[backslash-mixed]",
    "[ascii-91-96]",
    "[leading-dot]",
    "[leading-dotdot]",
    "[only-dot]",
    "[only-dotdot]",
    "[slants]",
    "test_bulk_of_awkward_keys",
)
_UNLISTED: Final = (
    "test_key_is_listed[ascii-1-15]",
    "test_key_is_named_relative_to_the_root[ascii-1-15]",
    "test_key_is_named_relative_to_the_root[ascii-16-31]",
    "test_key_is_listed[ascii-16-31]",
    "test_key_is_stored_or_refused[ascii-1-15]",
    "test_key_is_stored_or_refused[ascii-16-31]",
    "test_key_is_a_prefix_of_itself[ascii-1-15]",
    "test_key_is_a_prefix_of_itself[ascii-16-31]",
)
_KEYS: Final = (
    "customer-keys",
    "test_option_is_honoured_or_refused[ReadOptions.encryption]",
    "test_option_is_honoured_or_refused[WriteOptions.encryption]",
    "test_option_is_honoured_or_refused[CopyOptions.encryption]",
)
QUIRKS: Final = {
    **dict.fromkeys(_REFUSED, REFUSED_KEYS),
    **dict.fromkeys(_UNLISTED, SENTENCES[CONTROL_NAMES]),
    **dict.fromkeys(_KEYS, "Customer-provided keys are refused, unless they are ignored in loose mode."),
    "test_byte_order_of_whole_keys": SENTENCES[UTF16_ORDER],
    "test_order_beyond_the_basic_plane": SENTENCES[UTF16_ORDER],
    "object-lock": "There are no immutability policies.",
    "test_delimiter[word]": SENTENCES[WORD_DELIMITER],
    "test_range_of_an_empty_object[all]": SENTENCES[EMPTY_RANGE],
    "test_range_of_an_empty_object[byte]": SENTENCES[EMPTY_RANGE],
    "test_tags_of_every_allowed_character": SENTENCES[EMPTY_TAG],
}


@pytest.fixture(scope="module")
def server(azurite: AzureServer) -> AzureServer:
    return azurite


class TestAzurite(AzureConformance):
    """
    Over http, with the account key.
    """

    quirks: ClassVar[Mapping[str, str]] = QUIRKS

    @pytest.fixture
    async def versioned(self, storage: Storage) -> Storage:
        pytest.xfail(SENTENCES[NO_VERSIONS])
        return storage

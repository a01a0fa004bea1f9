"""
The conformance suite on GitHub releases: a server and a tag for each test.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Final

import pytest

from asyncstore import Storage, open_storage
from asyncstore.testing.conformance.harness import Harness
from asyncstore.testing.conformance.payloads import SHAPES
from asyncstore.testing.servers.github import FAKE_TOKEN, GitHubServer
from asyncstore.uri import ObjectURI

_numbers = itertools.count(1)

NO_EMPTY: Final = "GitHub refuses empty assets: size must be greater than or equal to 1."
NAMES: Final = "The test's keys have asset names that GitHub would rename, or tags that git refuses."
REFERENCES: Final = "Git does not allow a tag a/b beside a tag a."
THOUSAND: Final = "A release has at most 1,000 assets."
LONGEST: Final = "Tags and asset names have separate limits, which the driver's own tests cover."

_EMPTY: Final = (
    *(f"test_put[{shape}-empty]" for shape in SHAPES),
    "test_upload[empty]",
    "test_file_is_written[empty]",
    "test_read_into[0]",
    "test_empty_object_as_a_file",
    "test_download[0]",
    "test_empty_replaces",
    "test_reply_agrees_with_stat[empty]",
    "test_progress_of_one_object_adds_up[empty]",
    "test_progress_of_a_stream_adds_up[empty]",
    "test_range_of_an_empty_object",
    "test_sizes_are_listed",
    "test_stream_in_chunks[0]",
)
_OTHER_NAMES: Final = (
    "test_bulk_of_awkward_keys",
    "test_byte_order_of_whole_keys",
    "test_delimiter",
    "test_delimiter_in_the_prefix",
    "test_folder_object",
    "test_object_and_folder_of_one_name",
    "test_order_beyond_the_basic_plane",
)

#: Tests that fail because of GitHub's rules.
RULES: Final[dict[str, str]] = {
    **dict.fromkeys(_EMPTY, NO_EMPTY),
    **dict.fromkeys(_OTHER_NAMES, NAMES),
    "test_more_than_a_thousand": THOUSAND,
    "test_longest_key": LONGEST,
}

#: Tests that fail on published releases, whose tags are git references.
PUBLISHED_RULES: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            "test_deleted_can_be_written_again",
            "test_delimiter_under_part_of_a_name",
            "test_glob",
            "test_key_is_deleted[nested]",
            "test_key_is_deleted[windows-device]",
            "test_levels_on_pages_of_every_size",
            "test_levels_with_a_character_before_the_slash",
            "test_object_and_prefix_of_one_name",
            "test_object_below_an_object",
            "test_parallel_listing",
            "test_prefix_is_a_raw_string",
            "test_prefix_is_not_deleted",
            "test_prefix_vanishes_with_its_last_object",
            "test_progress_of_many_adds_up",
            "test_root_without_a_prefix",
            "test_start_after_among_slashes",
            "test_start_after_is_exclusive",
            "test_start_after_with_a_delimiter",
            "test_start_after_with_a_prefix",
            "test_tree_up_and_down",
        ),
        REFERENCES,
    ),
    **RULES,
}

# The keys of the suite that are valid asset names under valid git tags.
_HELD: Final = re.compile(r"(?:[\w+@-]+/)*[\w+@-]+(?:\.[\w+@-]+)*", re.ASCII)


class GitHubHarness(Harness):
    """
    Opens the storage of each test on a server of its own.

    Attributes:
        own_settings: Further settings of the storage.
        base_path: The path of the API on the server.
    """

    own_settings: ClassVar[Mapping[str, Any]] = {}
    base_path: ClassVar[str] = ""

    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        async with GitHubServer(rate_limit=1_000_000, base_path=self.base_path) as server:
            settings: dict[str, Any] = {"endpoint_url": server.api_url, "token": FAKE_TOKEN, "create_release": True}
            root = f"github://octocat/hello/releases/{next(_numbers)}/"
            async with open_storage(root, **settings, **self.own_settings) as storage:
                yield storage

    def holds(self, key: str) -> bool:
        return _HELD.fullmatch(key) is not None

    def missing_bucket(self, storage: Storage) -> ObjectURI | None:
        missing = super().missing_bucket(storage)
        return missing / "tag" if missing is not None else None

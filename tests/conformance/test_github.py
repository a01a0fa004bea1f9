"""
The conformance suite on GitHub releases, drafts and published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from asyncstore.testing.conformance import StorageConformance
from tests.conformance.github import PUBLISHED_RULES, RULES, GitHubHarness


class TestGitHubDrafts(GitHubHarness, StorageConformance):
    """
    Drafts, which have no git tags, so ``a/b`` can exist beside ``a``.
    """

    quirks: ClassVar[Mapping[str, str]] = RULES
    own_settings: ClassVar[Mapping[str, Any]] = {"draft": True}


class TestGitHubReleases(GitHubHarness, StorageConformance):
    """
    Published releases, on a server whose API has the path of GitHub Enterprise Server.
    """

    quirks: ClassVar[Mapping[str, str]] = PUBLISHED_RULES
    base_path: ClassVar[str] = "/api/v3"

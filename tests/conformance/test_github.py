"""
The shared contract, on GitHub releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from asyncstore.testing.conformance import StorageConformance
from tests.conformance.github import PUBLISHED_RULES, RULES, GitHubPlaces


class TestGitHubDrafts(GitHubPlaces, StorageConformance):
    """
    Drafts, which have no git tags, so that there may be ``a/b`` beside ``a``.
    """

    quirks: ClassVar[Mapping[str, str]] = RULES
    own_settings: ClassVar[Mapping[str, Any]] = {"draft": True}


class TestGitHubReleases(GitHubPlaces, StorageConformance):
    """
    Published releases, on a server whose API is where that of Enterprise servers is.
    """

    quirks: ClassVar[Mapping[str, str]] = PUBLISHED_RULES
    base_path: ClassVar[str] = "/api/v3"

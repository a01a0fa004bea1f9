"""
The shared contract, on GitHub releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from asyncstore.testing.conformance import StorageConformance
from tests.conformance.github import RULES, GitHubPlaces


class TestGitHubDrafts(GitHubPlaces, StorageConformance):
    """
    Drafts, which have no git tags, so that there may be ``a/b`` beside ``a``.
    """

    quirks: ClassVar[Mapping[str, str]] = RULES
    own_settings: ClassVar[Mapping[str, Any]] = {"draft": True}

"""
The settings of the GitHub driver.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubSettings:
    """
    The settings of GitHub besides those of every provider.

    Attributes:
        create_release: Whether a write may create a release for a tag that has none.
            Otherwise the write fails.
        draft: New releases are drafts, and existing drafts are read as well, for which the token needs
            write access. A draft has no git tag.
        prerelease: New releases are prereleases, which are never ``latest``.
        target_commitish: Branch or commit for a git tag that does not exist yet; by default the default
            branch.
        latest_is_tag: ``latest`` in a key is a tag of that name, not the latest release.
    """

    create_release: bool = False
    draft: bool = False
    prerelease: bool = False
    target_commitish: str | None = None
    latest_is_tag: bool = False

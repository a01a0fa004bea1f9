"""
The settings of the GitHub driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, fields
from typing import Any, Final

from asyncstore.config import flag
from asyncstore.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubSettings:
    """
    What can be set for GitHub beyond what all providers have.

    Attributes:
        create_release: Whether a write may make a release for a tag that has none.
            Otherwise it is refused.
        draft: Releases that are made are drafts, and drafts are looked at as well,
            for which the token needs the right to write. A draft has no git tag.
        prerelease: Releases that are made are prereleases, which are never ``latest``.
        target_commitish: Branch or commit for a git tag that does not exist yet, instead
            of the default branch.
        latest_is_tag: ``latest`` in a key is a tag of that name, and not the
            release that GitHub calls so.
    """

    create_release: bool = False
    draft: bool = False
    prerelease: bool = False
    target_commitish: str | None = None
    latest_is_tag: bool = False

    @classmethod
    def take(cls, settings: MutableMapping[str, Any]) -> GitHubSettings:
        """
        Read *settings*, all that are left after the credentials took theirs.

        Raises:
            ConfigurationError: One is unknown or does not fit.
        """
        known = {item.name for item in fields(cls)}
        if unknown := sorted(set(settings) - known):
            raise ConfigurationError(
                f"github does not know the settings {unknown}; it knows {sorted({*known, 'base_url'})}"
            )
        return cls(**{name: _READERS[name](value) for name, value in settings.items() if value is not None})


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "create_release": flag,
    "draft": flag,
    "prerelease": flag,
    "target_commitish": str,
    "latest_is_tag": flag,
}

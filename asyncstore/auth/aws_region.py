"""
The region that the environment or a profile of the shared file names.
"""

from __future__ import annotations

import os

from asyncstore.auth.aws_files import read_config
from asyncstore.errors import ConfigurationError
from asyncstore.threads import in_thread


async def region_of(given: str | None, profile: str | None = None) -> str | None:
    """
    Return *given*, else ``AWS_REGION``, else ``AWS_DEFAULT_REGION``, else the region of a profile.

    Args:
        profile: Its name; by default ``AWS_PROFILE``, else ``default``.
    """
    if named := given or environment_region():
        return named
    return await in_thread(_profile_region, profile or os.environ.get("AWS_PROFILE") or "default")


def environment_region() -> str | None:
    """
    Return ``AWS_REGION``, else ``AWS_DEFAULT_REGION``.
    """
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def _profile_region(profile: str) -> str | None:
    try:
        profiles, _, _ = read_config()
    except ConfigurationError:
        # Whoever needs its keys says what is wrong with it.
        return None
    return profiles.get(profile, {}).get("region") or None

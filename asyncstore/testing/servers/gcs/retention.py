"""
Changes of an object's retention.

`Object Retention Lock <https://cloud.google.com/storage/docs/object-lock>`_
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from asyncstore.testing.servers.gcs.errors import ServiceError


def check_change(before: Mapping[str, Any], after: Mapping[str, Any], *, override: bool) -> None:
    """
    Refuse to shorten, remove or lock a retention without *override*, and to shorten a locked one at all.
    """
    old, new = before.get("retention"), after.get("retention")
    if not old:
        return
    shorter = not new or _until(new) < _until(old) or (old["mode"] == "Locked" and new["mode"] != "Locked")
    changed = shorter or (new is not None and new["mode"] != old["mode"])
    if (shorter and old["mode"] == "Locked") or (changed and not override):
        message = "The object's retention cannot be deleted, overwritten or reduced before it ends."
        raise ServiceError(403, "retentionPolicyNotMet", "RetentionPolicyNotMet", message)


def _until(retention: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(retention["retainUntilTime"])

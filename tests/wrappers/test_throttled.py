"""
A throttled storage checks its limits; the rates themselves are tested with the engine.
"""

from __future__ import annotations

import pytest

from asyncstore import ConfigurationError, Storage, throttled


@pytest.mark.parametrize(
    "limits",
    [{}, {"requests_per_second": 0}, {"bytes_per_second": -1.0}, {"upload_bytes_per_second": float("inf")}],
)
async def test_bad_limits_are_refused(storage: Storage, limits: dict[str, float]) -> None:
    """
    The error names the limit, before anything is sent.
    """
    with pytest.raises(ConfigurationError, match=next(iter(limits), "per_second")):
        throttled(storage, **limits)


async def test_closing_it_leaves_the_storage_open(storage: Storage) -> None:
    """
    Who opens, closes.
    """
    await throttled(storage, requests_per_second=100).aclose()

    assert not await storage.exists("key")

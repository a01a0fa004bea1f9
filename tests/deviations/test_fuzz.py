"""
A few hundred rounds of the fuzz of replies; the command runs as many as wanted.
"""

from __future__ import annotations

import pytest

from tests.deviations.fuzz import run
from tests.deviations.server import STORAGES


@pytest.mark.timeout(120)
@pytest.mark.parametrize("provider", STORAGES)
async def test_hostile_replies(provider: str) -> None:
    """
    Whatever a server replies, a verb returns the right bytes or raises a StorageError; the storage works afterwards.
    """
    tally = await run(provider, range(60), seed=1)

    assert [] == tally.wrong
    assert 60 == sum(tally.outcomes.values())
    # Neither all replies nor none of them are refused.
    assert 10 < tally.outcomes["returned"] < 55


@pytest.mark.timeout(120)
@pytest.mark.parametrize("provider", STORAGES)
async def test_hostile_replies_to_large_reads(provider: str) -> None:
    """
    The same for bodies that threads receive.
    """
    tally = await run(provider, range(30), seed=1, large=True)

    assert [] == tally.wrong
    assert 30 == sum(tally.outcomes.values())

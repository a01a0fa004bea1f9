"""
Cleanup ends in time, whatever happens to its task.
"""

import asyncio

import anyio
import pytest

from asyncstore._support import cleanup
from asyncstore._support.cleanup import clean_up


async def test_it_is_done_inside_a_cancelled_scope() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(True)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await clean_up(work())

    assert [True] == done


async def test_cancellations_that_come_meanwhile_come_out_afterwards() -> None:
    release = asyncio.Event()
    done = []

    async def work() -> None:
        await release.wait()
        done.append(True)

    task = asyncio.ensure_future(clean_up(work()))
    for message in ("first", "last"):
        await asyncio.sleep(0)
        task.cancel(message)
    await asyncio.sleep(0)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [True] == done


async def test_what_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "CLEANUP_TIMEOUT", 0.01)
    error = ValueError()
    await clean_up(asyncio.sleep(60), error)

    assert ["cleanup failed: it took longer than 0.01 seconds"] == error.__notes__


async def test_what_fails_is_a_note() -> None:
    async def work() -> None:
        raise KeyError("no")

    error = ValueError()
    await clean_up(work(), error)
    await clean_up(work())

    assert ["cleanup failed: KeyError('no')"] == error.__notes__

"""
The client of a Dask cluster is closed, also if the command is cancelled while it connects.
"""

import asyncio
import threading
from contextlib import AsyncExitStack

import distributed
import pytest

from asyncstore import TreeOptions
from asyncstore.cli.cluster import on_cluster


async def test_cancelled_while_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A cancellation waits for the thread that connects; what it has made is closed with the command.
    """
    connecting, go, closed = threading.Event(), threading.Event(), threading.Event()

    class Client:
        def __init__(self, address: str, **options: object) -> None:
            connecting.set()
            assert go.wait(20)

        def close(self) -> None:
            closed.set()

    monkeypatch.setattr(distributed, "Client", Client)
    async with AsyncExitStack() as stack:
        task = asyncio.ensure_future(on_cluster(TreeOptions(), "tcp://scheduler:8786", stack))
        assert await asyncio.to_thread(connecting.wait, 20)
        task.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not closed.is_set()
    assert closed.is_set()

"""
The Dask cluster on whose workers a command transfers.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Annotated, Any, Final, TypeVar

import typer

from asyncstore._support.threads import in_patient_thread
from asyncstore.errors import ConfigurationError, UnavailableError
from asyncstore.storage.tree_options import TreeOptions

#: The option of the commands that transfer trees.
DaskAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Transfer on the workers of this Dask cluster: tcp://HOST:8786.", show_default=False
    ),
]

_Options = TypeVar("_Options", bound=TreeOptions)

# Seconds until a scheduler has to answer.
_CONNECTING: Final = 10


async def on_cluster(options: _Options, address: str | None, stack: AsyncExitStack) -> _Options:
    """
    Return *options* with the cluster at *address* as the executor; its client is closed with *stack*.

    Raises:
        ConfigurationError: Dask is not installed, or workers on this machine are asked for, too.
        UnavailableError: No scheduler answers.
    """
    if address is None:
        return options
    if options.bulk.workers is not None:
        raise ConfigurationError("--workers starts processes on this machine, and --dask uses a cluster: give one")
    try:
        from distributed import Client

        from asyncstore.integrations.dask import DaskExecutor
    except ModuleNotFoundError:
        raise ConfigurationError("--dask needs Dask: pip install 'asyncstore[dask]'") from None
    make: Any = Client
    clients: list[Any] = []

    def connect() -> None:
        clients.append(make(address, timeout=_CONNECTING, set_as_default=False))

    def close() -> None:
        for client in clients:
            client.close()

    # Before it is there: a cancellation waits for the thread, and does not return what it has made.
    stack.push_async_callback(in_patient_thread, close)
    try:
        await in_patient_thread(connect)
    except (OSError, ValueError) as exc:
        raise UnavailableError(f"no Dask scheduler answers at {address}: {exc}") from None
    executor = await in_patient_thread(DaskExecutor, clients[0])
    return replace(options, bulk=replace(options.bulk, executor=executor))

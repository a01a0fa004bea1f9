"""
Transfers on the workers of a Dask cluster. Needs ``asyncstore[dask]``.

::

    with Client("tcp://scheduler:8786") as client:
        bulk = BulkOptions(executor=DaskExecutor(client))
        await copy_tree(source, target, bulk=bulk)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, Final

try:
    from distributed import Client, Event, get_worker
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(f"{exc.name} is not installed: pip install 'asyncstore[dask]'") from None

# How often Dask runs a shard again that has failed or whose worker has died.
_RETRIES: Final = 3


class DaskExecutor(Executor):
    """
    An executor for :class:`~asyncstore.BulkOptions`: shards are tasks of *client*, which stays open.

    If a worker dies, Dask runs its shards again on another one, and the multipart uploads that it has left are
    aborted. Cancelling an operation ends its tasks; what they have begun is cleaned up.

    Args:
        retries: How often a shard is run again.
        resources: What each shard takes of the resources of a worker, such as ``{"network": 1}``.

    Attributes:
        workers: Threads of all workers when the executor was made.
    """

    def __init__(
        self, client: Client, *, retries: int = _RETRIES, resources: Mapping[str, float] | None = None
    ) -> None:
        options: dict[str, Any] = {} if resources is None else {"resources": dict(resources)}
        untyped: Any = client
        self._client = untyped
        self._executor: Executor = untyped.get_executor(pure=False, retries=retries, **options)
        self.workers: int = max(1, sum(untyped.nthreads().values()))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        Run a function on a worker.
        """
        return self._executor.submit(fn, *args, **kwargs)

    def channel(self) -> _Channel:
        """
        Return what connects one operation with its tasks.
        """
        return _Channel(self._client)


class _Channel:
    def __init__(self, client: Any) -> None:
        self._client = client
        self._name = f"asyncstore-{uuid.uuid4().hex}"
        self._ended = _event(self._name, client)

    def link(self) -> Callable[[], _Link]:
        return partial(_Link, self._name)

    def open(self, told: Callable[[str, str, bool], None]) -> None:
        self._client.subscribe_topic(self._name, lambda event: told(*event[1]))

    def close(self) -> None:
        self._ended.set()
        self._client.unsubscribe_topic(self._name)


class _Link:
    def __init__(self, name: str) -> None:
        # Dask finds it in the threads of its tasks only.
        self._worker: Any = get_worker()
        self._name = name
        self._ended = _event(name, self._worker.client)

    def tell(self, upload_id: str, uri: str, in_progress: bool) -> None:
        # It waits for the scheduler: the worker's own log_event() sends later, and a worker can die before.
        self._worker.client.log_event(self._name, [upload_id, uri, in_progress])

    def ended(self) -> bool:
        return bool(self._ended.is_set())


def _event(name: str, client: Any) -> Any:
    make: Any = Event
    return make(name, client=client)

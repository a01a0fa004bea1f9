"""
Our stand-in for OCI Object Storage, and the official SDK as a client.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from asyncstore.testing.servers.oci import OCIServer, User


@dataclass(frozen=True, slots=True)
class RunningOCI:
    """
    A server in its own thread, so that tests can call it with the SDK, which blocks.

    Attributes:
        user: Has all permissions.
        readonly: May list and read.
    """

    server: OCIServer
    user: User
    readonly: User

    @property
    def namespace(self) -> str:
        return self.server.store.namespace

    @property
    def region(self) -> str:
        return self.server.store.region

    def fresh_bucket(self, **details: str) -> str:
        """Create an empty bucket and return its name."""
        name = f"test-{uuid.uuid4().hex}"
        self.server.create_bucket(name, **details)
        return name

    @contextmanager
    def client(self, *, user: User | None = None, endpoint_url: str | None = None, **arguments: Any) -> Iterator[Any]:
        """Yield an `ObjectStorageClient` that does not retry."""
        import oci

        caller = user or self.user
        client = oci.object_storage.ObjectStorageClient(
            caller.settings(self.region),
            service_endpoint=endpoint_url or self.server.url,
            **{
                "signer": _signer(caller),
                "retry_strategy": oci.retry.NoneRetryStrategy(),
                "timeout": (5, 20),
                **arguments,
            },
        )
        try:
            yield client
        finally:
            client.base_client.session.close()


@cache
def _signer(user: User) -> Any:
    # Cached: the SDK is slow to read a key.
    import oci

    return oci.signer.Signer(user.tenancy, user.user, user.fingerprint, "", private_key_content=user.private_key)


@cache
def user() -> User:
    """Return the user with all permissions; all tests share one, since generating a key is slow."""
    return User.generate()


@cache
def readonly_user() -> User:
    """Return the user who may list and read."""
    return User.generate(readonly=True)


@contextmanager
def running_oci(**arguments: Any) -> Iterator[RunningOCI]:
    """Run a server until the block ends."""
    server = OCIServer(user(), readonly_user(), **arguments)
    started: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(server, started)), name="oci-stand-in", daemon=True)
    thread.start()
    stop = started.result(10)
    try:
        yield RunningOCI(server, user(), readonly_user())
    finally:
        stop()
        thread.join()


async def _serve(server: OCIServer, started: Future[Callable[[], object]]) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    try:
        async with server:
            started.set_result(partial(loop.call_soon_threadsafe, stopped.set))
            await stopped.wait()
    except BaseException as error:
        if not started.done():
            started.set_exception(error)
        raise

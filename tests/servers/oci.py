"""
The stand-in for OCI Object Storage, and the official SDK to call it with.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from asyncstore.testing.servers.oci import OCIServer, User


@dataclass(frozen=True, slots=True)
class RunningOCI:
    """
    A server in a thread of its own, so that the SDK, which blocks, can call it from a test's.

    Attributes:
        user: May do everything.
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
    # Kept, for the SDK takes long to read a key.
    import oci

    return oci.signer.Signer(user.tenancy, user.user, user.fingerprint, "", private_key_content=user.private_key)


@cache
def user() -> User:
    """Return the one who may do everything; a key takes long to make, so there is one for all tests."""
    return User.generate()


@cache
def readonly_user() -> User:
    """Return the one who may list and read."""
    return User.generate(readonly=True)


@contextmanager
def running_oci(**arguments: Any) -> Iterator[RunningOCI]:
    """Run a server until the block is left."""
    server = OCIServer(user(), readonly_user(), **arguments)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="oci-stand-in", daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    try:
        yield RunningOCI(server, user(), readonly_user())
    finally:
        asyncio.run_coroutine_threadsafe(server.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

"""
An adapter of our credentials for Oracle's SDK, which blocks.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from asyncstore.auth.oci.signature import DELEGATION_HEADER, OCIKeys
from asyncstore.auth.tokens import Lease
from asyncstore.errors import ConfigurationError

_PLAIN: Final = ("date", "(request-target)", "host")
_DOCUMENT: Final = ("content-length", "content-type", "x-content-sha256")

# Seconds that a thread of the SDK waits for a refresh.
_TIMEOUT: Final = 90.0


class KeySource(Protocol):
    """
    The part of the credentials that a signer uses.
    """

    auth_type: str

    def current(self) -> Lease[OCIKeys | None] | None: ...

    async def get(self) -> Lease[OCIKeys | None]: ...


def make_signer(credentials: KeySource, keys: OCIKeys, loop: asyncio.AbstractEventLoop) -> Any:
    """
    Return a signer for the SDK's clients. Imports the SDK: call it in a thread.

    Args:
        keys: The current keys.
        loop: The event loop of *credentials*, in which they are refreshed.

    Raises:
        ConfigurationError: The SDK is not installed.
    """
    try:
        from oci.auth.signers import SecurityTokenSigner
        from oci.signer import AbstractBaseSigner
    except ImportError:
        raise ConfigurationError("Oracle's SDK is not installed: install asyncstore[oci]") from None

    class Fixed(AbstractBaseSigner):  # type: ignore[misc] # the SDK comes without types
        """Signs with one key, so that no thread sees a partly replaced one."""

        def __init__(self, own: OCIKeys) -> None:
            self.keys = own
            names = [*_PLAIN, DELEGATION_HEADER] if own.delegation_token is not None else list(_PLAIN)
            self.create_signers(own.key_id, own.private_key, names, list(_DOCUMENT))

    # With this base class the SDK's clients do not require a complete configuration.
    class Signer(SecurityTokenSigner):  # type: ignore[misc] # the SDK comes without types
        """Signs with our credentials, refreshed as needed."""

        def __init__(self) -> None:
            self._fixed = Fixed(keys)

        def do_request_sign(self, request: Any, enforce_content_headers: bool = True) -> Any:
            fixed = self._fixed
            current = _current_keys(credentials, loop)
            if current is not None and current is not fixed.keys:
                fixed = self._fixed = Fixed(current)
            if fixed.keys.delegation_token is not None:
                request.headers[DELEGATION_HEADER] = fixed.keys.delegation_token
            return fixed.do_request_sign(request, enforce_content_headers)

        def __repr__(self) -> str:
            return f"<Signer {credentials.auth_type}>"

    return Signer()


def _current_keys(credentials: KeySource, loop: asyncio.AbstractEventLoop) -> OCIKeys | None:
    lease = credentials.current()
    if lease is None and loop.is_running() and not _is_current(loop):
        # The SDK runs in another thread, but the credentials must be used in their own loop.
        lease = asyncio.run_coroutine_threadsafe(credentials.get(), loop).result(_TIMEOUT)
    return None if lease is None else lease.value


def _is_current(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False

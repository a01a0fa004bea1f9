"""
Our credentials for the official SDK, which blocks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from asyncstore.auth.oci_signature import DELEGATION_HEADER, OCIKeys
from asyncstore.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncstore.auth.oci import OCICredentials

_PLAIN: Final = ("date", "(request-target)", "host")
_DOCUMENT: Final = ("content-length", "content-type", "x-content-sha256")

#: Seconds that a thread of the SDK waits for keys to be renewed.
_PATIENCE: Final = 90.0


def make_signer(credentials: OCICredentials, keys: OCIKeys, loop: asyncio.AbstractEventLoop) -> Any:
    """
    Return a signer for clients of the SDK; imports the SDK, so call it in a thread.

    Args:
        keys: Those in use now.
        loop: Where *credentials* live, and are renewed.

    Raises:
        ConfigurationError: The SDK is not installed.
    """
    try:
        from oci.auth.signers import SecurityTokenSigner
        from oci.signer import AbstractBaseSigner
    except ImportError:
        raise ConfigurationError("the SDK is not installed: install asyncstore[oci]") from None

    class Fixed(AbstractBaseSigner):  # type: ignore[misc] # the SDK comes without types
        """Signs with one key for good, so that threads never meet half of another."""

        def __init__(self, own: OCIKeys) -> None:
            self.keys = own
            names = [*_PLAIN, DELEGATION_HEADER] if own.delegation_token is not None else list(_PLAIN)
            self.create_signers(own.key_id, own.private_key, names, list(_DOCUMENT))

    # Of a kind that the SDK takes to need nothing of the configuration.
    class Signer(SecurityTokenSigner):  # type: ignore[misc] # the SDK comes without types
        """Signs with our credentials, renewed as needed."""

        def __init__(self) -> None:
            self._fixed = Fixed(keys)

        def do_request_sign(self, request: Any, enforce_content_headers: bool = True) -> Any:
            fixed = self._fixed
            current = _keys_now(credentials, loop)
            if current is not None and current is not fixed.keys:
                fixed = self._fixed = Fixed(current)
            if fixed.keys.delegation_token is not None:
                request.headers[DELEGATION_HEADER] = fixed.keys.delegation_token
            return fixed.do_request_sign(request, enforce_content_headers)

        def __repr__(self) -> str:
            return f"<Signer {credentials.auth_type}>"

    return Signer()


def _keys_now(credentials: OCICredentials, loop: asyncio.AbstractEventLoop) -> OCIKeys | None:
    lease = credentials.current()
    if lease is None and loop.is_running() and not _runs_here(loop):
        # The SDK is in a thread of its own, and the credentials belong to their loop.
        lease = asyncio.run_coroutine_threadsafe(credentials.get(), loop).result(_PATIENCE)
    return None if lease is None else lease.value


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False

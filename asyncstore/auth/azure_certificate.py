"""
The certificate of an application, and what it signs to prove itself.

https://learn.microsoft.com/entra/identity-platform/certificate-credentials
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from asyncstore.auth.key_files import read_key_file
from asyncstore.auth.method import Given
from asyncstore.auth.secret_values import secret_text
from asyncstore.auth.tokens import Secret
from asyncstore.errors import ConfigurationError
from asyncstore.threads import in_thread

if TYPE_CHECKING:
    from asyncstore.auth.azure_signing_key import SigningKey

#: Seconds that an assertion is good for; Microsoft advises five to ten minutes.
LIFETIME: Final = 600

# A clock that is a little ahead would date assertions in the future.
_BACKDATED: Final = 60


class Certificate:
    """
    The certificate that settings name: a file, which is read each time, or its content.
    """

    def __init__(self, given: Given) -> None:
        self._given = given
        self._known: tuple[tuple[bytes, str | None], SigningKey] | None = None

    async def assertion(self, client_id: str, audience: str, *, chain: bool, clock_offset: float = 0.0) -> str:
        """
        Return a signed statement to *audience* that this is *client_id*.

        Args:
            chain: Whether it holds the certificates.
            clock_offset: Seconds by which the clock of the audience is ahead of ours.

        Raises:
            ConfigurationError: There is no certificate, or it cannot be used.
        """
        content = await self._content()
        password = await secret_text("certificate_password", self._given.get("certificate_password"))
        return await in_thread(self._signed, content, password, client_id, audience, chain, clock_offset)

    async def _content(self) -> bytes:
        data = self._given.settings.get("certificate_data")
        if data is None:
            return await in_thread(read_key_file, Path(str(self._given.get("certificate_path"))), "certificate_path")
        if inspect.iscoroutinefunction(data):
            data = await data()
        elif callable(data):
            data = await anyio.to_thread.run_sync(data, abandon_on_cancel=True)
        data = data.reveal() if isinstance(data, Secret) else data
        if not isinstance(data, bytes | str):
            raise ConfigurationError(f"certificate_data is bytes or text, not {type(data).__name__}")
        return data.encode() if isinstance(data, str) else data

    def _signed(
        self, content: bytes, password: str | None, client_id: str, audience: str, chain: bool, clock_offset: float
    ) -> str:
        key = self._key(content, password)
        now = int(time.time() + clock_offset)
        header: dict[str, Any] = {
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": _base64url(hashlib.sha256(key.chain[0]).digest()),
        }
        if chain:
            header["x5c"] = [base64.b64encode(der).decode("ascii") for der in key.chain]
        claims = {
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": str(uuid.uuid4()),
            "nbf": now - _BACKDATED,
            "exp": now + LIFETIME,
        }
        text = f"{_encoded(header)}.{_encoded(claims)}"
        return f"{text}.{_base64url(key.sign(text.encode()))}"

    def _key(self, content: bytes, password: str | None) -> SigningKey:
        # Read again only if it has changed: PKCS#12 takes 40 ms, in which nothing else of Python runs.
        if self._known is None or self._known[0] != (content, password):
            self._known = (content, password), _loaded(content, password)
        return self._known[1]


def _loaded(content: bytes, password: str | None) -> SigningKey:
    try:
        from asyncstore.auth.azure_signing_key import load_signing_key
    except ImportError:
        raise ConfigurationError("client certificates need cryptography: install asyncstore[azure]") from None
    return load_signing_key(content, password)


def _encoded(document: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(document, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")

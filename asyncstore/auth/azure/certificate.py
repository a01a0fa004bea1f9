"""
Client certificates, and the assertions signed with them.

https://learn.microsoft.com/entra/identity-platform/certificate-credentials
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from asyncstore._support.threads import in_thread
from asyncstore.auth.json_web_token import base64url, unsigned_token
from asyncstore.auth.key_files import read_key_file
from asyncstore.auth.methods import MethodSettings
from asyncstore.auth.tokens import Secret, secret_text
from asyncstore.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncstore.auth.azure.signing_key import SigningKey

#: Lifetime of an assertion in seconds; Microsoft recommends five to ten minutes.
LIFETIME: Final = 600

# Without this, a clock that is slightly ahead would date assertions in the future.
_BACKDATED: Final = 60


class Certificate:
    """
    The certificate in the settings: a file, which is read for every assertion, or its content.
    """

    def __init__(self, settings: MethodSettings) -> None:
        self._settings = settings
        self._known: tuple[tuple[bytes, str | None], SigningKey] | None = None

    async def assertion(self, client_id: str, audience: str, *, chain: bool, clock_offset: float = 0.0) -> str:
        """
        Return a signed assertion that identifies *client_id* to *audience*.

        Args:
            chain: Include the certificate chain (``x5c``).
            clock_offset: Seconds by which the clock of the audience is ahead of ours.

        Raises:
            ConfigurationError: The certificate is missing or unusable.
        """
        content = await self._content()
        password = await secret_text("certificate_password", self._settings.get("certificate_password"))
        return await in_thread(self._signed, content, password, client_id, audience, chain, clock_offset)

    async def _content(self) -> bytes:
        data = self._settings.explicit.get("certificate_data")
        if data is None:
            return await in_thread(read_key_file, Path(str(self._settings.get("certificate_path"))), "certificate_path")
        if inspect.iscoroutinefunction(data):
            data = await data()
        elif callable(data):
            data = await anyio.to_thread.run_sync(data, abandon_on_cancel=True)
        data = data.reveal() if isinstance(data, Secret) else data
        if not isinstance(data, bytes | str):
            raise ConfigurationError(f"certificate_data must be bytes or text, not {type(data).__name__}")
        return data.encode() if isinstance(data, str) else data

    def _signed(
        self, content: bytes, password: str | None, client_id: str, audience: str, chain: bool, clock_offset: float
    ) -> str:
        key = self._key(content, password)
        now = int(time.time() + clock_offset)
        header: dict[str, Any] = {
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": base64url(hashlib.sha256(key.chain[0]).digest()),
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
        text = unsigned_token(header, claims)
        return f"{text}.{base64url(key.sign(text.encode()))}"

    def _key(self, content: bytes, password: str | None) -> SigningKey:
        # Parse again only if it has changed: PKCS#12 takes 40 ms and holds the GIL.
        if self._known is None or self._known[0] != (content, password):
            self._known = (content, password), _loaded(content, password)
        return self._known[1]


def _loaded(content: bytes, password: str | None) -> SigningKey:
    try:
        from asyncstore.auth.azure.signing_key import load_signing_key
    except ImportError:
        raise ConfigurationError("client certificates need cryptography: install asyncstore[azure]") from None
    return load_signing_key(content, password)

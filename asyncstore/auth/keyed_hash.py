"""
HMAC-SHA256 with a key that is used again and again.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class KeyedHash:
    """
    The message authentication code of RFC 2104, with the work that depends on the key done once.

    A third of the time of ``hmac.digest`` for what is signed with every request. That one
    also lets other threads run each time, which then takes longer than the code itself.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            key = sha256(key).digest()
        padded = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(padded.translate(_INNER))
        self._outer = sha256(padded.translate(_OUTER))

    def hexdigest(self, message: bytes) -> str:
        """
        Return the code of *message*, in hexadecimal.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.hexdigest()

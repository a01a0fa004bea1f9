"""
A body on its way into a driver that stores objects itself: counted, hashed, compared.
"""

from __future__ import annotations

from asyncstore.checksum import Hasher
from asyncstore.driver.body import Body, BytesLike
from asyncstore.errors import IntegrityError
from asyncstore.types import Checksum, ChecksumAlgorithm


class ReceivedBody:
    """
    The bytes of *body* received so far, hashed with CRC32C and the *wanted* algorithm.
    """

    def __init__(self, body: Body, wanted: ChecksumAlgorithm | None = None) -> None:
        self.size = 0
        self._body = body
        algorithms = [ChecksumAlgorithm.CRC32C]
        if wanted not in (None, ChecksumAlgorithm.CRC32C):
            algorithms.append(wanted)
        self._hashers = [Hasher(algorithm) for algorithm in algorithms]

    def update(self, chunk: BytesLike) -> None:
        """
        Add the next bytes. Hashing takes CPU time, so call it in a thread.
        """
        self.size += chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)
        for hasher in self._hashers:
            hasher.update(chunk)

    def finish(self) -> tuple[Checksum, ...]:
        """
        Return the checksums, CRC32C first, after the last byte.

        Raises:
            IntegrityError: There were more or fewer bytes than announced, or they do
                not match the checksum of the body.
        """
        if self.size != self._body.size:
            raise IntegrityError(
                "the number of bytes received differs from the announced size",
                expected=str(self._body.size),
                actual=str(self.size),
            )
        checksums = tuple(hasher.checksum() for hasher in self._hashers)
        for actual in checksums:
            expected = self._body.checksum(actual.algorithm)
            if expected is not None and expected != actual:
                raise IntegrityError(
                    "the bytes received do not match their checksum", expected=str(expected), actual=str(actual)
                )
        return checksums

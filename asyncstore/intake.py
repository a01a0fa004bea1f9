"""
A body as it arrives at a driver that keeps the objects itself: counted, checksummed, compared.
"""

from __future__ import annotations

from asyncstore.body import Body, BytesLike
from asyncstore.checksum import Hasher
from asyncstore.errors import IntegrityError
from asyncstore.types import Checksum, ChecksumAlgorithm


class Intake:
    """
    What has arrived of *body*: CRC32C always, and the algorithm that was *wanted*.
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
        Go on with the next bytes. This is the costly part: CPU, no waiting.
        """
        self.size += chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)
        for hasher in self._hashers:
            hasher.update(chunk)

    def finish(self) -> tuple[Checksum, ...]:
        """
        Return the checksums, CRC32C first, once all has arrived.

        Raises:
            IntegrityError: There were more or fewer bytes than announced, or
                others than the body's own checksum says.
        """
        if self.size != self._body.size:
            raise IntegrityError(
                "another number of bytes arrived", expected=str(self._body.size), actual=str(self.size)
            )
        checksums = tuple(hasher.checksum() for hasher in self._hashers)
        for actual in checksums:
            expected = self._body.checksum(actual.algorithm)
            if expected is not None and expected != actual:
                raise IntegrityError("other bytes arrived", expected=str(expected), actual=str(actual))
        return checksums

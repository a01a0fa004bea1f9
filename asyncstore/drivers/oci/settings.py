"""
The settings of the OCI driver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from asyncstore.driver.settings import CUSTOMER_KEY, at_most_one, one_of
from asyncstore.encryption import Encryption
from asyncstore.errors import ConfigurationError
from asyncstore.types import ChecksumAlgorithm

#: The checksums that OCI verifies. https://docs.oracle.com/iaas/api/#/en/objectstorage/20160918/Object/PutObject
ALGORITHMS: Final = frozenset({ChecksumAlgorithm.CRC32C, ChecksumAlgorithm.SHA256, ChecksumAlgorithm.MD5})


@dataclass(frozen=True, slots=True, kw_only=True)
class OCISettings:
    """
    Settings of OCI besides those of every provider.

    Attributes:
        namespace: Namespace of buckets whose URI names none; by default that of the
            caller's tenancy, which is requested from OCI once.
        checksum: Checksum algorithm of writes whose options do not name one:
            ``"crc32c"``, ``"sha256"`` or ``"md5"``; ``"none"`` sends none.
        md5_metadata: Whether user metadata named ``md5`` (base64 or hexadecimal) is the
            checksum of an object for which OCI has none, such as most multipart uploads.
        sse_customer_key: Customer-provided encryption key (SSE-C): 32 bytes, or their
            base64. It is sent with each request, so TLS is required.
        sse_kms_key_id: OCID of the vault key that encrypts new objects.
        encryption: The same as an :class:`~asyncstore.Encryption`, in place of the two before.
    """

    namespace: str | None = None
    checksum: ChecksumAlgorithm | None = ChecksumAlgorithm.CRC32C
    md5_metadata: bool = True
    sse_customer_key: bytes | None = field(default=None, repr=False)
    sse_kms_key_id: str | None = None
    encryption: Encryption | None = None

    def __post_init__(self) -> None:
        at_most_one(
            sse_customer_key=self.sse_customer_key, sse_kms_key_id=self.sse_kms_key_id, encryption=self.encryption
        )
        if self.namespace is not None and (not self.namespace or "/" in self.namespace):
            raise ConfigurationError(f"namespace takes a name without slashes, not {self.namespace!r}")

    @property
    def default_encryption(self) -> Encryption | None:
        """How objects are encrypted whose operation does not say."""
        if self.sse_customer_key is not None:
            return Encryption.customer_key(self.sse_customer_key)
        return self.encryption if self.sse_kms_key_id is None else Encryption.kms(self.sse_kms_key_id)


#: Readers of the fields whose annotations are not enough.
READERS: Final = {
    "checksum": one_of({**{str(item): item for item in sorted(ALGORITHMS)}, "none": None}),
    "sse_customer_key": CUSTOMER_KEY,
}

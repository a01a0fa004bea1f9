"""
The settings of the S3 driver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from asyncstore.driver.settings import CUSTOMER_KEY, Reader, at_most_one
from asyncstore.encryption import Encryption
from asyncstore.errors import ConfigurationError
from asyncstore.types import ChecksumAlgorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """
    Settings of S3 besides those of every provider.

    Attributes:
        addressing_style: ``"path"`` puts the bucket into the path, ``"virtual"``
            before the host name; ``"auto"`` is virtual on AWS where the bucket's
            name allows it, otherwise path.
        checksum: Checksum algorithm of writes whose options do not name one. ``"auto"`` is
            CRC32C on AWS and CRC32 on other endpoints, some of which support only that one;
            ``"none"`` sends none.
        verify_checksums: Whether to request the stored checksum when reading, and to
            compare those in the replies to writes. By default it is not requested if
            ``checksum`` is ``"none"``.
        etag_is_md5: Whether an ETag of 32 hexadecimal digits is the MD5 of the bytes, as on AWS:
            it is then compared where no other checksum is stored.
        use_fips_endpoint: Whether requests go to AWS's FIPS endpoints only; by default what AWS's own
            configuration says (``AWS_USE_FIPS_ENDPOINT``, else the profile). The same holds for the next one.
        use_dualstack_endpoint: Whether requests go to AWS's endpoints for IPv4 and IPv6.
        use_accelerate_endpoint: Whether requests go to the endpoints of transfer acceleration, which the
            bucket must allow; by default what the section ``s3`` of the profile says.
        requester_pays: Whether this account pays for requests to another account's bucket.
        expected_bucket_owner: Account id that must own the bucket.
        sse: Server-side encryption: ``AES256``, ``aws:kms`` or ``aws:kms:dsse``.
        sse_kms_key_id: KMS key; implies ``aws:kms``.
        sse_customer_key: Customer-provided encryption key (SSE-C): 32 bytes, or their
            base64. It is sent with each request, so TLS is required.
        encryption: The same as an :class:`~asyncstore.Encryption`, in place of the three before.
    """

    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    checksum: ChecksumAlgorithm | Literal["auto", "none"] = "auto"
    verify_checksums: bool | None = None
    etag_is_md5: bool = True
    use_fips_endpoint: bool | None = None
    use_dualstack_endpoint: bool | None = None
    use_accelerate_endpoint: bool | None = None
    requester_pays: bool = False
    expected_bucket_owner: str | None = None
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    sse_kms_key_id: str | None = None
    sse_customer_key: bytes | None = field(default=None, repr=False)
    encryption: Encryption | None = None

    def __post_init__(self) -> None:
        at_most_one(sse_customer_key=self.sse_customer_key, sse=self.sse)
        at_most_one(sse_customer_key=self.sse_customer_key, sse_kms_key_id=self.sse_kms_key_id)
        own = self.sse_customer_key or self.sse or self.sse_kms_key_id
        at_most_one(encryption=self.encryption, **{"sse or one of its kin": own})
        if self.sse == "AES256" and self.sse_kms_key_id is not None:
            raise ConfigurationError("sse_kms_key_id needs sse='aws:kms', and sse is 'AES256'")

    def default_checksum(self, *, aws: bool) -> ChecksumAlgorithm | None:
        """
        Return the algorithm of writes whose options name none.

        Args:
            aws: Whether the endpoint is one of AWS.
        """
        if self.checksum == "auto":
            return ChecksumAlgorithm.CRC32C if aws else ChecksumAlgorithm.CRC32
        return None if self.checksum == "none" else self.checksum

    @property
    def requests_checksums(self) -> bool:
        """Whether stored checksums are requested when reading."""
        return self.checksum != "none" if self.verify_checksums is None else self.verify_checksums

    @property
    def verifies(self) -> bool:
        """Whether the checksums in replies are compared."""
        return self.verify_checksums is not False

    def common_headers(self) -> dict[str, str]:
        """
        Return the headers of every request.
        """
        headers = {}
        if self.requester_pays:
            headers["x-amz-request-payer"] = "requester"
        if self.expected_bucket_owner is not None:
            headers["x-amz-expected-bucket-owner"] = self.expected_bucket_owner
        return headers

    @property
    def default_encryption(self) -> Encryption | None:
        """How objects are encrypted whose operation does not say."""
        if self.sse_customer_key is not None:
            return Encryption.customer_key(self.sse_customer_key)
        if self.sse == "AES256" and self.sse_kms_key_id is None:
            return Encryption.managed()
        if self.sse is not None or self.sse_kms_key_id is not None:
            return Encryption.kms(self.sse_kms_key_id, dual_layer=self.sse == "aws:kms:dsse")
        return self.encryption


def _read_checksum(value: Any) -> ChecksumAlgorithm | str:
    text = str(value).strip().lower()
    return _CHECKSUMS[_CHECKSUMS.index(text)]


# S3 verifies an MD5 too, but does not store it with the object.
_CHECKSUMS: Final = ["auto", *sorted(set(ChecksumAlgorithm) - {ChecksumAlgorithm.MD5}), "none"]

#: Readers of the fields whose annotations are not enough.
READERS: Final = {
    "checksum": Reader(f"one of {', '.join(_CHECKSUMS)}", _read_checksum),
    "sse_customer_key": CUSTOMER_KEY,
}

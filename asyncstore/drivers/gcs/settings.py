"""
The settings of the GCS driver, and the endpoint and credentials that follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from asyncstore.auth.gcp.credentials import SETTINGS
from asyncstore.auth.gcp.endpoints import emulator_host, storage_endpoint
from asyncstore.config import AuthConfig, StorageConfig
from asyncstore.driver.settings import CUSTOMER_KEY, at_most_one, one_of
from asyncstore.encryption import Encryption
from asyncstore.errors import ConfigurationError
from asyncstore.http.origin import Origin
from asyncstore.options import MiB
from asyncstore.types import ChecksumAlgorithm

#: How to read the settings whose annotations do not say.
READERS: Final = {
    "checksum": one_of({"crc32c": ChecksumAlgorithm.CRC32C, "none": None}),
    "encryption_key": CUSTOMER_KEY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GCSSettings:
    """
    The settings of GCS besides those of every provider.

    Attributes:
        multipart: How multipart uploads work: ``"xml"`` uses those of the XML API,
            ``"compose"`` writes each part as an object and composes them at the end,
            ``"auto"`` prefers the former if the endpoint supports them. Conditional
            uploads are always composed.
        resumable_threshold: Size in bytes from which an object that is written without parts
            uses a resumable session, so that a retry sends only the missing bytes.
        checksum: ``"crc32c"`` is sent with every write; ``"none"`` sends none.
        user_project: The project to bill, for buckets with requester pays.
        kms_key_name: The Cloud KMS key that encrypts new objects.
        encryption_key: A customer-supplied encryption key: 32 bytes, or their base64.
            It is sent with each request, so TLS is required.
        encryption: The same as an :class:`~asyncstore.Encryption`, in place of the two before.
        universe_domain: The cloud, which determines the endpoint. By default
            ``GOOGLE_CLOUD_UNIVERSE_DOMAIN``, then Google's own.
    """

    multipart: Literal["auto", "xml", "compose"] = "auto"
    resumable_threshold: int = 8 * MiB
    checksum: ChecksumAlgorithm | None = ChecksumAlgorithm.CRC32C
    user_project: str | None = None
    kms_key_name: str | None = None
    encryption_key: bytes | None = field(default=None, repr=False)
    encryption: Encryption | None = None
    universe_domain: str | None = None

    def __post_init__(self) -> None:
        if self.resumable_threshold < 1:
            raise ConfigurationError(f"resumable_threshold is at least 1 byte, not {self.resumable_threshold}")
        at_most_one(encryption_key=self.encryption_key, kms_key_name=self.kms_key_name, encryption=self.encryption)

    @property
    def default_encryption(self) -> Encryption | None:
        """How objects are encrypted whose operation does not say."""
        if self.encryption_key is not None:
            return Encryption.customer_key(self.encryption_key)
        return self.encryption if self.kms_key_name is None else Encryption.kms(self.kms_key_name)


def endpoint_of(config: StorageConfig, settings: GCSSettings) -> Origin:
    """
    Return the endpoint: ``endpoint_url``, else an emulator in the environment, else that of the cloud.

    Raises:
        ConfigurationError: It is not a valid URL.
    """
    return Origin.parse(config.endpoint_url or emulator_host() or storage_endpoint(settings.universe_domain))


def auth_of(config: StorageConfig) -> AuthConfig | None:
    """
    Return how to obtain credentials; requests to an emulator in the environment are anonymous, as in
    Google's own clients, unless a setting of the credentials is present.
    """
    if config.auth is not None or config.endpoint_url is not None or emulator_host() is None:
        return config.auth
    return None if set(SETTINGS) & set(config.settings) else AuthConfig(auth_type="anonymous")

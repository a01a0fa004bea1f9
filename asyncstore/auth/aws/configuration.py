"""
The configuration that AWS's own tools share: variables, else the settings of a profile.

https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from asyncstore._support.threads import in_thread
from asyncstore.auth.aws.files import Section, SharedFiles, named_profile, nested, read_files
from asyncstore.auth.aws.partitions import load_partitions
from asyncstore.config import flag
from asyncstore.errors import ConfigurationError

IGNORE_ENDPOINTS: Final = "ignore_configured_endpoint_urls"

# The variable of each setting, and its names in a profile; "s3." stands for the section of S3 in it.
_SETTINGS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "region": (("AWS_REGION", "AWS_DEFAULT_REGION"), ("region",)),
    IGNORE_ENDPOINTS: (("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",), (IGNORE_ENDPOINTS,)),
    "use_fips_endpoint": (("AWS_USE_FIPS_ENDPOINT",), ("use_fips_endpoint",)),
    "use_dualstack_endpoint": (("AWS_USE_DUALSTACK_ENDPOINT",), ("use_dualstack_endpoint",)),
    "s3.use_dualstack_endpoint": ((), ("s3.use_dualstack_endpoint",)),
    "s3.use_accelerate_endpoint": ((), ("s3.use_accelerate_endpoint",)),
    "s3.addressing_style": ((), ("s3.addressing_style",)),
    "s3.use_arn_region": (("AWS_S3_USE_ARN_REGION",), ("s3_use_arn_region", "s3.use_arn_region")),
    "s3_disable_express_session_auth": (
        ("AWS_S3_DISABLE_EXPRESS_SESSION_AUTH",),
        ("s3_disable_express_session_auth",),
    ),
    "ca_bundle": (("AWS_CA_BUNDLE",), ("ca_bundle",)),
    "request_checksum_calculation": (("AWS_REQUEST_CHECKSUM_CALCULATION",), ("request_checksum_calculation",)),
    "response_checksum_validation": (("AWS_RESPONSE_CHECKSUM_VALIDATION",), ("response_checksum_validation",)),
    "ec2_metadata_service_endpoint": (("AWS_EC2_METADATA_SERVICE_ENDPOINT",), ("ec2_metadata_service_endpoint",)),
    "ec2_metadata_service_endpoint_mode": (
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",),
        ("ec2_metadata_service_endpoint_mode",),
    ),
    "ec2_metadata_v1_disabled": (("AWS_EC2_METADATA_V1_DISABLED",), ("ec2_metadata_v1_disabled",)),
    "metadata_service_timeout": (("AWS_METADATA_SERVICE_TIMEOUT",), ("metadata_service_timeout",)),
    "metadata_service_num_attempts": (("AWS_METADATA_SERVICE_NUM_ATTEMPTS",), ("metadata_service_num_attempts",)),
}


# These are settings of methods too, which say themselves where they come from.
_OF_METHODS: Final = frozenset(name for name in _SETTINGS if "metadata" in name)


class Found(NamedTuple):
    """
    A value, and the variable or the profile that it comes from.
    """

    value: str
    source: str


class Configuration:
    """
    What the environment says, and a profile.

    Args:
        profile: Its name; ``None`` for the environment alone.
        files: Where the profile is, if it exists.
    """

    def __init__(self, profile: str | None = None, files: SharedFiles | None = None) -> None:
        self._profile = profile
        self._files = files
        self._section: Section = {} if files is None or profile is None else files.profiles.get(profile, {})

    @classmethod
    def read(cls, profile: str | None) -> Configuration:
        """
        Read the shared files; blocks.

        Args:
            profile: Its name; ``None`` is the one that the environment names, else ``default``.

        Raises:
            ConfigurationError: A file cannot be read or parsed.
        """
        load_partitions()
        return cls(named_profile(profile), read_files())

    def find(self, name: str) -> Found | None:
        """
        Return the value of a setting; ``None`` if it is not set.
        """
        variables, keys = _SETTINGS[name]
        for variable in variables:
            if value := os.environ.get(variable):
                return Found(value, variable)
        for key in keys:
            if value := self._own(key):
                return Found(value, f"profile {self._profile!r}")
        return None

    def text(self, name: str) -> str | None:
        """
        Return the value of a setting; ``None`` if it is not set.
        """
        found = self.find(name)
        return None if found is None else found.value

    def flag(self, name: str) -> bool:
        """
        Return whether a setting is true; unset is false.

        Raises:
            ConfigurationError: It is neither true nor false.
        """
        found = self.find(name)
        if found is None:
            return False
        try:
            return flag(found.value)
        except ConfigurationError:
            raise ConfigurationError(f"{name} is true or false, not {found.value!r} ({found.source})") from None

    def supports(self, name: str) -> bool:
        """
        Return whether a setting for checksums is ``when_supported``, which is the default, and not ``when_required``.

        https://docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html

        Raises:
            ConfigurationError: It is neither.
        """
        found = self.find(name)
        value = "when_supported" if found is None else found.value.lower()
        if value not in ("when_supported", "when_required"):
            source = "" if found is None else found.source
            raise ConfigurationError(f"{name} is when_supported or when_required, not {value!r} ({source})")
        return value == "when_supported"

    def endpoint(self, service: str) -> Found | None:
        """
        Return the URL of a service, if one is configured.

        ``AWS_ENDPOINT_URL_<SERVICE>`` comes first, then ``AWS_ENDPOINT_URL``, the section of
        the service that the profile names, and the profile's ``endpoint_url``.
        https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html

        Raises:
            ConfigurationError: The profile names a section that does not exist.
        """
        if self.flag(IGNORE_ENDPOINTS):
            return None
        for variable in (f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}", "AWS_ENDPOINT_URL"):
            if value := os.environ.get(variable):
                return Found(value, variable)
        value = None if self._files is None else self._files.endpoint(self._section, service)
        return None if value is None else Found(value, f"profile {self._profile!r}")

    @property
    def ca_file(self) -> Path | None:
        """The file of certificate authorities that replaces the system's."""
        found = self.text("ca_bundle")
        return None if found is None else Path(found).expanduser()

    def sources(self) -> dict[str, str]:
        """
        Return where each setting comes from that is set, besides those of methods.
        """
        found = {name: self.find(name) for name in _SETTINGS if name not in _OF_METHODS}
        return {name: value.source for name, value in found.items() if value is not None}

    def _own(self, key: str) -> str | None:
        outer, dot, inner = key.partition(".")
        return nested(self._section, outer).get(inner) if dot else self._section.get(key)


class SharedConfiguration:
    """
    The configuration of some credentials, read when it is first needed.

    Args:
        profile: As for :meth:`Configuration.read`.
    """

    def __init__(self, profile: str | None) -> None:
        self._profile = profile
        self._read: Configuration | None = None

    @property
    def current(self) -> Configuration:
        """What is known now: the environment alone until the files have been read."""
        return self._read or _ENVIRONMENT

    async def get(self) -> Configuration:
        """
        Return the configuration, read in a thread the first time.

        Raises:
            ConfigurationError: A file cannot be read or parsed.
        """
        if self._read is None:
            self._read = await in_thread(Configuration.read, self._profile)
        return self._read

    async def ca_file(self) -> Path | None:
        """
        Return the file of certificate authorities that replaces the system's; raises as :meth:`get`.
        """
        return (await self.get()).ca_file


_ENVIRONMENT: Final = Configuration()

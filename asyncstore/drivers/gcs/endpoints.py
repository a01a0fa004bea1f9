"""
Where GCS is: a setting, an emulator that the environment names, or a cloud's own address.
"""

from __future__ import annotations

from asyncstore.auth.gcp import SETTINGS
from asyncstore.auth.gcp_endpoints import emulator_host, storage_endpoint
from asyncstore.config import AuthConfig, StorageConfig
from asyncstore.drivers.gcs.settings import GCSSettings
from asyncstore.http.origin import Origin


def endpoint_of(config: StorageConfig, settings: GCSSettings) -> Origin:
    """
    Return where requests go.

    Raises:
        ConfigurationError: The address is none.
    """
    return Origin.parse(config.endpoint_url or emulator_host() or storage_endpoint(settings.universe_domain))


def auth_of(config: StorageConfig) -> AuthConfig | None:
    """
    Return how to obtain credentials: none for an emulator that the environment names, as in
    Google's own clients, unless there are settings that say otherwise.
    """
    if config.auth is not None or config.endpoint_url is not None or emulator_host() is None:
        return config.auth
    return None if set(SETTINGS) & set(config.settings) else AuthConfig(auth_type="anonymous")

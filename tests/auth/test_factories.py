"""
The factory of each provider is found by its name.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncstore import AuthConfig, connect_auth
from asyncstore.auth.credentials import Credentials
from asyncstore.auth.factories import ALIASES, BUILT_IN, find_factory
from asyncstore.errors import ConfigurationError, NotSupportedError

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted({*BUILT_IN, *ALIASES} & {"s3", "aws"}))
def test_names(name: str) -> None:
    """
    A provider is found by the schemes of its URIs and by its common names.
    """
    assert find_factory(name)(AuthConfig(auth_type="anonymous")).provider == "s3"


def test_every_built_in_provider_has_its_factory() -> None:
    """
    Every registered factory can be imported and accepts a configuration.
    """
    for name in BUILT_IN:
        assert find_factory(name)(AuthConfig(auth_type="anonymous")).anonymous


async def test_unknown_provider() -> None:
    """
    The error for an unknown provider lists the known ones.
    """
    with pytest.raises(ConfigurationError, match=r"no credentials for provider 'ftp': known are .*'s3'.*entry points"):
        await connect_auth(AuthConfig(provider="ftp"))
    with pytest.raises(ConfigurationError, match=r"needs a provider: one of .*s3"):
        connect_auth(AuthConfig())


async def test_other_types_are_refused() -> None:
    other: Any = "aws"
    with pytest.raises(TypeError, match="auth takes an AuthConfig"):
        connect_auth(other)


_SDKS = {"s3": "for_botocore", "gcs": "for_gcloud", "azure": "for_azure", "oci": "for_oci"}


@pytest.mark.parametrize("method", _SDKS.values())
@pytest.mark.parametrize("name", sorted(BUILT_IN))
async def test_other_providers_sdks_are_refused(name: str, method: str) -> None:
    """
    All credentials have the method of each SDK, which those of another provider refuse by name.
    """
    credentials = find_factory(name)(AuthConfig(auth_type="anonymous"))
    if _SDKS.get(name) == method:
        assert getattr(type(credentials), method) is not getattr(Credentials, method)
        return
    with pytest.raises(NotSupportedError, match=f"cannot use {credentials.provider} credentials"):
        returned = getattr(credentials, method)()
        await returned


def test_providers_are_imported_when_they_are_needed() -> None:
    """
    Providers that are not used are not imported.
    """
    script = "import sys, asyncstore; print([name for name in sys.modules if name.startswith('asyncstore.auth.aws')])"

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )

    assert done.stdout.strip() == "[]"

"""
The factory of each provider is found by its name.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asyncstore import AuthConfig, connect_auth
from asyncstore.auth.factories import ALIASES, BUILT_IN, find_factory
from asyncstore.errors import ConfigurationError

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted({*BUILT_IN, *ALIASES} & {"s3", "aws"}))
def test_names(name: str) -> None:
    """
    A provider is found by the scheme of its URIs and by what people call it.
    """
    assert find_factory(name)(AuthConfig(auth_type="anonymous")).provider == "s3"


def test_every_built_in_provider_has_its_factory() -> None:
    """
    What is announced can be imported, and takes a configuration.
    """
    for name in BUILT_IN:
        assert find_factory(name)(AuthConfig(auth_type="anonymous")).anonymous


async def test_unknown_provider() -> None:
    """
    A provider that does not exist is an error that says which do.
    """
    with pytest.raises(ConfigurationError, match=r"no credentials for 'ftp'; there are some for .*'s3'.*entry points"):
        await connect_auth(AuthConfig(provider="ftp"))
    with pytest.raises(ConfigurationError, match=r"names no provider; there are .*s3"):
        connect_auth(AuthConfig())


def test_providers_are_imported_when_they_are_needed() -> None:
    """
    Whoever uses none of a provider's credentials pays nothing for them.
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

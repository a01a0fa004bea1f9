"""
The pytest plugin :mod:`pytest_asyncstore`, for projects in which pytest does not load it by itself.

In ``conftest.py``::

    pytest_plugins = ["asyncstore.testing.plugin"]
"""

try:
    import pytest  # noqa: F401 - the next import would name it too, but not what installs it
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(f"{exc.name} is not installed: pip install 'asyncstore[testing]'") from None

from pytest_asyncstore import (
    faulty_storage,
    gcs_server,
    github_server,
    local_storage,
    memory_storage,
    nothing_leaked,
    oci_server,
    oci_user,
    pytest_configure,
    storage_faults,
)

__all__ = [
    "faulty_storage",
    "gcs_server",
    "github_server",
    "local_storage",
    "memory_storage",
    "nothing_leaked",
    "oci_server",
    "oci_user",
    "pytest_configure",
    "storage_faults",
]

"""
The fixtures of :mod:`asyncstore.testing.fixtures`, where pytest does not load them by itself.

In ``conftest.py``::

    pytest_plugins = ["asyncstore.testing.plugin"]
"""

from asyncstore.testing.fixtures import (
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

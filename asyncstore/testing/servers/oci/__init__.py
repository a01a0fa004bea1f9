"""
OCI Object Storage, in memory.

:class:`OCIServer` is the server; :class:`User` is who may call it. It needs ``cryptography``,
which the extra ``oci`` brings.
"""

from __future__ import annotations

from asyncstore.testing.servers.oci.server import OCIServer
from asyncstore.testing.servers.oci.users import User

__all__ = ["OCIServer", "User"]
